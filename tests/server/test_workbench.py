"""Where pictures are prepared: in processes that may crash, in turn, and not twice."""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import alive
from server.serving import HELPERS, MEADOW, Limits, about, data_uri, error_of

from vipcli.server import Helpers, workbench
from vipcli.server.line import Client
from vipcli.server.looking import Marking, Sight, look
from vipcli.server.refusals import Refusal
from vipcli.server.workbench import Workbench

ONE: Client = ("127.0.0.1", 1)
SIGHT = Sight(128, 16, "pad")


def look_or_crash(data: bytes, marking: Marking, sight: Sight):
    """In place of `look`: a decoder that a certain marker crashes."""
    if "poison" in str(marking.markers):
        ctypes.string_at(0)
    return look(data, marking, sight)


def fail(error: Exception) -> None:
    raise error


def test_what_crashes_its_decoder_is_refused_and_others_go_on(served, monkeypatch):
    monkeypatch.setattr(workbench, "look", look_or_crash)
    poison = {"model": "tiny", "messages": about("Hm?", "poison=1,2,30,40")}
    sound = {"model": "tiny", "messages": about("What is @1?", "448,126,590,275@red")}
    with ThreadPoolExecutor(2) as threads:
        replies = list(threads.map(served.ask, (poison, sound)))
    assert replies[0].status_code == 400
    assert error_of(replies[0])["message"] == "the picture crashed the process that opened it"
    assert error_of(replies[0])["code"] == "invalid_image"
    assert replies[1].json()["choices"][0]["message"]["content"] == "a mushroom"
    assert served.get("/health").status_code == 200


def test_what_takes_too_long_is_refused_and_its_process_ended():
    assert HELPERS.do(60, abs, -1) == 1, "one has started"
    with pytest.raises(Refusal, match=r"more than 0\.1 seconds: make it smaller, or draw less on it") as refused:
        HELPERS.do(0.1, time.sleep, 60)
    assert refused.value.status == 422
    assert HELPERS.do(60, abs, -2) == 2


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (Refusal(413, "too large", param="image", code="too_large"), 413, "too large"),
        (ZeroDivisionError("a secret"), 500, "the server failed: unexpected ZeroDivisionError"),
    ],
)
def test_what_goes_wrong_there_is_a_refusal_here(error, status, sentence):
    with pytest.raises(Refusal) as refused:
        HELPERS.do(60, fail, error)
    assert (refused.value.status, str(refused.value)) == (status, sentence)
    assert refused.value.param == getattr(error, "param", None)


def test_processes_start_when_they_are_needed_and_end_with_their_owner():
    helpers = Helpers()
    helpers.begin()
    (one,) = helpers._all
    assert helpers.do(60, abs, -1) == 1
    assert helpers._all == {one}, "who is idle is asked first"
    one.end()
    one._process.join(20)
    assert helpers.do(60, abs, -2) == 2, "who has died meanwhile isn't asked"
    (other,) = helpers._all
    helpers.end()
    other._process.join(20)
    assert not alive(other._process.pid)


def test_one_machine_leaves_a_thread_for_another():
    async def main() -> None:
        bench, go = Workbench(Limits(), HELPERS), threading.Event()
        many = [asyncio.create_task(bench.aside(ONE, go.wait)) for _ in range(9)]
        assert await bench.aside(("127.0.0.2", 1), abs, -1) == 1
        assert not any(one.done() for one in many)
        go.set()
        await asyncio.gather(*many)
        assert not bench._turns, "of who has gone nothing is kept"
        bench.close()

    asyncio.run(main())


def test_a_picture_that_comes_again_is_remembered_and_another_is_not_taken_for_it(monkeypatch):
    looked: list[Marking] = []

    def noted(_: float, task, data: bytes, marking: Marking, sight: Sight):
        looked.append(marking)
        return task(data, marking, sight)

    async def main() -> None:
        bench = Workbench(Limits(), HELPERS)
        monkeypatch.setattr(HELPERS, "do", noted)
        data = MEADOW.read_bytes()
        markings = [Marking(((None, f"{number},1,60,60"),)) for number in range(3)]
        first = [await bench.look(ONE, data, one, SIGHT) for one in markings]
        assert [await bench.look(ONE, data, one, SIGHT) for one in markings] == first
        assert looked == markings
        assert not first[0].seen.flags.writeable, "so that an engine may remember what it made of it"
        await bench.look(ONE, data + b"!", markings[0], SIGHT)
        await bench.look(ONE, data, markings[0], Sight(128, 16, "crop"))
        assert len(looked) == 5
        monkeypatch.setattr(workbench, "_BYTES_REMEMBERED", 3 * 128 * 128 * 3)
        await bench.look(ONE, data, Marking(), SIGHT)
        assert len(bench._remembered) == 3
        bench.close()

    asyncio.run(main())


def test_what_there_is_to_doubt_is_said_again(served):
    doubtful = {"model": "tiny", "messages": about("What is @1?", "100,100,104,104", picture=data_uri())}
    said = served.ask(doubtful).json()["vip"]
    assert said["warnings"]
    assert served.ask(doubtful).json()["vip"] == said
