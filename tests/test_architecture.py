"""The import table of CONTRIBUTING.md, held against the code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vipcli"


def rooms() -> dict[str, set[str]]:
    """Room -> the rooms that it may import: the table of CONTRIBUTING."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = {}
    for first, allowed in re.findall(r"^\| (`vipcli/.+?) \| .+ \| (.+) \|$", text, re.M):
        for name in re.findall(r"`vipcli/(\w+)(?:\.py|/)`", first):
            table[name] = allowed
    words = {name: set(re.findall(r"\w+", allowed)) - {"nothing"} for name, allowed in table.items()}
    return {name: set(table) - its if table[name].startswith("all but") else its for name, its in words.items()}


ROOMS = rooms()
MAY_IMPORT_TORCH = {
    "benchmark/floors.py",
    "benchmark/models.py",
    "benchmark/rows.py",
    "engine/ahead.py",
    "engine/batching.py",
    "engine/checkpoint.py",
    "engine/decode.py",
    "engine/devices.py",
    "engine/llama.py",
    "engine/loading.py",
    "engine/local.py",
    "engine/packing.py",
    "engine/recording.py",
    "engine/readers.py",
    "engine/slots.py",
    "engine/vision.py",
    "training/adapters.py",
    "training/assembling.py",
    "training/checkpoints.py",
    "training/comparing.py",
    "training/dense.py",
    "training/drawing.py",
    "training/fresh.py",
    "training/judging.py",
    "training/learner.py",
    "training/logs.py",
    "training/looking.py",
    "training/loop.py",
    "training/optimizing.py",
    "training/samples.py",
    "training/writing.py",
}
FILES = sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py", PACKAGE / "__main__.py"})


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: imports are absolute"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_room_imports_only_what_lies_above_it(file):
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = ROOMS[room] | {room, "doors", "__version__"}
    rooms = {name.split(".")[1] for name in imported(file) if name.startswith("vipcli.")}
    assert rooms <= allowed, f"{room} must not import {rooms - allowed}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_torch_and_transformers_stay_in_their_files(file):
    heavy = {name.split(".")[0] for name in imported(file)} & {"torch", "transformers", "accelerate"}
    assert not heavy or str(file.relative_to(PACKAGE)) in MAY_IMPORT_TORCH


def test_every_room_stands_in_the_table():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__", "__main__"} == set(ROOMS) - {"models", "art"}, "these two are data only"
    assert all(allowed <= set(ROOMS) for allowed in ROOMS.values())


def test_only_the_console_prints():
    for file in FILES:
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        prints = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not prints or str(file.relative_to(PACKAGE)) == "cli/console.py", file


def test_every_public_function_and_class_says_what_it_is_for():
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), file
        for node in tree.body:
            public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            assert not public or ast.get_docstring(node), f"{file.name}: {node.name} has no docstring"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["ask", "--help"],
        ["chat", "--help"],
        ["models"],
        ["models", "show", "tiny"],
        ["train", "--help"],
        ["mark", "examples/pond.png", "--box", "58,49,259,237", "--tags", "-o", "{folder}/out.png"],
        ["mark", "examples/pond.png", "--point", "200,99", "--as-model-sees-it", "-m", "tiny", "-o", "{folder}/o.png"],
    ],
    ids=" ".join,
)
def test_commands_that_need_no_model_never_load_torch(arguments, tmp_path):
    arguments = [argument.format(folder=tmp_path) for argument in arguments]
    script = (
        "import sys; sys.argv = ['vip', *sys.argv[1:]]\n"
        "from vipcli.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "loaded = {'torch', 'transformers', 'accelerate', 'prompt_toolkit'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, cwd=PACKAGE.parent, capture_output=True)
