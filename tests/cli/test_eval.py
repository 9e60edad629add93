"""``vip eval`` as a user types it, on the embedded model and on data of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from cli.conftest import Outcome
from engine.scripted_server import Scripted, running
from PIL import Image

from vipcli.batch import Workers
from vipcli.evaluation import read_lines

Vip = Callable[..., Outcome]
EXAMPLES = Path(__file__).parents[2] / "examples"
OWN = [
    {"image": "meadow.png", "question": "What is @1?", "markers": ["box:440,118,598,283"], "answer": "a mushroom"},
    {
        "image": "meadow.png",
        "question": "What is @1?",
        "markers": ["box:440,118,598,283"],
        "answer": "mushroom",
        "rule": "contains",
        "groups": {"rule": "lenient"},
    },
    {"image": "pond.png", "question": "How many objects are there?", "answer": 99, "rule": "number"},
]


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    with Workers(1) as workers:
        yield workers


@pytest.fixture(autouse=True)
def one_pool(pool: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that open pictures are started once for all of these tests."""

    @contextmanager
    def shared(_count: int) -> Iterator[Workers]:
        pool.put("cd", os.chdir, os.getcwd())  # it would have been started here
        pool.get(wait=True)
        yield pool

    monkeypatch.setattr("vipcli.batch.Workers", shared)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file of three questions about the pictures of the examples."""
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(f"{json.dumps({**one, 'image': str(EXAMPLES / one['image'])})}\n" for one in OWN))
    return path


def test_questions_of_ones_own_are_asked_scored_and_written_down(own: Path, tmp_path: Path, vip: Vip) -> None:
    results = tmp_path / "results"
    done = vip("eval", own, "-m", "tiny", "-o", results)
    assert done.code == 0
    assert "3 answered" in done.err
    assert re.search(r"\| All \| 66\.7 \| .* \| 3 \| 3 \| 0 \| 0 \| 0 \|", done.out)
    assert "| rule: lenient | 100.0 |" in done.out
    assert {file.name for file in results.iterdir()} == {
        *("answers.jsonl", "answers.jsonl.job", "answers.jsonl.lock"),
        *("scored.jsonl", "results.json", "results.md", "report.html", "manifest.json"),
    }
    first, second, third = read_lines(results / "scored.jsonl")
    assert (first.answer, first.outcome, first.score) == ("a mushroom", "right", 1)
    assert (second.outcome, third.outcome) == ("right", "wrong")
    assert first.question == "What is @1?"
    manifest = json.loads((results / "manifest.json").read_text())
    assert manifest["model"] == "tiny"
    assert (manifest["style"], manifest["system"], manifest["data"]) == (None, None, None)
    assert len(manifest["weights"]) == 16
    assert manifest["device"]
    assert manifest["device"] != "auto"
    assert manifest["versions"]["transformers"]
    assert "a mushroom" in (results / "report.html").read_text()

    first_out = done.out
    done = vip("eval", own, "-m", "tiny", "-o", results)
    assert (done.code, done.out) == (0, first_out)
    assert "0 answered, 3 answered before" in done.err


def test_a_control_asks_the_same_of_a_picture_without_its_markers(own: Path, tmp_path: Path, vip: Vip) -> None:
    done = vip("eval", own, "-m", "tiny", "--control", "-o", tmp_path / "results")
    assert done.code == 0
    assert re.search(r"\| marker removed \| 66\.7 \|", done.out)
    rows = [json.loads(line) for line in (tmp_path / "results" / "answers.jsonl").read_text().splitlines()]
    prompts = {row["id"]: row["prompt"] for row in rows}
    assert len(prompts) == 9
    assert prompts["1"] == prompts["1 (removed)"] == prompts["1 (moved)"]
    drawn = {row["id"]: row["markers"] for row in rows}
    assert drawn["1 (removed)"] == []
    assert drawn["1 (moved)"] != drawn["1"]


def test_two_runs_are_compared_item_by_item(own: Path, tmp_path: Path, vip: Vip) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    vip("eval", own, "-m", "tiny", "-o", a)
    vip("eval", own, "-m", "tiny", "-o", b, "--system", "Answer.")
    done = vip("eval", "--compare", a, b, "-o", tmp_path / "both")
    assert done.code == 0
    assert "## b beside a" in done.out
    assert (tmp_path / "both" / "comparison.md").read_text().strip() == done.out.strip()
    assert json.loads((tmp_path / "both" / "comparison.json").read_text())["rows"][0]["asked"] == 3


def test_another_model_or_setting_needs_another_folder(own: Path, tmp_path: Path, vip: Vip) -> None:
    vip("eval", own, "-m", "tiny", "-o", tmp_path / "results")
    done = vip("eval", own, "-m", "tiny", "-o", tmp_path / "results", "--system", "Answer.")
    assert done.code == 2
    assert "has the answers of another job (system was not set and is Answer.)" in done.err


def test_answers_from_elsewhere_are_scored_as_ours(own: Path, tmp_path: Path, vip: Vip) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"1": "a mushroom", "2": "No mushroom.", "3": "ninety-nine"}))
    done = vip("eval", own, "--score", answers, "-o", tmp_path / "results")
    assert done.code == 0
    assert "| All | 100.0 |" in done.out
    answers.write_text(json.dumps({"1": "a mushroom"}))
    done = vip("eval", own, "--score", answers, "-o", tmp_path / "results")
    assert done.code == 2
    assert "lacks 2 of 3 answers" in done.err


def test_a_manifest_tells_the_same_questions_from_others(own: Path, tmp_path: Path, vip: Vip) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"1": "a mushroom", "2": "No mushroom.", "3": "ninety-nine"}))
    digests = []
    for name in ("here", "elsewhere", "other"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "mine.jsonl"
        file.write_text(own.read_text().replace("99", "98" if name == "other" else "99"))
        assert vip("eval", file, "--score", answers, "-o", tmp_path / name / "results").code == 0
        manifest = json.loads((tmp_path / name / "results" / "manifest.json").read_text())
        assert manifest["intervals"] == {"resamples": 2000, "seed": 20261126}
        digests.append(manifest["digest of the questions"])
    assert digests[0] == digests[1] != digests[2]


def bench(folder: Path) -> Path:
    """Two questions of ViP-Bench, as it is published."""
    (folder / "bbox" / "images").mkdir(parents=True)
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(folder / "bbox" / "images" / "v1_0.png")
    meta = {
        f"v1_{n}": {"question": "What is this?", "answer": "a cat", "capability": ["rec"], "image": "v1_0.png"}
        for n in range(2)
    }
    (folder / "vip-bench-meta-data.json").write_text(json.dumps(meta))
    lines = [{"question_id": f"v1_{n}", "image": "v1_0.png", "text": "What is this?"} for n in range(2)]
    (folder / "bbox" / "questions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def test_vip_bench_without_a_judge_is_not_scored_and_has_the_servers_file(tmp_path: Path, vip: Vip) -> None:
    data, results = bench(tmp_path / "data"), tmp_path / "results"
    done = vip("eval", "vip-bench", "--data", data, "-m", "tiny", "-o", results)
    assert done.code == 2
    assert "vip-bench is scored by a judge: name a server, --judge URL, or leave it unscored, --judge none" in done.err
    assert not results.exists()
    done = vip("eval", "vip-bench", "-d", data, "-m", "tiny", "--judge", "none", "--max-new-tokens", 16, "-o", results)
    assert done.code == 0
    assert re.search(r"\| All \| – \|", done.out)
    assert "2 of 2 questions have no score (2 not judged)" in done.out
    assert set(json.loads((results / "official.json").read_text())) == {"v1_0", "v1_1"}

    grades = tmp_path / "grades.json"
    grades.write_text(json.dumps({"v1_0": {"score": [0.5, 0.7]}, "v1_1": {"score": [1.0, 1.0]}}))
    done = vip("eval", "vip-bench", "-d", data, "--score", grades, "-o", tmp_path / "graded")
    assert done.code == 0
    assert "| All | 80.0 |" in done.out
    assert "| published: 7b | 48.4 |" in done.out
    assert not (tmp_path / "graded" / "official.json").exists(), "there are no answers in grades"


def test_a_judge_is_named_in_the_manifest_and_its_key_is_not(
    tmp_path: Path, vip: Vip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, answers, results = bench(tmp_path / "data"), tmp_path / "answers.json", tmp_path / "results of a judge"
    answers.write_text(json.dumps({"v1_0": "a cat", "v1_1": "a dog"}))
    with running(Scripted()) as server:
        server.on_ask = lambda call: call.say("1.0" if call.question.endswith("a cat |") else "0.5")
        url = server.url.replace("://", "://me:secret@")
        done = vip(
            "eval", "vip-bench", "-d", data, "--score", answers, "--judge", url, "--judge-runs", 2, "-o", results
        )
    assert done.code == 0
    assert "| All | 75.0 |" in done.out
    assert "The judge's 2 runs: 75.0, 75.0; they spread by 0.0." in done.out
    assert [line.runs for line in read_lines(results / "scored.jsonl")] == [(1.0, 1.0), (0.5, 0.5)]
    manifest = json.loads((results / "manifest.json").read_text())
    assert (manifest["judge"], manifest["judge server"], manifest["judge runs"]) == ("eyes-7b", server.url, 2)
    assert server.url in manifest["command"]
    assert f"&#x27;{results}&#x27;" in (results / "report.html").read_text(), "as a shell takes it"
    for file in results.iterdir():
        assert b"secret" not in file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "no task: name one, like vip eval synthetic -o results/"),
        (["synthetic"], "no output: name a folder for the results, like -o results/"),
        (["synthetic", "-o", ""], "--output: the path is empty"),
        (["sintetic", "-o", "r"], "sintetic is no task: use vip-bench, vp-bench, visual7w"),
        (["synthetic", "-o", "r", "--limit", "0"], "--limit 0: must be 1 or more"),
        (["synthetic", "-o", "r", "--max-new-tokens", "0"], "max_new_tokens"),
        (["synthetic", "-o", "r", "--data", "."], "--data: synthetic draws its own pictures and reads none"),
        (["synthetic", "-o", "r", "--judge", "none"], "--judge: synthetic is scored without one"),
        (["synthetic", "-o", "r", "--judge", "me"], "--judge me: give the http(s):// address of a server, or none"),
        (["synthetic", "-o", "r", "--judge-runs", "5"], "--judge-runs goes with --judge URL"),
        (["synthetic", "-o", "r", "--style", "star"], "--style star: a kind is one of box, ellipse"),
        (["synthetic", "-o", "r", "--style", "box@pink"], "--style box@pink: a color is one of red, lime"),
        (["synthetic", "-o", "r", "--style", "box", "--styles"], "--style and --styles: the one is a single style"),
        (["synthetic", "-o", "r", "--split", "human"], "--split human: synthetic has none"),
        (["visual7w", "-o", "r"], "visual7w needs its data: --data DIR (http"),
        (["vip-bench", "-o", "r", "-d", "nowhere", "--judge", "none"], "nowhere"),
        (["vp-bench", "-o", "r", "-d", ".", "--styles"], "--styles: vp-bench has no regions"),
        (["vip-bench", "-o", "r", "-d", ".", "--control"], "--control: the markers of vip-bench are in its pictures"),
        (["gone.jsonl", "-o", "r"], "gone.jsonl"),
        (["synthetic", "-o", "r", "--workers", "0"], "--workers 0: use a number from 1 to 256"),
        (["synthetic", "-o", "r", "--limit", "2", "-m", "tiny", "--dtype", "floaty"], "--dtype floaty: use auto"),
        (["--compare", "a", "b"], "--compare: a has no scored.jsonl: name a RESULTS folder of vip eval"),
        (
            ["synthetic", "--compare", "a", "b"],
            "--compare A B goes alone: it reads two RESULTS folders of vip eval; leave",
        ),
        (["--compare", "a", "b", "--limit", "3"], "of vip eval; leave --limit out"),
        (["synthetic", "-o", "r", "--score", "a.json", "--load-in", "4bit"], "answers are there; leave --load-in out"),
    ],
)
def test_what_cannot_be_ends_in_one_sentence_and_writes_nothing(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vip: Vip,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = vip("eval", *arguments)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_asked_no_folder_is_left(tmp_path: Path, vip: Vip) -> None:
    done = vip("eval", "synthetic", "--limit", 2, "-m", "nope", "-o", tmp_path / "results")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_a_control_gives_too_is_refused_and_not_answered_by_it(own: Path, tmp_path: Path, vip: Vip) -> None:
    rows = [json.loads(line) for line in own.read_text().splitlines()]
    ids = ["x (removed)", "x", "y"]
    own.write_text("".join(f"{json.dumps(row | {'id': name})}\n" for row, name in zip(rows, ids, strict=True)))
    done = vip("eval", own, "-m", "tiny", "--control", "-o", tmp_path / "results")
    assert done.code == 2
    assert "mine.jsonl, line 1: its id 'x (removed)' ends as those of other markings do: change it" in done.err


def test_texts_and_names_that_are_no_utf_8_are_measured_all_the_same(own: Path, tmp_path: Path, vip: Vip) -> None:
    row = json.loads(own.read_text().splitlines()[0])
    path = tmp_path / os.fsdecode(b"q\xff.jsonl")
    path.write_text(json.dumps(row | {"id": "\ud800"}) + "\n")
    results = tmp_path / os.fsdecode(b"r\xff")
    assert vip("eval", path, "-m", "tiny", "-o", results).code == 0
    assert json.loads((results / "results.json").read_text())["task"] == os.fsdecode(b"q\xff.jsonl")
    assert [line.id for line in read_lines(results / "scored.jsonl")] == ["\ud800"]
    assert vip("eval", "--compare", results, results, "-o", tmp_path / "both").code == 0


def test_where_a_judge_gives_no_score_it_is_said_why(tmp_path: Path, vip: Vip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, answers, results = bench(tmp_path / "data"), tmp_path / "answers.json", tmp_path / "results"
    answers.write_text(json.dumps({"v1_0": "a cat", "v1_1": "a dog"}))
    with running(Scripted()) as server:
        server.on_ask = lambda call: call.json({"error": {"message": "bad key"}}, 401)
        done = vip("eval", "vip-bench", "-d", data, "--score", answers, "--judge", server.url, "-o", results)
    assert done.code == 3
    assert "2 answers have no score, first v1_0: the judge: " in done.err
    assert "2 of 2 questions have no score (2 not judged): there is none to tell" in done.out


def test_a_terminal_without_room_for_a_table_gets_its_text(
    own: Path, tmp_path: Path, vip: Vip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vipcli.cli.console.is_lively_stdout", lambda: True)
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"1": "a mushroom", "2": "No mushroom.", "3": "ninety-nine"}))
    for columns, table in (("20", "| All | 100.0 |"), ("100", "│ All")):
        monkeypatch.setenv("COLUMNS", columns)
        assert table in vip("eval", own, "--score", answers, "-o", tmp_path / "results").out


def test_killed_it_goes_on_and_asks_nothing_twice(tmp_path: Path, vip: Vip) -> None:
    results = tmp_path / "results"
    command = ["eval", "synthetic", "--limit", "60", "-m", "tiny", "-o", str(results)]
    process = subprocess.Popen([sys.executable, "-m", "vipcli", *command], stderr=subprocess.DEVNULL)
    answers = results / "answers.jsonl"
    deadline = time.monotonic() + 60
    while not (answers.exists() and answers.stat().st_size > 5000) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    before = answers.read_bytes().count(b"\n")
    assert before
    done = vip(*command)
    assert done.code == 0
    ids = [json.loads(line)["id"] for line in answers.read_text().splitlines()]
    assert len(ids) == len(set(ids))
    assert f"{len(ids) - before} answered" in done.err or before == len(ids)
