"""Command lines of ``vip batch`` that can't be: one sentence each, and nothing is written."""

import os

import pytest
from cli.test_ask import one_line
from cli.test_batch import manifest

OUT = ["-o", "out.jsonl"]
WRONG = {
    "no source": ([*OUT, "-q", "Hm?"], "Missing argument"),
    "no output": (["photos", "-q", "Hm?"], "no output: say where the answers go, like -o answers.jsonl"),
    "no question": (["photos", *OUT], 'photos has no questions of its own: give one, like -q "What is this?"'),
    "an empty question": (["photos", *OUT, "-q", " "], "--question: it is empty"),
    "a source that isn't there": (["missing", *OUT, "-q", "Hm?"], "there is no missing: SOURCE is a folder"),
    "a source of no kind": (["photos/notes.md", *OUT, "-q", "Hm?"], "photos/notes.md is no source that vip knows"),
    "an empty source": (["", *OUT, "-q", "Hm?"], "SOURCE: the path is empty"),
    "an output of no kind": (
        ["photos", "-o", "out.xml", "-q", "Hm?"],
        "--output out.xml: use .jsonl, .csv or .parquet",
    ),
    "an output without a folder": (["photos", "-o", "no/out.csv", "-q", "Hm?"], "there is no folder no"),
    "an output that is a folder": (["photos", "-o", "f.jsonl", "-q", "Hm?"], "f.jsonl: is a folder; name a file in it"),
    "an output that is the source": (["list.jsonl", "-o", "list.jsonl"], "list.jsonl: that is the source itself"),
    "a pipe as an output": (["photos", "-o", "pipe.jsonl", "-q", "Hm?"], "pipe.jsonl: is a device or a pipe"),
    "a report in its place": (
        ["photos", *OUT, "-q", "Hm?", "--html", "out.jsonl"],
        "two outputs would be written there",
    ),
    "a report that is a folder": (["photos", *OUT, "-q", "Hm?", "--html", "photos"], "photos: is a folder"),
    "a source without place": (["photos", *OUT, "-q", "Hm?", "--annotate", "a.json"], "--annotate: "),
    "a name that is too long": (["photos", "-o", "a" * 300 + ".jsonl", "-q", "Hm?"], "can't be written: File name too"),
    "a folder for one file": (
        ["list.jsonl", *OUT, "--annotate", "f.jsonl"],
        "--annotate f.jsonl: is a folder; name a file in it",
    ),
    "an annotated source": (["list.jsonl", *OUT, "--annotate", "list.jsonl"], "list.jsonl: that is the source itself"),
    "a batch of no number": (["photos", *OUT, "-q", "Hm?", "--batch-size", "many"], "--batch-size many: use auto or"),
    "a batch of nothing": (["photos", *OUT, "-q", "Hm?", "--batch-size", "0"], "--batch-size 0: use auto or a number"),
    "a sample of nothing": (["photos", *OUT, "-q", "Hm?", "--sample", "0"], "--sample 0: must be 1 or more"),
    "a unit that isn't one": (["photos", *OUT, "-q", "Hm?", "--coords", "inches"], "--coords inches: use pixels"),
    "a negative temperature": (["photos", *OUT, "-q", "Hm?", "--temperature", "-1"], "temperature must be 0 or more"),
    "an unknown flag": (["photos", *OUT, "--questions", "Hm?"], "No such option: --questions"),
    "an unknown device": (["photos", *OUT, "-q", "Hm?", "--device", "tpu9"], "--device tpu9"),
    "an unknown dtype": (["photos", *OUT, "-q", "Hm?", "--dtype", "int3"], "--dtype int3"),
    "an unknown style": (["photos", *OUT, "-q", "Hm?", "--prompt-style", "x"], "--prompt-style x: use auto"),
    "a column that is missing": (["bare.csv", *OUT], "bare.csv has no column 'image'; it has name, size"),
    "globs of a list": (
        ["list.jsonl", *OUT, "--include", "*"],
        "--include goes with a folder of pictures, not with list",
    ),
    "folders of pictures": (["photos/pond.png", *OUT, "-q", "Hm?", "-r"], "--recursive goes with a folder of pictures"),
    "another folder of a folder": (["photos", *OUT, "-q", "Hm?", "--images", "."], "--images goes with a list or anno"),
    "a misspelt name": (["list.jsonl", *OUT, "-q", "A {lable}?"], "line 1: the question has {lable}, which this item"),
    "a misspelt column": (["good.csv", *OUT, "-q", "A {lable}?"], "the question has {lable}, which good.csv lacks"),
    "no folder of pictures": (["list.jsonl", *OUT, "--images", "gone"], "--images gone: there is no such folder"),
    "a folder without pictures": (["f.jsonl", *OUT, "-q", "Hm?"], "f.jsonl holds no picture"),
    "globs that nothing matches": (
        ["photos", *OUT, "-q", "Hm?", "--include", "*.gif"],
        "photos holds no picture that --include and --exclude let through",
    ),
    "an empty list": (["none.jsonl", *OUT], "none.jsonl holds nothing to ask about"),
    "a marker that can't be": (["photos", *OUT, "-q", "What is @1?"], "names @1, which no marker is called: there are"),
    "a report that can't be written": (
        ["photos", *OUT, "-q", "Hm?", "--html", "/proc/r.html"],
        "nothing can be written",
    ),
    "workers of a server": (
        ["photos", *OUT, "-q", "Hm?", "-m", "http://h/v1", "--workers", "2"],
        "--workers is for models that vip runs; a server has chosen for itself",
    ),
    "a cluster and a server": (
        ["photos", *OUT, "-q", "Hm?", "--engine", "ray", "-m", "http://h/v1"],
        "a Ray cluster runs models itself, and here the model is the address of a server",
    ),
    "a dry run of a model's server": (
        ["photos", "-q", "Hm?", "--dry-run", "-m", "http://h"],
        "and http://h is a server",
    ),
    "a dry run of a server": (["photos", "-q", "Hm?", "--dry-run", "--engine", "http://h/v1"], "--dry-run shows what"),
    "a dry run of nothing": (["f.jsonl", "-q", "Hm?", "--dry-run"], "f.jsonl holds no picture"),
}


@pytest.mark.parametrize("case", WRONG, ids=lambda text: text)
def test_wrong_usage_is_one_sentence_and_exit_2_and_writes_nothing(vip, folder, tmp_path, monkeypatch, case):
    manifest(tmp_path, {"question": "Hm?"})
    (tmp_path / "bare.csv").write_text("name,size\na,1\n")
    (tmp_path / "good.csv").write_text("image,label\nphotos/pond.png,duck\n")
    (tmp_path / "f.jsonl").mkdir()
    (tmp_path / "none.jsonl").touch()
    (folder / "notes.md").write_text("none")
    os.mkfifo(tmp_path / "pipe.jsonl")
    before = sorted((one.name, one.stat().st_mtime_ns) for one in tmp_path.iterdir())
    if case not in ("an unknown device", "an unknown dtype"):
        monkeypatch.setattr("vipcli.engine.loading.load", lambda *_, **__: pytest.fail("the model was loaded"))
    arguments, sentence = WRONG[case]
    outcome = vip("batch", "-m", "tiny", *arguments)
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert sentence in one_line(outcome.err)
    assert sorted((one.name, one.stat().st_mtime_ns) for one in tmp_path.iterdir()) == before


def test_annotations_without_anything_to_ask_about_are_no_success(vip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.json").write_text('{"images": [], "annotations": [], "categories": []}')
    outcome = vip("batch", "none.json", *OUT, "-q", "What is @1?", "-m", "tiny")
    assert (outcome.code, "none.json holds nothing to ask about" in outcome.err) == (2, True)


def test_a_model_that_is_not_there_is_one_sentence_and_exit_1(vip, folder, tmp_path):
    outcome = vip("batch", "photos", *OUT, "-q", "Hm?", "-m", "./nowhere")
    assert (outcome.code, outcome.out) == (1, "")
    assert "there is no model './nowhere'" in one_line(outcome.err)
    assert [one.name for one in tmp_path.iterdir()] == ["photos"]
