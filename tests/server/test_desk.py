"""Many clients at once: nobody waits for another's many, who leaves makes room, and what is stopping finishes."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from server.serving import MEADOW, POND, Held, Limits, about, data_uri, error_of, serving, wait_for, words

from vipcli import mark, open_engine, to_request
from vipcli.errors import ModelError
from vipcli.server.line import Line


def test_turns_go_around_machines_and_within_one_around_connections():
    line: Line[str] = Line()
    for number in range(3):
        line.put(("a", 1), f"a1-{number}")
    line.put(("a", 2), "a2-0")
    line.put(("b", 1), "b1-0")
    line.put(("b", 1), "b1-1")
    assert (len(line), line.of("a"), line.of("c")) == (6, 4, 0)
    taken = [line.take() for _ in range(7)]
    assert taken == ["a1-0", "b1-0", "a2-0", "b1-1", "a1-1", "a1-2", None]


def test_who_may_not_is_passed_over_and_who_leaves_is_gone():
    line: Line[str] = Line()
    line.put(("a", 1), "a")
    line.put(("b", 1), "b")
    line.put(("b", 1), "c")
    assert line.take(lambda machine: machine == "b") == "b"
    assert line.take(lambda machine: machine == "d") is None
    assert line.drop(("b", 1), "c")
    assert not line.drop(("b", 1), "c")
    assert list(line) == ["a"]


def client_at(address: str) -> httpx.Client:
    """A client of another machine: Linux lets one come from any address of 127/8."""
    return httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=60)


def ask_at(served, address: str, text: str, **more) -> httpx.Response:
    with client_at(address) as client:
        return client.post(f"{served.url}/v1/chat/completions", json=words(text, **{"max_tokens": 1, **more}))


def test_one_client_cannot_starve_the_others(held: Held):
    with serving(held) as it, ThreadPoolExecutor(20) as threads:
        first = threads.submit(ask_at, it, "127.0.0.1", "first")
        wait_for(lambda: held.began)
        for number in range(12):
            threads.submit(ask_at, it, "127.0.0.1", f"many {number}")
        wait_for(lambda: it.desk.waiting == 12)
        threads.submit(ask_at, it, "127.0.0.2", "another")
        wait_for(lambda: it.desk.waiting == 13)
        held.release()
        assert first.result().status_code == 200
    assert "another" in held.began[1:3], "it is next, or next but one"


def test_one_client_leaves_a_place_for_another():
    held = Held(rows=8)
    with serving(held) as it, ThreadPoolExecutor(20) as threads:
        for number in range(12):
            threads.submit(ask_at, it, "127.0.0.1", f"many {number}", max_tokens=50)
        wait_for(lambda: it.desk.in_flight + it.desk.waiting == 12)
        held.step()
        wait_for(lambda: len(held.crowd) == 1)
        assert it.desk.in_flight <= 7
        assert "another" not in held.began
        threads.submit(ask_at, it, "127.0.0.2", "another")
        wait_for(lambda: "another" in held.began or held.step() or False)
        assert len(held.began) == 8, "none of the many has ended"
        held.release()
    assert max(held.crowd) <= 8


def test_who_finds_no_room_to_wait_is_told_when_to_come_again(held: Held):
    with serving(held, limits=Limits(waiting=8)) as it, ThreadPoolExecutor(20) as threads:
        threads.submit(ask_at, it, "127.0.0.1", "first")
        wait_for(lambda: held.began)
        for number in range(2):
            threads.submit(ask_at, it, "127.0.0.1", f"many {number}")
        wait_for(lambda: it.desk.waiting == 2)
        refused = ask_at(it, "127.0.0.1", "more")
        assert refused.status_code == 429
        assert error_of(refused)["message"] == "too many questions of yours wait already: ask again later"
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        for number in range(6):
            threads.submit(ask_at, it, f"127.0.0.{10 + number}", "another")
        wait_for(lambda: it.desk.waiting == 8)
        assert (
            error_of(ask_at(it, "127.0.0.99", "late"))["message"] == "too many questions wait already: ask again later"
        )
        held.release()


def test_an_answer_whose_client_is_gone_stops_and_others_go_on(held: Held):
    held.rows = 2
    with serving(held) as it, ThreadPoolExecutor(4) as threads:
        other = threads.submit(ask_at, it, "127.0.0.1", "other")
        wait_for(lambda: it.desk.in_flight == 1)
        held.step()
        assert other.result().status_code == 200
        body = words("long", max_tokens=400, stream=True)
        threading.Timer(0.1, held.step, [3]).start()
        with httpx.stream("POST", f"{it.url}/v1/chat/completions", json=body, timeout=20) as response:
            chunks = response.iter_text()
            assert "word0" in next(chunks)
        held.step(2)  # it notices at its next word
        wait_for(lambda: it.desk.in_flight == 0 or held.step() or False)
        assert len(held.crowd) < 50
        wait_for(lambda: any(line.startswith("POST /v1/chat/completions 499 ") for line in it.lines))
        held.release()
        assert ask_at(it, "127.0.0.1", "after").status_code == 200


@pytest.mark.parametrize("begun", [True, False])
def test_who_leaves_without_a_stream_frees_its_place_too(held: Held, begun: bool):
    with serving(held) as it, ThreadPoolExecutor(4) as threads:
        if not begun:
            threads.submit(ask_at, it, "127.0.0.1", "first")
            wait_for(lambda: held.began)
        body = json.dumps(words("left", max_tokens=500)).encode()
        connection = it.connect()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: it.desk.in_flight + it.desk.waiting == 2 - begun)
        connection.close()
        if begun:
            wait_for(lambda: it.desk.in_flight == 0 or held.step() or False)
            assert len(held.crowd) < 400
        else:
            wait_for(lambda: it.desk.waiting == 0)
        held.release()


def test_stopping_finishes_answers_in_flight_and_refuses_who_waits(held: Held):
    with serving(held) as it, ThreadPoolExecutor(4) as threads:
        body = words("long", max_tokens=5)
        long = threads.submit(it.ask, body)
        wait_for(lambda: it.desk.in_flight == 1)
        waiting = threads.submit(it.ask, body)
        wait_for(lambda: it.desk.waiting == 1)
        it.server.stop()
        refused = waiting.result(10)
        assert (refused.status_code, error_of(refused)["message"]) == (503, "the server is stopping")
        assert not long.done()
        held.release()
        assert long.result(10).json()["choices"][0]["message"]["content"] == "word0 word1 word2 word3 word4"


def test_a_stream_in_flight_is_finished_too(held: Held):
    with serving(held) as it, ThreadPoolExecutor(4) as threads:
        long = threads.submit(it.ask, words("long", max_tokens=5, stream=True))
        wait_for(lambda: it.desk.in_flight == 1)
        held.step()
        it.server.stop()
        held.release()
        assert long.result(10).text.endswith("data: [DONE]\n\n")


def test_an_engine_that_fails_says_so_and_goes_on(held: Held):
    with serving(held) as it, ThreadPoolExecutor(4) as threads:
        for error, sentence in (
            (ModelError("'held' can't answer: cuDNN error"), "'held' can't answer: cuDNN error"),
            (RuntimeError("secret"), "the model failed: unexpected RuntimeError"),
        ):
            held.fails = error
            asked = threads.submit(it.ask, words("Hm?", max_tokens=1))
            held.step()
            failed = asked.result(10)
            assert (failed.status_code, error_of(failed)["type"]) == (500, "server_error")
            assert error_of(failed)["message"] == sentence
        held.release()
        assert it.ask(words("Hm?", max_tokens=1)).status_code == 200


def test_an_error_in_the_middle_of_a_stream_is_an_event(held: Held):
    with serving(held) as it, ThreadPoolExecutor(4) as threads:
        asked = threads.submit(it.ask, words("Hm?", max_tokens=9, stream=True))
        held.step()
        wait_for(lambda: held.crowd)
        held.fails = ModelError("it broke")
        held.step()
        last = asked.result(10).text.rstrip().rpartition("data: ")[2]
        assert json.loads(last)["error"]["message"] == "it broke"
        held.release()


def test_32_clients_at_once_all_get_what_they_would_get_alone(tiny):
    pictures = {path: data_uri(path) for path in (MEADOW, POND)}
    boxes = {MEADOW: ["448,126,590,275", "65,295,223,453", "41,50,264,209"], POND: ["495,148,627,288", "58,49,259,237"]}
    cases = [(path, box, f"What is @{n}?") for path in boxes for box in boxes[path] for n in (1, "1 ")]
    expected = [
        tiny.stream(to_request(mark(path, [box]), question, tiny)).finished().text for path, box, question in cases
    ]
    with serving(open_engine("tiny")) as it:
        wrong: Counter[str] = Counter()
        barrier = threading.Barrier(32)

        def client(number: int) -> None:
            with httpx.Client(timeout=120) as client:
                barrier.wait()
                for turn in range(4):
                    which = (number + turn) % len(cases)
                    path, box, question = cases[which]
                    body = {"model": "tiny", "messages": about(question, box, picture=pictures[path])}
                    response = client.post(f"{it.url}/v1/chat/completions", json=body)
                    if response.status_code != 200:
                        wrong[response.text] += 1
                    elif response.json()["choices"][0]["message"]["content"] != expected[which]:
                        wrong["another answer"] += 1

        with ThreadPoolExecutor(32) as threads:
            list(threads.map(client, range(32)))
    assert not wrong


def test_the_first_byte_of_a_stream_comes_with_the_first_word(held: Held):
    with serving(held) as it, httpx.Client(timeout=20) as client:
        body = words("long", max_tokens=3, stream=True)
        threading.Timer(0.2, held.step).start()
        began = time.monotonic()
        with client.stream("POST", f"{it.url}/v1/chat/completions", json=body) as response:
            chunks = response.iter_text()
            assert "word0" in next(chunks)
            assert 0.15 < time.monotonic() - began < 2
            assert held.crowd == [1], "no other step was made for it"
            held.release()
            assert "".join(chunks).endswith("data: [DONE]\n\n")
