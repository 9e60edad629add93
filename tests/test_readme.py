"""Every command that the README shows is run; every picture that it shows is there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (\S.*)$", re.sub(r"```.*?```", "", README, flags=re.S), re.M)
TIMED = "vip bench"  # which takes long, and which tests/cli/test_bench.py runs
TWO = [command for command in COMMANDS if command.startswith("sh setup.sh")]


@pytest.fixture
def clone(tmp_path):
    """The repository's files as a newcomer has them, in a folder that may be written to, with vip on the path."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    vip = tmp_path / "bin" / "vip"
    vip.parent.mkdir()
    vip.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vipcli "$@"\n')
    vip.chmod(0o755)
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return tmp_path


def run(command, folder):
    path = f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "HF_HUB_CACHE": str(folder / "cache")}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_readme_opens_with_a_picture_and_two_commands():
    assert README.index("](examples/readme.png)") < README.index("sh setup.sh")
    assert len(TWO) == 2
    assert TWO[1] == "sh setup.sh && .venv/bin/pytest"


def test_the_first_command_prints_the_answer_that_the_readme_says(clone):
    command = TWO[0].removeprefix("sh setup.sh && .venv/bin/")
    done = run(command, clone)
    assert done.returncode == 0, done.stderr
    assert f"It prints `{done.stdout.strip()}`" in README


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in (*TWO, TIMED)])
def test_a_command_of_the_readme_works(clone, command):
    done = run(command, clone)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or command.startswith(("vip batch", "vip eval", "vip train"))  # which say how it went
    if " -o " in command:
        assert (clone / command.split(" -o ")[1].split()[0]).exists()
    elif "vip" in command or "python" in command:
        assert done.stdout.strip()


def test_the_python_of_the_readme_works(clone):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("a mushroom", "")


@pytest.mark.parametrize("target", re.findall(r"\]\(((?!https?:)[^)#]+)\)", README))
def test_what_the_readme_links_to_is_there(target):
    assert (REPOSITORY / target).exists()


def test_the_pictures_are_those_that_their_script_makes(tmp_path, monkeypatch):
    sys.path.insert(0, str(REPOSITORY / "examples"))
    try:
        import make_pictures
    finally:
        sys.path.pop(0)
    monkeypatch.setattr(make_pictures, "HERE", tmp_path)
    make_pictures.main()
    for made in sorted(tmp_path.iterdir()):
        assert made.read_bytes() == (REPOSITORY / "examples" / made.name).read_bytes(), f"{made.name}: run make docs"


def test_setup_is_quick_and_silent_when_it_was_done(tmp_path):
    for name in ("setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    stamp = subprocess.run(
        "cat pyproject.toml constraints.txt setup.sh | cksum", shell=True, cwd=tmp_path, capture_output=True, text=True
    ).stdout
    (tmp_path / ".venv" / "set-up-for").write_text(stamp)
    done = subprocess.run(["sh", "setup.sh"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_setup_says_which_python_it_needs(tmp_path):
    done = subprocess.run(
        ["sh", str(REPOSITORY / "setup.sh")], env={**os.environ, "PYTHON": "false"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr
