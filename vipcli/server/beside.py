"""What a server answers this user's own ``vip`` beside the network's API: the questions of ``vip ask``, as they are.

A body is a line of JSON and the picture's bytes; the reply is lines of JSON. Both sides are one version of vip, so that
the line isn't checked further than it must be. What holds a question up there (a picture, a marker, a name) is found
again, and said, by who asked: the reply is then ``again``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from vipcli.engine import Engine, Request
from vipcli.errors import ModelError, UsageError, VipError
from vipcli.markers import render
from vipcli.pointing import prompt_for, request_for
from vipcli.server.desk import Desk, Ticket
from vipcli.server.line import Client
from vipcli.server.looking import Looked, Marking, Sight
from vipcli.server.refusals import Refusal
from vipcli.server.workbench import Workbench

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from vipcli.server.running import Server

__all__ = ["Beside"]

_MOST = 600 * 2**20  # bytes of a body: the largest file that `open_picture` takes, and the line
_WATCHED = ("/", "/v1/chat/completions", "/v1/mark", "/local/ask")  # what keeps an idle server up
_TICK = 0.5
_OURS: Client = ("", 0)


class Beside:
    """Stands before `app`, whose desk it shares.

    secret: what `vip` knows from the server's file. idle: seconds without a question after which the server ends.
    """

    def __init__(self, app: Any, engine: Engine, secret: str, idle: float | None = None) -> None:
        self.state = app.state
        self._app: ASGIApp = app
        self._engine, self._secret, self._idle = engine, secret.encode(), idle
        self._desk: Desk = app.state.desk
        self._bench: Workbench = app.state.bench
        self._last, self._busy = time.monotonic(), 0
        self._server: Server | None = None

    def ready(self, server: Server) -> None:
        """What `serve` calls: from here on an idle server ends itself."""
        self._server = server
        if self._idle is not None:
            threading.Thread(target=self._leave_when_idle, name="vip-idle", daemon=True).start()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is asked here, and hand on the rest."""
        if scope["type"] != "http" or scope["path"] not in (*_WATCHED, "/local/stop"):
            await self._app(scope, receive, send)
            return
        self._busy += 1
        try:
            if scope["path"].startswith("/local/") and self._knows(scope):
                await self._answer(scope["path"], receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            self._busy -= 1
            self._last = time.monotonic()

    def _knows(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return scope["method"] == "POST" and hmac.compare_digest(given, b"Bearer " + self._secret)

    async def _answer(self, path: str, receive: Receive, send: Send) -> None:
        if path == "/local/stop":
            await _begin(send)
            await _end(send)
            assert self._server is not None
            self._server.stop()
            return
        body = await _body(receive)
        if body is None:
            return
        head, _, picture = body.partition(b"\n")
        asked = orjson.loads(head)
        if self._idle is not None and asked.get("keep"):
            self._idle = max(self._idle, asked["keep"])
        await _begin(send)
        ticket: Ticket | None = None
        begun = False
        watch = asyncio.create_task(_gone(receive))
        try:
            ready, requests = await self._prepared(asked, picture)
            del body, picture
            for number, request in enumerate(requests):
                ticket = Ticket(request, _OURS, streams=True, whole=True)
                watch.add_done_callback(functools.partial(self._leave, ticket))
                self._desk.submit(ticket)
                async for lines in _said(ticket, ready if number == 0 else None):
                    await _send(send, lines)
                    begun = True
                if ticket.gone:
                    return
        except (_Again, Refusal) as error:
            await _send(send, [_failed(error, begun)])
        finally:
            watch.cancel()
            if ticket is not None:
                self._desk.leave(ticket)
        await _end(send)

    def _leave(self, ticket: Ticket, _: object) -> None:
        self._desk.leave(ticket)

    async def _prepared(self, asked: dict[str, Any], data: bytes) -> tuple[dict[str, Any], list[Request]]:
        """The straight line of ``vip ask`` up to the engine. Raises `_Again`."""
        markers = tuple((kind, text) for kind, text in asked["markers"])
        marking = Marking(markers, asked["tags"], asked["coords"], asked["box_format"])
        sight = Sight(self._engine.side, self._engine.patch, asked["numbers"].get("fit", "pad"))
        try:
            looked = await self._bench.look(_OURS, data, marking, sight)
            requests = await self._bench.aside(_OURS, self._requests, asked, looked)
            drawn = [render(marker) for marker in looked.markers]
        except VipError:
            raise _Again from None
        return {"warnings": looked.doubts, "prompts": [one.prompt for one in requests], "markers": drawn}, requests

    def _requests(self, asked: dict[str, Any], looked: Looked) -> list[Request]:
        prompts = [prompt_for(one, looked.markers, self._engine, **asked["style"]) for one in asked["questions"]]
        bare = [request_for(None, prompt, self._engine, **asked["numbers"]) for prompt in prompts]
        return [replace(request, picture=looked.seen) for request in bare]

    def _leave_when_idle(self) -> None:
        assert self._server is not None
        while not self._server.should_exit:
            time.sleep(_TICK)
            assert self._idle is not None
            if not self._busy and time.monotonic() - self._last >= self._idle:
                self._server.stop()


class _Again(Exception):
    """What was asked can't be: who asked finds out why, in its own words."""


async def _said(ticket: Ticket, ready: dict[str, Any] | None) -> AsyncIterator[list[dict[str, Any]]]:
    """The lines of one answer, as they come. ready: what is said before the first of all."""
    lines = [ready] if ready else []
    async for token in ticket.tokens():
        lines += [{"text": token.text}] if token.text else []
        yield lines
        lines = []
    answer = await ticket.answer()
    yield [*lines, {"end": [answer.finish, answer.prompt_tokens, answer.answer_tokens]}]


def _failed(error: _Again | Refusal, begun: bool) -> dict[str, Any]:
    """Why a question has no answer, where that is the model's; else it is asked again, without the server."""
    if isinstance(error, _Again) or (error.status in (429, 503) and not begun):
        return {"again": True}
    if error.status >= 500:
        return {"error": [ModelError.__name__, str(error)]}
    words = str(error).replace("max_tokens", "--max-new-tokens").replace("the messages", "the question")
    return {"error": [UsageError.__name__, words]}


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it never comes."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if message["type"] == "http.disconnect" or len(body) > _MOST:
            return None
    return bytes(body)


async def _gone(receive: Receive) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass


async def _begin(send: Send) -> None:
    headers = [(b"content-type", b"application/x-ndjson")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _send(send: Send, lines: list[dict[str, Any]]) -> None:
    if lines:
        body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})
