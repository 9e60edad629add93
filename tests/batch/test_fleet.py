"""`vipcli.batch.fleet`: several processes with a model each answer as one does, and the death of one loses nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from vipcli.batch.fleet import Fleet, _devices
from vipcli.engine import Job, Request, Result, open_engine, resolve
from vipcli.errors import ModelError

ASKED = "###Human: <image>\nWhat is within the red rectangle?###Assistant:"


class Given:
    """A feed of what is there from the beginning; `late` makes it answer "not yet" once before each job."""

    def __init__(self, requests: list[Request], late: bool = False) -> None:
        self._jobs = [Job(number, request) for number, request in enumerate(requests)][::-1]
        self._late, self._shown = late, False

    def take(self, wait: bool) -> Job | None:
        if self._late and not wait and self._jobs and not self._shown:
            self._shown = True
            return None
        self._shown = False
        return self._jobs.pop() if self._jobs else None


class Poison(Request):
    """A request that ends the process which begins it, as a fault in a driver of a GPU would."""

    def __getattribute__(self, name: str) -> Any:
        if name == "temperature" and multiprocessing.parent_process() is not None:
            os._exit(1)
        return super().__getattribute__(name)


def requests_of(count: int) -> list[Request]:
    noise = np.random.default_rng(0)
    return [
        Request(noise.integers(0, 256, (60, 90, 3), dtype=np.uint8), ASKED, max_new_tokens=1 + number % 9)
        for number in range(count)
    ]


def texts(results: list[Result]) -> list[str]:
    found = {result.key: result for result in results}
    assert len(found) == len(results), "each once"
    return [found[number].answer.text for number in range(len(results))]


def fleet(count: int) -> Fleet:
    return Fleet.of(resolve("tiny"), "tiny", count, device="cpu")


def processes(parent: psutil.Process) -> list[psutil.Process]:
    return [one for one in parent.children() if "spawn_main" in " ".join(one.cmdline())]


def gone(those: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(those, timeout=10)[1]


def test_two_processes_answer_as_one_and_the_death_of_one_loses_nothing():
    requests = requests_of(120)
    alone = texts(list(open_engine("tiny", device="cpu").answers(Given(requests))))
    answers = fleet(2).answers(Given(requests, late=True), at_once=4)
    results = [next(answers)]
    first = processes(psutil.Process())
    assert len(first) == 2
    first[0].kill()
    results += answers
    assert texts(results) == alone
    assert gone(first), "they live no longer than the job"
    assert not processes(psutil.Process())


def test_a_request_that_kills_its_process_fails_alone():
    requests = requests_of(12)
    requests[5] = Poison(None, "?")
    found = {result.key: result for result in fleet(1).answers(Given(requests))}
    assert len(found) == 12
    assert str(found[5].error) == "the process that answered it died, and it was tried twice"
    assert all(found[number].answer for number in range(12) if number != 5)


def test_a_model_that_cannot_be_loaded_ends_the_job_in_one_sentence():
    broken = replace(fleet(1), options={"device": "cpu", "dtype": "float1"})
    with pytest.raises(ModelError, match="--dtype float1: use auto"):
        next(broken.answers(Given(requests_of(1))))


def test_processes_end_with_whoever_started_them():
    script = (
        "import test_fleet\n"
        "for result in test_fleet.fleet(1).answers(test_fleet.Given(test_fleet.requests_of(3000))):\n"
        "    print(result.answer.text, flush=True)\n"
    )
    parents = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(2)
    ]
    those = []
    for parent in parents:
        assert parent.stdout is not None
        assert parent.stdout.readline().strip()
        those += processes(psutil.Process(parent.pid))
    assert len(those) == 2
    os.killpg(parents[0].pid, signal.SIGINT)  # as a terminal does: to all of the group
    parents[1].kill()
    for parent, how in zip(parents, (signal.SIGINT, signal.SIGKILL), strict=True):
        with parent:
            parent.communicate(timeout=20)
        assert parent.returncode == -how
    assert gone(those)


def test_each_gpu_gets_a_process_in_turn_unless_a_device_is_named(monkeypatch):
    def chosen(name: str) -> str:
        if name not in ("cuda:0", "cuda:1"):
            raise ModelError("there are 2")
        return name

    monkeypatch.setattr("vipcli.engine.choose_device", chosen, raising=False)
    assert _devices(3, "auto") == ["cuda:0", "cuda:1", "cuda:0"]
    assert _devices(2, "cpu") == ["cpu", "cpu"]
    monkeypatch.setattr("vipcli.engine.choose_device", lambda _: chosen("none"), raising=False)
    assert _devices(2, "auto") == ["auto", "auto"]
