"""`Job.said`: answers that are given together are told as they come, and end when nobody wants them any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engine.test_batching import Limited, alone, requests_of, what

from vipcli.engine import Job, Model, Request, Token
from vipcli.engine.loading import load
from vipcli.engine.local import LocalEngine
from vipcli.engine.slots import Slots


class Told:
    """A feed that keeps what is said of each request; `until` says how many tokens of one are wanted."""

    def __init__(self, requests: list[Request], until: dict[int, int] | None = None) -> None:
        self._jobs = [Job(number, one, lambda t, n=number: self._hear(n, t)) for number, one in enumerate(requests)]
        self._until = until or {}
        self.heard: dict[int, list[Token]] = {number: [] for number in range(len(requests))}

    def take(self, wait: bool) -> Job | None:  # noqa: ARG002
        return self._jobs.pop(0) if self._jobs else None

    def _hear(self, number: int, token: Token) -> bool:
        self.heard[number].append(token)
        return len(self.heard[number]) < self._until.get(number, 10**6)


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> LocalEngine:
    return load(Model("it", folder=checkpoint))


@pytest.fixture(params=["together", "one by one"])
def either(request: pytest.FixtureRequest, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> LocalEngine:
    if request.param == "one by one":
        monkeypatch.setattr(engine, "text", None)
    return engine


def test_what_is_said_is_what_stream_gives(either: LocalEngine) -> None:
    asked = requests_of(9)
    whole = "".join(token.text for token in either.stream(asked[4]))
    asked.append(replace(asked[4], stop=(whole[len(whole) // 2 :][:2],)))  # some of it is held back
    feed = Told(asked)
    results = {result.key: result for result in either.answers(feed, 4)}
    either.forget()
    for number, request in enumerate(asked):
        running = either.stream(request)
        assert feed.heard[number] == list(running)
        assert what(results[number].answer) == what(running.answer)


def test_an_answer_that_nobody_wants_ends_at_once_and_harms_no_other(either: LocalEngine) -> None:
    asked = [replace(request, max_new_tokens=30) for request in requests_of(8)]
    expected = alone(either, asked)
    feed = Told(asked, until={1: 1, 5: 7})
    found = {result.key: result.answer for result in either.answers(feed, 4)}
    for number in range(8):
        answer = found[number]
        assert answer is not None
        if number in (1, 5):
            assert (answer.finish, answer.answer_tokens) == ("interrupted", {1: 1, 5: 7}[number])
            assert len(feed.heard[number]) == {1: 1, 5: 7}[number]
            assert expected[number][0].startswith(answer.text)
        else:
            assert what(answer) == expected[number]


def test_its_place_is_free_for_who_waits(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    step = Slots.step
    monkeypatch.setattr(Slots, "step", lambda self, ids: rows.append(len(ids)) or step(self, ids))
    asked = [replace(request, max_new_tokens=40) for request in requests_of(2)]
    list(engine.answers(Told(asked, until={0: 2}), 1))
    assert len(rows) < 2 + 40


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_where_memory_runs_out_nothing_is_said_twice(
    temperature: float, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [replace(request, temperature=temperature, max_new_tokens=12) for request in requests_of(12)]
    feed = Told(asked)
    memory = Limited(monkeypatch, 8)
    results = []
    for result in engine.answers(feed, 8):
        results.append(result)
        memory.rows = 3
    for result in results:
        assert result.answer is not None
        assert "".join(token.text for token in feed.heard[result.key]).strip() == result.answer.text  # type: ignore[index]
    assert len(results) == 12
