"""`vipcli.training.settings`: what a TOML file may say, and what is said of one that is wrong."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipcli.errors import UsageError, plain
from vipcli.training.settings import Data, Fresh, Lora, Model, Settings, Train, from_table, read_settings

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "examples").glob("t*/*.toml"))
LEAST = 'output = "out"\n[model]\nstart = "tiny"\n[[data]]\nsource = "scenes"\n'


def read(text: str, folder: Path) -> Settings:
    file = folder / "a.toml"
    file.write_text(text, encoding="utf-8")
    return read_settings(file)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_can_be_read(file: Path) -> None:
    settings = read_settings(file)
    assert settings.folder == file.parent
    assert settings.data


@pytest.mark.parametrize("kind", [Data, Fresh, Lora, Model, Settings, Train], ids=lambda kind: kind.__name__)
def test_every_key_means_something(kind: Any) -> None:
    """Each field is read somewhere behind the settings, and the README has it."""
    files = [file for file in (REPOSITORY / "vipcli" / "training").glob("*.py") if file.name != "settings.py"]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = {field.name for field in dataclasses.fields(kind)} - {"folder"}
    assert names <= read | {"text", "projector", "vision"}, "these three are looked up by name"
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("\n## Train\n")[2].partition("\n## ")[0]
    forms = ("`{}`", "{} =", "[{}]")
    assert [name for name in names if not any(form.format(name) in readme for form in forms)] == []


def test_paths_count_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    settings = read(LEAST.replace('"out"', '"../out"'), Path("below"))
    assert settings.output == Path("out")
    assert settings.path("a.json") == Path("below/a.json")
    assert settings.path("/a.json") == Path("/a.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("output = ", "is no TOML"),
        ("", "model is missing"),
        (LEAST + "[trian]\n", "there is no trian; known are model, data, output, train, lora"),
        (LEAST + "[train]\nstepz = 1\n", "there is no train.stepz; known are stage, steps,"),
        (LEAST + "[train]\nsteps = 1.5\n", "train.steps must be a whole number"),
        (LEAST + "[train]\nsteps = true\n", "train.steps must be a whole number"),
        (LEAST + "[train]\nrate = nan\n", "train.rate must be a number"),
        (LEAST + "[train]\nstage = 'half'\n", "train.stage must be one of vision, projector, full, lora"),
        (LEAST + "[train]\nsteps = " + "9" * 5000, "is no TOML"),
        (LEAST + "[train]\nbatch = 1000000000\n", "train.batch must lie from 1 to 65536"),
        (LEAST + "[train]\nsteps = " + "9" * 400, "train.steps must lie from 1 to 1000000000, not 9999999999"),
        (LEAST + "weight = 1e308\n", "weight must be above 0"),
        (LEAST.replace("scenes", "mine.json") + "regions = 9999999\n", "regions 1 to 1000"),
        (LEAST + "[train]\nstage = 'lora'\n[lora]\nrank = 1000000\n", "a rank from 1 to 65536"),
        (re.sub('output = "[^"]*"', 'output = ""', LEAST), "output must be a path"),
        (re.sub('output = "[^"]*"', 'output = "a\\\\u0000b"', LEAST), "output must be a path"),
        (LEAST + "[train]\nsteps = 0\n", "train.steps must lie from 1 to"),
        (LEAST + "[train]\naverage = 1.0\n", "train.average must lie from 0 to 0.99999, not 1"),
        (LEAST + "[train]\ntext = 0\nprojector = 0\n", "nothing would learn"),
        (LEAST + "[lora]\nrank = 8\n", '[lora] is of stage = "lora", and train.stage is full'),
        (LEAST.replace('"scenes"', '"a.json"') + "[train]\ndense = 1\n", "dense supervision needs scenes alone"),
        (LEAST.replace('start = "tiny"', ""), "[model] needs either start"),
        (LEAST.replace('start = "tiny"', "[model.fresh]\nwidth = 33"), "model.fresh.width must be a multiple of 32"),
        (LEAST + "weight = 0\n", "[[data]] number 1: weight must be above 0"),
        (LEAST + "question = 'What?'\n", "[[data]] number 1: question means nothing to scenes, which vip draws itself"),
        (LEAST.replace("scenes", "mine.json") + "art = []\n", "art means nothing to pictures that are there"),
        (LEAST + "art = 'a.json'\n", "data[1].art must be a list"),
        (LEAST + "art = ['a.json', 3]\n", "data[1].art[2] must be text"),
        (LEAST.partition("[[data]]")[0] + "[data]\n", "data must be a list"),
    ],
)
def test_what_is_wrong_is_said(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read(text, tmp_path)
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'a.toml'}: ")


def test_a_file_that_isnt_there_or_isnt_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        read_settings(tmp_path / "a.toml")


def test_a_file_may_begin_with_a_mark_of_its_bytes_order(tmp_path: Path) -> None:
    assert read("\ufeff" + LEAST, tmp_path).output == tmp_path / "out"


LEAVES = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.dates(), st.just("full"))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
KEYS = [(kind, field.name) for kind in (Data, Fresh, Lora, Model, Train) for field in dataclasses.fields(kind)]


@given(st.sampled_from([*KEYS, (Train, "no\x1bsuch\nkey")]), VALUES)
def test_any_key_and_any_value_is_taken_or_refused_in_one_sentence(key: tuple[Any, str], value: Any) -> None:
    table: dict[str, Any] = tomllib.loads(LEAST)
    place = {Data: table["data"][0], Model: table["model"], Train: table.setdefault("train", {})}.get(key[0])
    if place is None:
        place = table["model"].setdefault("fresh", {}) if key[0] is Fresh else table.setdefault("lora", {})
    place[key[1]] = value
    said = "a.toml: "
    try:
        from_table(table, Path("a.toml"))
    except UsageError as error:
        said = str(error)
    assert said.startswith("a.toml: ")
    assert said == plain(said)
