"""The endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vipcli import __version__
from vipcli.engine import Engine
from vipcli.errors import VipError, quote
from vipcli.markers import written
from vipcli.server import replies
from vipcli.server.asked import Asked, Drawing, asked_of, drawing_of
from vipcli.server.desk import Desk, Ticket
from vipcli.server.files import file_response, page_files
from vipcli.server.gate import Gate
from vipcli.server.helpers import Helpers
from vipcli.server.line import Client
from vipcli.server.looking import Looked, Marking, Shown, Sight
from vipcli.server.metrics import Metrics
from vipcli.server.options import Options
from vipcli.server.pictures import bytes_of, decoded
from vipcli.server.preparing import prepare
from vipcli.server.refusals import Refusal, refused
from vipcli.server.workbench import Workbench

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["create_app"]


def create_app(engine: Engine, options: Options | None = None, helpers: Helpers | None = None) -> FastAPI:
    """The server's application around `engine`, which nobody else may use while it runs.

    helpers: the processes that prepare pictures; None: some of its own. Its ``state.desk`` is where questions wait, its
    ``state.bench`` where they are prepared; see `Desk` and `Workbench`.
    """
    options = options or Options()
    metrics = Metrics()
    desk = Desk(engine, waiting=options.limits.waiting, metrics=metrics, at_once=options.at_once)
    metrics.watch(lambda: desk.in_flight, lambda: desk.waiting)
    bench = Workbench(options.limits, helpers)
    counter = _Counter(engine, options, desk, bench)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        desk.open()
        try:
            yield
        finally:
            await desk.close()
            bench.close()

    app = FastAPI(title="vip", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk, app.state.bench = desk, bench
    app.add_middleware(Gate, options=options, metrics=metrics)
    app.add_exception_handler(VipError, refused)
    app.add_exception_handler(HTTPException, refused)

    @app.get("/health")
    async def health(request: Request) -> Response:
        """Whether the server is up; to strangers no more than that."""
        status = {"status": "stopping" if desk.draining else "ok"}
        return _json(status if getattr(request.state, "stranger", False) else {**status, "model": engine.name})

    @app.get("/metrics")
    async def show_metrics() -> Response:
        """The counters, in Prometheus' text form."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models")
    async def list_models() -> Response:
        """The one model."""
        return _json(replies.models(engine.name))

    @app.get("/v1/models/{name:path}")
    async def show_model(name: str) -> Response:
        """The one model, by its name."""
        counter.check_model(name)
        return _json(replies.model(engine.name))

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        """An answer."""
        return await counter.answer(request)

    @app.post("/v1/mark")
    async def show_marked(request: Request) -> Response:
        """A marked picture."""
        return await counter.mark(request)

    files = page_files()

    @app.get("/")
    async def page() -> Response:
        """The page."""
        return file_response(files, "index.html")

    @app.get("/static/{name:path}")
    async def static(name: str) -> Response:
        """What the page is made of."""
        return file_response(files, name)

    return app


