"""A real HTTP server that answers as a test tells it to, well or badly, and remembers what it was asked; and what the
tests that ask it share."""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from vipcli.engine import Job, RemoteEngine, Request
from vipcli.errors import ModelError


@dataclass(frozen=True)
class Asked:
    """One request that came: `body` is its JSON, None for a GET."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Call(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    protocol_version = "HTTP/1.1"
    server: Scripted  # type: ignore[assignment]

    def do_GET(self) -> None:
        self._serve(None, self.server.on_models)

    def do_POST(self) -> None:
        self._serve(json.loads(self.rfile.read(int(self.headers["content-length"]))), self.server.on_ask)

    def _serve(self, body: Any, answer: Callable[[Call], None]) -> None:
        self.body = body
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append(Asked(self.command, self.path, headers, body))
        with suppress(OSError):
            answer(self)

    def log_message(self, *_: object) -> None:
        pass

    @property
    def question(self) -> str:
        """The text of the last message."""
        return self.body["messages"][-1]["content"][-1]["text"]

    def reply(self, status: int, content: bytes | str, kind: str = "application/json", **headers: object) -> None:
        """A whole answer."""
        content = content.encode() if isinstance(content, str) else content
        self.start(status, kind, content_length=len(content), **headers)
        self.wfile.write(content)

    def json(self, value: object, status: int = 200, **headers: object) -> None:
        self.reply(status, json.dumps(value), **headers)

    def start(self, status: int = 200, kind: str = "text/event-stream", **headers: object) -> None:
        """The headers alone. Without a length, the end of the connection ends the answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if "content_length" not in headers:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def stream(self, *events: object) -> None:
        """Server-sent events: text as it is, anything else as JSON."""
        self.start()
        self.send(*events)

    def send(self, *events: object) -> None:
        for event in events:
            data = event if isinstance(event, str) else json.dumps(event)
            self.wfile.write(f"data: {data}\n\n".encode())

    def say(self, text: str, finish: str = "stop") -> None:
        """A well-behaved answer, a word an event."""
        self.stream(delta(""), *(delta(word) for word in text.split(" ")), end(finish), usage(7, 3), "[DONE]")

    def hang_up(self) -> None:
        """End the connection without a word."""
        self.close_connection = True
        self.connection.close()

    def left(self, seconds: float = 5.0) -> bool:
        """Whether the client hangs up within so many seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if select.select([self.connection], [], [], 0.02)[0]:
                with suppress(ConnectionResetError):
                    return not self.connection.recv(1)
                return True
        return False


class Scripted(ThreadingHTTPServer):
    """The server. `on_models` and `on_ask` answer; `asked` is what came; `url` ends in ``/v1``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.on_models: Callable[[Call], None] = lambda call: call.json({"data": [{"id": "eyes-7b"}]})
        self.on_ask: Callable[[Call], None] = lambda call: call.say("a red fox")
        self.asked: list[Asked] = []

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    @property
    def bodies(self) -> list[Any]:
        """What was asked, of all questions."""
        return [one.body for one in self.asked if one.body is not None]

    def handle_error(self, *_: object) -> None:
        """A client that went away is no fault."""


@contextmanager
def running(server: Scripted) -> Iterator[Scripted]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def in_turn(*answers: Callable[[Call], None]) -> Callable[[Call], None]:
    """The first request gets the first answer, and so on; all further ones the last."""
    left = list(answers)
    return lambda call: (left.pop(0) if len(left) > 1 else left[0])(call)


def refuse(status: int, message: str = "", **headers: object) -> Callable[[Call], None]:
    return lambda call: call.json({"error": {"message": message}}, status, **headers)


def delta(text: str) -> dict:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def end(reason: str = "stop") -> dict:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def usage(prompt: int, answer: int) -> dict:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": answer}}


def echo(call: Call) -> None:
    """Answer with the question."""
    call.stream(delta(call.question), end(), usage(3, 1), "[DONE]")


def silence(call: Call) -> bool:
    """Say nothing until the client leaves; whether it does."""
    return call.left()


def cut_short(call: Call) -> None:
    """Break off in the middle."""
    call.start(content_length=9999)
    call.send(delta("a fox"))
    call.hang_up()


class Pauses(list):
    """In place of waiting between tries: remembers for how long it would have been."""

    def __call__(self, _: threading.Event, seconds: float) -> None:
        self.append(seconds)


class Line:
    """A feed of questions, each its own key; checks that it is only asked from one thread."""

    def __init__(self, questions: Sequence[str]) -> None:
        self.left = [Job(question, asking(question)) for question in questions]
        self.given = 0
        self._thread = threading.current_thread()

    def take(self, wait: bool) -> Job | None:
        assert threading.current_thread() is self._thread
        assert wait in (True, False)
        if not self.left:
            return None
        self.given += 1
        return self.left.pop(0)


def asking(text: str = "What is this?", **options: object) -> Request:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    return Request(None, json.dumps(messages), **options)  # type: ignore[arg-type]


def why(action: Callable[[], object], kind: type[Exception] = ModelError) -> str:
    """The sentence that `action` ends in; always one printable line."""
    with pytest.raises(kind) as caught:
        action()
    sentence = str(caught.value)
    assert sentence.isprintable(), sentence
    return sentence


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it didn't come to that"
        time.sleep(0.005)


def seconds_to_close(server: Scripted, engine: RemoteEngine, hang: Callable[[Call], object]) -> float:
    """How long it takes to leave when one request of five is answered and the others `hang`, seven more waiting."""
    server.on_ask = lambda call: echo(call) if call.question == "first" else hang(call)
    before = len(server.bodies)
    results = engine.answers(Line(["first", *"abcdefghijk"]))
    assert next(results).key == "first"
    wait_for(lambda: len(server.bodies) - before == engine.concurrency)
    began = time.monotonic()
    results.close()
    return time.monotonic() - began
