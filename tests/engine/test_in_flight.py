"""`RemoteEngine.answers`: many questions to a server at a time."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from engine.scripted_server import (
    Call,
    Line,
    asking,
    cut_short,
    delta,
    echo,
    in_turn,
    refuse,
    seconds_to_close,
    silence,
    wait_for,
    why,
)

from vipcli.engine import Job, Request, Result, open_remote
from vipcli.errors import ModelError, PromptError, UsageError


def test_each_job_gets_its_answer(engine, server):
    server.on_ask = echo
    questions = [f"question {number}" for number in range(100)]
    results = list(engine.answers(Line(list(questions))))
    assert sorted(one.key for one in results) == sorted(questions)
    assert all(one.answer.text == one.key and one.error is None for one in results)
    assert {(one.answer.prompt_tokens, one.answer.answer_tokens) for one in results} == {(3, 1)}


def test_no_jobs_no_answers(server, engine):
    assert list(engine.answers(Line([]))) == []
    assert server.bodies == []


def test_as_many_are_in_flight_as_allowed_and_no_more(server):
    engine = open_remote(server.url, concurrency=5)
    together = threading.Barrier(5)
    now, most = [], []

    def answer(call: Call) -> None:
        now.append(call.question)
        most.append(len(now))
        together.wait(5)
        now.remove(call.question)
        echo(call)

    server.on_ask = answer
    line = Line(list(map(str, range(20))))
    for done, _ in enumerate(engine.answers(line), start=1):
        assert line.given <= done + 5, "nothing is taken before there is room for it"
    assert max(most) == 5


def test_the_concurrency_is_at_least_one(server):
    assert "must be 1 or more, got 0" in why(lambda: open_remote(server.url, concurrency=0), UsageError)


def test_results_come_as_they_finish(server, engine):
    slow = threading.Event()
    server.on_ask = lambda call: (call.question == "slow" and slow.wait(5), echo(call))
    results = engine.answers(Line(["slow", "quick", "quick too"]))
    assert {next(results).key, next(results).key} == {"quick", "quick too"}
    slow.set()
    assert [one.key for one in results] == ["slow"]


def test_a_feed_is_only_waited_for_while_nothing_is_in_flight(server, engine):
    server.on_ask = lambda call: (time.sleep(0.1), echo(call))

    class Slow:
        """Its second job is ready a little later; its third only once it is waited for."""

        def __init__(self) -> None:
            self.waits: list[bool] = []
            self.jobs = [Job(number, asking(str(number))) for number in range(3)]
            self.ready = time.monotonic() + 0.05

        def take(self, wait: bool) -> Job | None:
            self.waits.append(wait)
            left = len(self.jobs)
            ready = left == 3 or (left == 2 and time.monotonic() > self.ready) or wait
            return self.jobs.pop(0) if self.jobs and ready else None

    feed = Slow()
    assert [one.key for one in engine.answers(feed)] == [0, 1, 2]
    assert feed.waits.count(True) == 3, "for the first, the third and the end"


def test_what_fails_is_a_result_and_the_others_go_on(server, engine):
    def answer(call: Call) -> None:
        if call.question == "bad":
            call.json({"error": {"message": "can't see it"}}, 400)
        else:
            echo(call)

    server.on_ask = answer
    line = Line(["good", "bad", "good too"])
    line.left.insert(1, Job("prompt", Request(None, "USER: hello ASSISTANT:")))
    by_key = {one.key: one for one in engine.answers(line)}
    assert by_key["good"].answer.text == "good"
    assert by_key["good too"].answer.text == "good too"
    assert "it says: can't see it" in str(by_key["bad"].error)
    assert by_key["bad"].answer is None
    assert isinstance(by_key["prompt"].error, PromptError)


def test_an_answer_that_broke_off_is_asked_for_again_since_nobody_saw_it(server, engine):
    server.on_ask = in_turn(cut_short, lambda call: call.stream(delta("half")), echo)
    (result,) = engine.answers(Line(["whole"]))
    assert result.answer.text == "whole"


def test_a_server_that_is_gone_ends_the_run_soon(server, pauses):
    engine = open_remote(server.url, concurrency=2, pause=pauses)
    server.shutdown()
    server.server_close()
    line = Line(list(map(str, range(50))))
    seen: list[Result] = []
    with pytest.raises(ModelError, match="3 requests in a row failed, and others would too: nothing answers at "):
        seen += engine.answers(line)
    assert len(seen) == 3
    assert all("tried 5 times" in str(one.error) for one in seen)
    assert line.given <= 5


def test_a_key_that_is_refused_ends_the_run_and_one_that_works_between_doesnt(server):
    engine = open_remote(server.url, concurrency=1)
    server.on_ask = lambda call: echo(call) if call.question in "cf" else call.json({}, 401)
    assert len(list(engine.answers(Line(list("abcdefgh"))))) == 8
    server.on_ask = refuse(401)
    line = Line(list("abcdefgh"))
    with pytest.raises(ModelError, match=r"3 requests in a row failed, and others would too: .* wants a key"):
        list(engine.answers(line))
    assert line.given == 3


@pytest.mark.parametrize(
    "hang",
    [
        pytest.param(silence, id="before the first byte"),
        pytest.param(lambda call: call.stream(delta("a")) or call.left(), id="in the middle"),
    ],
)
def test_who_leaves_disconnects_all_that_is_in_flight(server, hang):
    engine = open_remote(server.url, concurrency=5)
    left = []
    assert seconds_to_close(server, engine, lambda call: left.append(hang(call))) < 0.5
    wait_for(lambda: left == [True] * 4)  # so that the server can stop
    server.on_ask = echo
    assert engine.stream(asking("still there?")).finished().text == "still there?"


def test_who_leaves_waits_for_no_other_try(server):
    engine = open_remote(server.url, concurrency=5)
    assert seconds_to_close(server, engine, refuse(503, retry_after=60)) < 0.5
    asked = len(server.asked)
    time.sleep(0.1)
    assert len(server.asked) == asked


def test_ctrl_c_disconnects_all_that_is_in_flight(server, engine):
    left = []
    server.on_ask = lambda call: left.append(call.left())
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(engine.answers(Line(list("abc"))))
    assert time.monotonic() - began < 1
    wait_for(lambda: left == [True] * 3)
