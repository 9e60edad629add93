"""`vipcli.batch.runner`: what comes of a job, and that nothing is lost or done twice, whatever ends it and when."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from batch.stubbed import Inline, Stub
from PIL import Image
from processes import WITH_ITS_OWN_PEAK, alive, children

from vipcli.batch import Asking, Facts, Journal, open_source, run
from vipcli.errors import UsageError, VipError
from vipcli.scenes import compose

REPOSITORY = Path(__file__).parents[2]
DRIVER = [sys.executable, str(Path(__file__).with_name("stubbed.py"))]


def manifest(folder, rows, name="list.jsonl"):
    """A list of questions about one small picture; each row may have more."""
    if not (folder / "dot.png").exists():
        Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(folder / "dot.png")
    path = folder / name
    with path.open("w") as file:
        file.writelines(f"{json.dumps({'image': 'dot.png', 'question': 'Hm?', **row})}\n" for row in rows)
    return path


def answered(path, engine, out, **options):
    """Run a job in this process: (rows of its events, what it returned)."""
    source, journal = open_source([str(path)], Asking()), Journal(out, {"model": engine.name})
    rows = []
    with journal, Inline() as workers:
        events = run(source, engine, journal, workers, Facts(28), **options)
        while True:
            try:
                rows.append(next(events).row)
            except StopIteration as end:
                return rows, end.value


def written(out):
    """The rows of a journal, each of which must be whole."""
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_every_item_is_a_row_and_every_row_an_event(tmp_path):
    path = manifest(tmp_path, [{"id": "a", "shelf": 7, "markers": ["box:1,2,9,9@red"]}, {"id": "b"}])
    rows, skipped = answered(path, Stub(), tmp_path / "out.jsonl")
    assert rows == written(tmp_path / "out.jsonl")
    assert skipped == 0
    first = rows[0]
    assert (first["id"], first["markers"], first["fields"]) == ("a", ["box:1,2,9,9@red"], {"shelf": 7})
    assert (first["error"], first["finish"], first["model"]) == (None, "stop", "stub")
    assert first["answer"] == first["prompt"]


def test_what_was_answered_is_counted_and_not_asked_again(tmp_path):
    path, out = manifest(tmp_path, [{"id": "a"}, {"id": "b"}]), tmp_path / "out.jsonl"
    answered(path, Stub(), out)
    before = out.read_bytes()
    engine = Stub()
    assert answered(path, engine, out) == ([], 2)
    assert not engine.asked
    assert out.read_bytes() == before


def test_what_fails_is_a_row_with_its_place_and_is_asked_again(tmp_path):
    rows = [{"id": "a", "question": "broken?"}, {"id": "b", "image": "gone.png"}, {"id": "c"}, {"id": [4]}]
    path, out = manifest(tmp_path, rows), tmp_path / "out.jsonl"
    errors = {row["id"]: row["error"] for row in answered(path, Stub(), out)[0]}
    assert errors["a"] == "list.jsonl, line 1: no luck"
    assert errors["b"].startswith("list.jsonl, line 2: ")
    assert "gone.png" in errors["b"]
    assert errors["c"] is None
    assert "neither text nor a number" in errors["line 4"]
    again, skipped = answered(path, Stub(), out)
    assert {row["id"] for row in again} == {"a", "b", "line 4"}
    assert skipped == 1
    assert len(written(out)) == 4


def test_an_id_that_stands_twice_is_an_error_of_the_second(tmp_path):
    path, out = manifest(tmp_path, [{"id": "a"}, {"id": "a", "question": "Else?"}]), tmp_path / "out.jsonl"
    twice = "list.jsonl, line 2: its id 'a' stands there twice, with another question: give each one an id of its own"
    assert sorted((row["error"] for row in answered(path, Stub(), out)[0]), key=str) == [None, twice]
    rows, skipped = answered(path, Stub(), out)
    assert ([row["error"] for row in rows], skipped) == ([twice], 1), "as long as it stands there"


def test_the_same_question_once_more_has_its_answer(tmp_path):
    path, out = manifest(tmp_path, [{"id": "a"}, {"id": "b"}, {"id": "a"}, {"id": "a", "shelf": 7}]), tmp_path / "out"
    rows, skipped = answered(path, Stub(), out)
    assert (sorted(row["id"] for row in rows), skipped) == (["a", "b"], 2)
    assert answered(path, Stub(), out) == ([], 4)


def test_what_cant_be_asked_and_an_item_of_its_id_are_two(tmp_path):
    path, out = manifest(tmp_path, [{"id": "a", "image": ""}, {"id": "a"}, {"id": "a", "image": 5}]), tmp_path / "out"
    errors = [row["error"] for row in answered(path, Stub(), out)[0]]
    assert "its image is no path or URL" in errors[0]
    assert all("its id 'a' stands there twice" in error for error in errors[1:])


@pytest.mark.parametrize("change", ["question", "markers", "picture"])
def test_an_item_that_has_changed_since_is_refused(tmp_path, change):
    path, out = manifest(tmp_path, [{"id": "a"}]), tmp_path / "out.jsonl"
    answered(path, Stub(), out)
    if change == "picture":
        Image.new("RGB", (50, 40)).save(tmp_path / "dot.png")
    else:
        manifest(tmp_path, [{"id": "a", change: "point:3,3"}])
    with pytest.raises(UsageError, match=r"list.jsonl, line 1: its picture, markers or question have changed"):
        answered(path, Stub(), out)


def test_a_list_that_has_grown_is_gone_on_with(tmp_path):
    path, out = manifest(tmp_path, [{"id": "a"}]), tmp_path / "out.jsonl"
    answered(path, Stub(), out)
    manifest(tmp_path, [{"id": "new"}, {"id": "a"}])
    rows, skipped = answered(path, Stub(), out)
    assert ([row["id"] for row in rows], skipped) == (["new"], 1)


def test_an_engine_that_gives_up_raises_and_what_came_stays(tmp_path):
    class Tired(Stub):
        def answers(self, feed, at_once=None):
            for number, result in enumerate(super().answers(feed, at_once)):
                if number == 3:
                    raise VipError("the server has gone")
                yield result

    path, out = manifest(tmp_path, [{"id": number} for number in range(9)]), tmp_path / "out.jsonl"
    with pytest.raises(VipError, match="has gone"):
        answered(path, Tired(), out)
    assert len(written(out)) == 3
    assert answered(path, Stub(), out)[1] == 3


# -- Whatever ends it


class Driver:
    """Commands run by `stubbed.py`."""

    def __init__(self, process):
        self.process = process

    def __call__(self, *argv, signal=0, after=0.0, pause=0.0, blanks=False):
        order = {"argv": [*map(str, argv)], "signal": signal, "after": after, "pause": pause, "blanks": blanks}
        self.process.stdin.write(f"{json.dumps(order)}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def driver():
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")}
    with subprocess.Popen(
        [*WITH_ITS_OWN_PEAK, *DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        yield Driver(process)
        process.stdin.close()


def check(out, wanted):
    """That a journal has whole lines, but for the last, and no answer twice or unasked; how many there are."""
    *lines, _ = out.read_bytes().split(b"\n") if out.exists() else [b""]
    ids = [row["id"] for row in map(json.loads, lines) if row["answer"] is not None]
    assert len(ids) == len(set(ids))
    assert set(ids) <= wanted
    return len(ids)


def test_kill_9_at_50_moments_loses_nothing_and_does_nothing_twice(tmp_path):
    items = [
        {"id": str(number), "question": f"{'flaky' if number % 9 == 0 else 'fine'} {number}?"} for number in range(1200)
    ]
    path, out = manifest(tmp_path, items), tmp_path / "out.jsonl"
    wanted, draw = {item["id"] for item in items}, random.Random(4)
    command = ["batch", path, "-o", out, "-m", "tiny"]
    with driver() as vip:
        counts, latest = [0], 0.25  # seconds
        for _ in range(50):
            end = vip(*command, signal=signal.SIGKILL, after=draw.uniform(0.01, latest), pause=0.008)
            assert end["code"] == -signal.SIGKILL
            counts.append(check(out, wanted))
            if counts[-1] == counts[-2]:  # this machine has hardly begun by then
                latest *= 1.1
        assert counts == sorted(counts), "an answer was lost"
        assert len(set(counts)) > 20, "the kills came while it was answering"
        while vip(*command)["code"] == 3:
            pass
    rows = written(out)
    assert sorted(row["id"] for row in rows) == sorted(wanted)
    assert all(f" {row['id']}?" in row["answer"] for row in rows)


def test_ctrl_c_and_sigterm_at_20_moments_leave_a_whole_journal(tmp_path):
    items = [{"id": str(number)} for number in range(1600)]
    path, out = manifest(tmp_path, items), tmp_path / "out.jsonl"
    wanted, draw = {item["id"] for item in items}, random.Random(5)
    command = ["batch", path, "-o", out, "-m", "tiny"]
    codes = []
    with driver() as vip:
        for number in range(20):
            code, sent = (130, signal.SIGINT) if number % 2 else (143, signal.SIGTERM)
            end = vip(*command, signal=sent, after=draw.uniform(0.1, 0.3), pause=0.02)
            codes.append(end["code"])
            assert codes[-1] in (code, -signal.SIGTERM), "or it had not begun"
            check(out, wanted)
            assert not out.exists() or out.read_bytes()[-1:] in (b"", b"\n")
        assert {130, 143} <= set(codes)
        assert vip(*command)["code"] == 0
    assert sorted(row["id"] for row in written(out)) == sorted(wanted)


def test_memory_stays_flat_from_1_000_to_100_000_items(tmp_path):
    peaks = {}
    with driver() as vip:
        for count in (1_000, 100_000):
            path = manifest(tmp_path, ({"id": f"item {number}"} for number in range(count)), f"{count}.jsonl")
            end = vip("batch", path, "-o", tmp_path / f"out{count}.jsonl", "-m", "tiny", blanks=True)
            assert end["code"] == 0
            peaks[count] = end["peak"]
    with (tmp_path / "out100000.jsonl").open() as file:
        assert sum(1 for _ in file) == 100_000
    assert peaks[100_000] - peaks[1_000] < 25_000, "kilobytes; 16 MB are the ids that were seen"


def test_the_real_thing_killed_interrupted_and_ended_finishes_with_every_item_once(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(300):
        Image.fromarray(compose(rng, (64, 48), 1).picture).save(tmp_path / f"{number:03}.png")
    out = tmp_path / "out.jsonl"
    arguments = [str(tmp_path), "-o", str(out), "-q", "What is in the picture?", "-m", "tiny", "--batch-size", "4"]
    command = [sys.executable, "-m", "vipcli", "batch", *arguments]
    for sent, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = check(out, names := {f"{number:03}.png" for number in range(300)})
        with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, start_new_session=True) as process:
            while (out.read_bytes().count(b"\n") if out.exists() else 0) < before + 20:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.002)
            workers = children(process.pid)
            assert workers
            (os.kill if sent == signal.SIGKILL else os.killpg)(process.pid, sent)  # Ctrl-C reaches a whole group
            error = process.stderr.read().decode()
        assert process.returncode == code
        assert before + 20 <= check(out, names) < 300
        if code > 0:
            assert error.startswith("vip: stopped; ")
            assert error.count("\n") == 1, "workers are silent too"
        until = time.monotonic() + 10
        while any(map(alive, workers)):
            assert time.monotonic() < until, "workers end with the one that started them"
            time.sleep(0.01)
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "answered before" in done.stderr
    assert sorted(row["id"] for row in written(out)) == sorted(names)
