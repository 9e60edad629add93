"""A model behind an OpenAI-compatible server (vLLM, transformers serve, llama.cpp, ...), asked over HTTP.

Its prompt is the messages as JSON text, since the server renders them. The parts: `completions` (the API's language),
`sse` (the stream's events), `wire` (connections, and their faults in words), `retrying` (asking again).
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Collection, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from vipcli.engine.completions import as_text, data_uri, messages_of, payload, piece
from vipcli.engine.in_flight import in_flight
from vipcli.engine.protocol import Answer, Feed, Finish, Generation, Request, Result, Token
from vipcli.engine.retrying import Pause, ServerError, retried
from vipcli.engine.sse import Event, events
from vipcli.errors import ModelError, UsageError, quote

if TYPE_CHECKING:
    import httpx
    import numpy as np

    from vipcli.engine.wire import Wire
    from vipcli.prompt import Template

__all__ = ["RemoteEngine", "open_remote"]

MAX_ANSWER = 16 * 2**20  # characters of an answer, or bytes of one that comes whole
_MAX_EVENT = 2**20  # bytes


class RemoteEngine:
    """A model that a server runs; see `vipcli.engine.protocol.Engine` for its attributes.

    wire: the way to the server. concurrency: how many requests `answers` keeps in flight. pause: how to wait between
    tries.
    """

    def __init__(self, wire: Wire, name: str, *, concurrency: int = 8, pause: Pause = threading.Event.wait) -> None:
        if concurrency < 1:
            raise UsageError(f"the concurrency must be 1 or more, got {concurrency}")
        self.name = name
        self.side: int | None = None
        self.patch = 14
        self.context: int | None = None
        self.special_tokens: Collection[str] = frozenset()
        self.template: Template | None = as_text
        self.concurrency = concurrency
        self._wire, self._pause = wire, pause
        self._reports_usage: bool | None = None  # whether the server takes `stream_options`; None: not known yet
        self._last: tuple[np.ndarray, str] | None = None

    def room(self, request: Request) -> int | None:
        """None: only the server could say; see `vipcli.engine.protocol.Engine`."""
        messages_of(request)
        return None

    def stream(self, request: Request) -> Generation:
        """Start answering `request`: it is sent when the first token is taken. Closing the generation disconnects.

        The tokens have no ids. They count as the server says at the end, until then as the pieces that it sends.
        Raises `PromptError` for a prompt that isn't messages; taking a token raises `ServerError`.
        """
        messages_of(request)
        return Generation(self._tokens(request), 0)

    def answers(self, feed: Feed, at_once: int | None = None) -> Iterator[Result]:
        """Answer what `feed` gives, `at_once` (None: `concurrency`) requests at a time, each in a thread.

        The feed is only asked from here. Raises `ModelError` once three requests in a row fail as any would (nothing
        answers, a key is refused, ...). Closing the iterator disconnects from the server at once.
        """
        with contextlib.closing(self._wire.another()) as wire:
            yield from in_flight(
                feed, lambda request: self._answer(request, wire), at_once or self.concurrency, wire.cut
            )

    def close(self) -> None:
        """Disconnect from the server."""
        self._wire.cut()
        self._wire.close()

    def _answer(self, request: Request, wire: Wire) -> Answer:
        """The whole answer, asked for again also where it broke off in the middle, since nobody has seen any of it."""
        body = self._payload(request)
        return retried(lambda: Generation(self._tried(body, wire), 0).finished(), wire.stopped, self._pause)

    def _tokens(self, request: Request) -> Generator[Token, None, Finish]:
        """The tokens of an answer, asked for again as long as none has come."""
        body = self._payload(request)

        def begun() -> tuple[Token, Generator[Token, None, Finish]]:
            tokens = self._tried(body, self._wire)
            return next(tokens), tokens

        first, others = retried(begun, self._wire.stopped, self._pause)
        with contextlib.closing(others):
            yield first
            return (yield from others)

    def _payload(self, request: Request) -> dict[str, Any]:
        return payload(request, self.name, None if request.picture is None else self._seen(request.picture))

    def _seen(self, picture: np.ndarray) -> str:
        """The picture as it is sent, remembered for the next question where nobody can have changed it since."""
        last = self._last
        if last is None or last[0] is not picture:
            last = picture, data_uri(picture)
            self._last = None if picture.flags.writeable else last
        return last[1]

    def _tried(self, body: dict[str, Any], wire: Wire) -> Generator[Token, None, Finish]:
        """One try, with a second one where the server may have refused it for our wish to have the tokens counted."""
        if self._reports_usage is not False:
            try:
                return (yield from self._received(body | {"stream_options": {"include_usage": True}}, wire))
            except ServerError as error:
                if self._reports_usage or error.status not in (400, 422):
                    raise
        return (yield from self._received(body, wire))

    def _received(self, body: dict[str, Any], wire: Wire) -> Generator[Token, None, Finish]:
        """Send `body` and yield what comes; the last token, without text, has the counts."""
        server = wire.address.base
        pieces = size = 0
        finish: Finish | None = None
        counts: tuple[int, int] | None = None
        try:
            with wire.ask("/chat/completions", json.dumps(body).encode()) as response:
                self._reports_usage = "stream_options" in body
                for event in _events(response, server):
                    if event.data.strip() == "[DONE]":
                        finish = finish or "stop"
                        break
                    one = piece(event, server)
                    finish, counts = one.finish or finish, one.counts or counts
                    if one.text:
                        pieces += 1
                        size += len(one.text)
                        if size > MAX_ANSWER:
                            raise ServerError(f"{server} gives an answer of more than {MAX_ANSWER // 2**20} MB")
                        yield Token(None, one.text, (0, pieces))
        except ServerError:
            if finish is None:  # else the answer is complete, and only its count is missing
                raise
        if finish is None:
            raise ServerError(f"{server} ended before the answer was complete", again=True)
        yield Token(None, "", counts or (0, pieces))
        return finish


def open_remote(
    url: str,
    *,
    model: str | None = None,
    token: str | None = None,
    timeout: float = 120.0,
    concurrency: int = 8,
    pause: Pause = threading.Event.wait,
) -> RemoteEngine:
    """Ask the server at `url` which model it has, and return its engine.

    url: like ``http://host:8000/v1`` or ``http://host:8000``; ``#name`` at its end says which model, as `model` does,
    where the server has several. token: the server's key; None takes ``VIP_API_KEY``, else ``OPENAI_API_KEY``, from the
    environment. timeout: seconds without a byte after which the server counts as silent. concurrency, pause: see
    `RemoteEngine`. Raises `ModelError` with one sentence where the server can't be asked, `UsageError` for no address.
    """
    from vipcli.engine.wire import Wire, address_of

    address = address_of(url, token)
    wire = Wire(address, timeout)
    name = model or address.model
    try:
        # Asked for also where the name is given: what is wrong with the server shows here, before any work is done.
        # A name that isn't listed may still be right: transformers serve loads what it is asked for.
        names = retried(lambda: _models(wire), wire.stopped, pause)
        name = name or _only(names, address.base)
    except ModelError as error:
        # Some servers answer, but list nothing.
        if name is None or not isinstance(error, ServerError) or error.status not in (404, 405):
            wire.close()
            raise
    return RemoteEngine(wire, name, concurrency=concurrency, pause=pause)


def _only(names: list[str], server: str) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise ModelError(f"{server} lists no model: name the one that is to answer, like {server}#name")
    shown = ", ".join(quote(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")
    raise ModelError(f"{server} has {len(names)} models: name one, like {server}#{quote(names[0])} ({shown})")


def _models(wire: Wire) -> list[str]:
    """The names of the server's models (OpenAI's API reference, "List models")."""
    from vipcli.engine.wire import within

    server = wire.address.base
    try:
        with wire.ask("/models") as response:
            listed = json.loads(b"".join(within(response, MAX_ANSWER, server)))
            return [one["id"] for one in listed["data"] if one["id"] and isinstance(one["id"], str)]
    except ServerError as error:
        error.again = error.again and error.status is not None  # at first, what can't be reached is rather misspelt
        raise
    except (ValueError, RecursionError, LookupError, TypeError):
        raise ModelError(
            f"{server} doesn't list its models as an OpenAI-compatible server does: check the address"
        ) from None


def _events(response: httpx.Response, server: str) -> Iterable[Event]:
    """The events of a streamed answer; of a server that doesn't stream, the whole of it as one."""
    from vipcli.engine.wire import MAX_STREAM_BYTES, within

    if "json" in response.headers.get("content-type", "").lower():
        whole = b"".join(within(response, MAX_ANSWER, server))
        return [Event("message", whole.decode("utf-8", "replace"))]
    return events(within(response, MAX_STREAM_BYTES, server), _MAX_EVENT, server)