class _Counter:
    """Where requests become questions, and answers replies."""

    def __init__(self, engine: Engine, options: Options, desk: Desk, bench: Workbench) -> None:
        self._engine, self._options, self._desk, self._bench = engine, options, desk, bench
        self._names = {engine.name, *options.aliases}
        self._sight = Sight(engine.side, engine.patch, options.fit, options.limits.pixels)
        self._preparing: Counter[str] = Counter()
        self._bytes = 0  # of all bodies that are being read or prepared

    def check_model(self, name: str) -> None:
        """Raise a `Refusal` for a model that this isn't."""
        if name not in self._names:
            what = f"there is no model {quote(name)!r} here, only {quote(self._engine.name)!r}"
            raise Refusal(404, what, param="model", code="model_not_found")

    async def answer(self, request: Request) -> Response:
        """The answer to a question; its errors come before the first byte, where they can."""
        client = _client(request)
        async with self._received(request, client) as body:
            asked, data = await self._bench.aside(client, self._read, body)
            looked = Looked()
            if asked.drawing is not None:
                data = data or await bytes_of(asked.drawing, self._options)
                looked = await self._bench.look(client, data, _marking(asked.drawing), self._sight)
            prepared = await self._bench.aside(client, prepare, asked, looked, self._engine, self._options)
        whole = "max_new_tokens" in asked.options
        ticket = Ticket(prepared.request, client, streams=asked.stream, whole=whole)
        completion = replies.Completion(asked.model, prepared)
        self._desk.submit(ticket)
        watch = asyncio.create_task(self._watched(request, ticket))
        try:
            if not asked.stream:
                answer = await ticket.answer()
                return Response(status_code=499) if ticket.gone else _json_bytes(completion.whole(answer))
            events = completion.pieces(ticket.tokens())
            first = await anext(events, b"")  # until here an error has a status of its own
        except BaseException:
            self._desk.leave(ticket)
            raise
        finally:
            watch.cancel()
        return _Stream(self._desk, ticket, completion, first, events, asked.include_usage)

    async def mark(self, request: Request) -> Response:
        """The picture with its markers."""
        client = _client(request)
        async with self._received(request, client) as body:
            drawing, data = await self._bench.aside(client, self._read_drawing, body)
            data = data or await bytes_of(drawing, self._options)
            shown = await self._bench.show(client, data, _marking(drawing), self._sight, drawing.as_model_sees_it)
        return Response(shown.png, media_type="image/png", headers=_facts(shown))

    def _read(self, body: bytes) -> tuple[Asked, bytes | None]:
        asked = asked_of(body, self._options.limits)
        self.check_model(asked.model)
        return asked, None if asked.drawing is None else decoded(asked.drawing)

    def _read_drawing(self, body: bytes) -> tuple[Drawing, bytes | None]:
        drawing = drawing_of(body, self._options.limits)
        return drawing, decoded(drawing)

    @contextlib.asynccontextmanager
    async def _received(self, request: Request, client: Client) -> AsyncIterator[bytes]:
        """The request's body, counted for as long as it is worked on. Raises `Refusal`: too large, slow or many."""
        machine, limits = client[0], self._options.limits
        self._desk.check(client, self._preparing[machine])
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "the body must be JSON, with Content-Type: application/json")
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > limits.body:
            raise _too_large(limits.body)
        body, counted = bytearray(), 0
        self._preparing[machine] += 1
        try:
            try:
                async with asyncio.timeout(limits.body_seconds):
                    async for chunk in request.stream():
                        body += chunk
                        counted += len(chunk)
                        self._bytes += len(chunk)
                        if len(body) > limits.body:
                            raise _too_large(limits.body)
                        if self._bytes > limits.bodies:
                            what = "too many large requests are being read: ask again later"
                            raise Refusal(429, what, code="rate_limit_exceeded", after=5)
            except TimeoutError:
                what = f"the body wasn't there within {limits.body_seconds:g} seconds"
                raise Refusal(408, what, code="timeout") from None
            yield bytes(body)
        finally:
            self._bytes -= counted
            self._preparing[machine] -= 1
            if not self._preparing[machine]:
                del self._preparing[machine]

    async def _watched(self, request: Request, ticket: Ticket) -> None:
        await _gone(request.receive)
        self._desk.leave(ticket)


class _Stream(Response):
    """An answer that is sent as it comes."""

    def __init__(
        self,
        desk: Desk,
        ticket: Ticket,
        completion: replies.Completion,
        first: bytes,
        events: AsyncIterator[bytes],
        include_usage: bool,
    ) -> None:
        super().__init__(media_type="text/event-stream; charset=utf-8")
        del self.headers["content-length"]
        self.headers["X-Accel-Buffering"] = "no"  # or nginx would hold it back
        self._desk, self._ticket, self._completion = desk, ticket, completion
        self._first, self._events, self._include_usage = first, events, include_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it; where the client leaves, the answer ends."""
        watch = asyncio.create_task(self._watched(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await _more(send, self._completion.begin() + self._first)
            try:
                async for event in self._events:
                    await _more(send, event)
                if self._ticket.gone:
                    return
                last = self._completion.end(await self._ticket.answer(), self._include_usage)
            except Refusal as refusal:
                last = replies.failed(refusal.body)
            await send({"type": "http.response.body", "body": last, "more_body": False})
        finally:
            watch.cancel()
            self._desk.leave(self._ticket)

    async def _watched(self, receive: Receive) -> None:
        await _gone(receive)
        self._desk.leave(self._ticket)


async def _more(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _gone(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _client(request: Request) -> Client:
    return (request.client.host, request.client.port) if request.client else ("", 0)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body has more than {limit:,} bytes: send a smaller picture", code="too_large")


def _json(value: Any) -> Response:
    return _json_bytes(orjson.dumps(value))


def _json_bytes(value: bytes) -> Response:
    return Response(value, media_type="application/json")


def _marking(drawing: Drawing) -> Marking:
    return Marking(tuple((None, text) for text in drawing.markers or ()), drawing.tags, param=drawing.param)


def _facts(shown: Shown) -> dict[str, str]:
    """What a picture can't say of itself, in headers: JSON in ASCII, left out where it is too long for one."""
    its = {"Vip-Warnings": json.dumps(shown.doubts), "Vip-Markers": json.dumps([*map(written, shown.markers)])}
    return {name: value for name, value in its.items() if len(value) <= 8000}
