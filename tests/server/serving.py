"""Servers to ask: a real uvicorn in a thread, around the embedded model or around an engine that a test holds back."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from vipcli.engine import Answer, Feed, Generation, Job, Request, Result, Token
from vipcli.server import Helpers, Limits, Options, create_app, listen, serve
from vipcli.server.desk import Desk

EXAMPLES = Path(__file__).parents[2] / "examples"
MEADOW, POND = EXAMPLES / "meadow.png", EXAMPLES / "pond.png"
HELPERS = Helpers()
"""The processes of all servers here: each takes as long to start as many tests."""


@dataclass
class Served:
    """A running server. lines: its log."""

    url: str
    port: int
    desk: Desk
    server: Any
    lines: list[str] = field(default_factory=list)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=60, **options)

    def ask(self, body: dict[str, Any], **options: Any) -> httpx.Response:
        return self.post("/v1/chat/completions", body, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=60, **options)

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(source, 0))


@contextmanager
def serving(engine: Any, **options: Any) -> Iterator[Served]:
    """A server around `engine`; see `Options`."""
    lines: list[str] = []
    given = Options(log=lines.append, **options)
    listening = listen("127.0.0.1", 0)
    app = create_app(engine, given, HELPERS)
    ready: list[Any] = []
    thread = threading.Thread(target=serve, args=(app, listening, given, ready.append), daemon=True)
    thread.start()
    wait_for(lambda: ready and ready[0].started)
    try:
        yield Served(f"http://127.0.0.1:{listening.port}", listening.port, app.state.desk, ready[0], lines)
    finally:
        ready[0].stop()
        thread.join(20)
        assert not thread.is_alive(), "it has ended"


class Held:
    """An engine that says a word a step, as many as ``max_new_tokens``, for `rows` requests at a time.

    Where `held`, it makes a step only when `step` is called. began: texts of the prompts, in the order in which they
    were taken; crowd: how many were answered at each step.
    """

    name, side, patch, template, special_tokens, context = "held", None, 14, None, frozenset(), 1000

    def __init__(self, rows: int = 1, held: bool = True, seconds: float = 0.0) -> None:
        self.rows, self._seconds = rows, seconds
        self._held, self._steps = held, threading.Semaphore(0)
        self.began: list[str] = []
        self.crowd: list[int] = []
        self.fails: Exception | None = None

    def step(self, count: int = 1) -> None:
        self._steps.release(count)

    def release(self) -> None:
        self._held = False
        self._steps.release(10**6)

    def room(self, request: Request) -> int:
        return self.context - len(request.prompt.split())

    def stream(self, request: Request) -> Generation:
        raise NotImplementedError

    def answers(self, feed: Feed, at_once: int | None = None) -> Iterator[Result]:  # noqa: ARG002
        rows: list[tuple[Job, list[str]]] = []
        while True:
            while len(rows) < self.rows and (job := feed.take(wait=not rows)) is not None:
                self.began.append(question_of(job.request.prompt))
                rows.append((job, []))
            if not rows:
                return
            if self._held:
                self._steps.acquire()
            time.sleep(self._seconds)
            if self.fails is not None:
                error, self.fails = self.fails, None
                raise error
            self.crowd.append(len(rows))
            for job, words in list(rows):
                words.append(f"word{len(words)}")
                assert job.said is not None
                wanted = job.said(Token(len(words), f"{words[-1]} "))
                if not wanted or len(words) == job.request.max_new_tokens:
                    rows.remove((job, words))
                    finish = "length" if wanted else "interrupted"
                    yield Result(job.key, Answer(" ".join(words), finish, 3, len(words), 0.1, 0.1))


def question_of(prompt: str) -> str:
    return prompt.rpartition("###Human: ")[2].removesuffix("###Assistant:").removeprefix("<image>\n")


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it didn't come to that"
        time.sleep(0.005)


def data_uri(path: Path = MEADOW) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def about(text: str, *markers: str, picture: str | None = None, **more: Any) -> list[dict[str, Any]]:
    """Messages that ask `text` about a picture with markers."""
    image = {"type": "image_url", "image_url": {"url": data_uri() if picture is None else picture}, **more}
    if markers:
        image["markers"] = list(markers)
    return [{"role": "user", "content": [image, {"type": "text", "text": text}]}]


def words(text: str, **more: Any) -> dict[str, Any]:
    """A question without a picture, for `Held`."""
    return {"model": "held", "messages": [{"role": "user", "content": text}], **more}


def events_of(response: httpx.Response) -> list[Any]:
    """The data of a stream's events."""
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def text_of(events: list[Any]) -> str:
    return "".join(one["choices"][0]["delta"].get("content") or "" for one in events[:-1] if one["choices"])


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error in OpenAI's shape; one printable sentence."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"].isprintable()
    return body["error"]


def raw(served: Served, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> http.client.HTTPResponse:
    """A request with exactly these headers, and a path that nobody tidies."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": f"127.0.0.1:{served.port}", "Content-Length": str(len(body)), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    return connection.getresponse()


__all__ = [
    "EXAMPLES", "HELPERS", "MEADOW", "POND", "Held", "Limits", "Served", "about", "data_uri", "error_of", "events_of",
    "raw", "serving", "text_of", "wait_for", "words",
]  # fmt: skip
