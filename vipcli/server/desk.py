"""The desk: one thread owns the engine and answers; whoever asks waits on the event loop for what it says.

Between the two lies a fair `Line`, from which the engine takes the next question whenever it has room for one
(`vipcli.engine.Feed`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vipcli.engine import Answer, Engine, Job, Request, Result, Token
from vipcli.errors import ModelError, PromptError, VipError
from vipcli.server.line import Client, Line
from vipcli.server.refusals import Refusal, as_refusal

if TYPE_CHECKING:
    from vipcli.server.metrics import Metrics

__all__ = ["Desk", "Ticket"]

_RESERVE = 8  # one of so many places stays free for another machine than the one that has all others
_BROKEN_SECONDS = 1.0  # for which an engine that failed as a whole is left alone


class Ticket:
    """A question on its way, and what comes of it: `tokens` as they come, then `answer`.

    streams: whether somebody wants the tokens. whole: whether its ``max_new_tokens`` were asked for, and are to fit.
    """

    def __init__(self, request: Request, client: Client, *, streams: bool, whole: bool) -> None:
        self.request, self.client, self.streams, self.whole = request, client, streams, whole
        self.came = time.monotonic()
        self.first: float | None = None
        self.gone = False
        self.events: asyncio.Queue[Token | Result] = asyncio.Queue()
        self._result: Result | None = None

    async def tokens(self) -> AsyncIterator[Token]:
        """The tokens of the answer, where they are wanted; ends with it. Raises `Refusal` where it failed."""
        while self._result is None:
            event = await self.events.get()
            if isinstance(event, Token):
                yield event
            else:
                self._result = event
        if self._result.error is not None:
            raise as_refusal(self._result.error, "messages")

    async def answer(self) -> Answer:
        """The whole answer. Raises `Refusal` where there is none."""
        async for _ in self.tokens():
            pass
        assert self._result is not None
        assert self._result.answer is not None
        return self._result.answer


class Desk:
    """Takes questions from the event loop that started it, and gives them to `engine` in a thread of its own.

    waiting: how many questions may wait, of which one machine may have a quarter. at_once: how many are answered
    together; None: as many as the engine has room for. in_flight: those that are being answered.
    """

    def __init__(self, engine: Engine, *, waiting: int, metrics: Metrics, at_once: int | None = None) -> None:
        self._engine, self._most, self._metrics, self._at_once = engine, waiting, metrics, at_once
        self._line: Line[Ticket] = Line()
        self._change = threading.Condition()
        self._closing = self._draining = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._answering: dict[Ticket, None] = {}
        self._of: Counter[str] = Counter()  # how many of each machine are being answered
        self._rows = 1
        self._outbox: deque[tuple[Ticket, Token | Result]] = deque()
        self._posted = False

    # On the event loop

    def open(self) -> None:
        """Start the thread; what it says comes on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="vip-engine", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Let the answers in flight finish, and end the thread."""
        self.drain()
        with self._change:
            self._closing = True
            self._change.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def drain(self) -> None:
        """Take no more questions: those that wait are refused, those in flight are answered."""
        with self._change:
            self._draining = True
            waiting = list(self._line)
            self._line.clear()
        for ticket in waiting:
            ticket.events.put_nowait(Result(ticket, None, _stopping()))

    def stop_soon(self) -> None:
        """`drain`, from whatever thread or signal handler."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self.drain)

    @property
    def draining(self) -> bool:
        """Whether no more questions are taken."""
        return self._draining

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        with self._change:
            return len(self._line)

    @property
    def in_flight(self) -> int:
        """How many questions are being answered."""
        return len(self._answering)

    def check(self, client: Client, others: int = 0) -> None:
        """Raise a `Refusal` where a question of `client` couldn't wait. others: of its questions that come before."""
        if self._draining:
            raise _stopping()
        with self._change:
            waiting, its = len(self._line), self._line.of(client[0]) + others
        if waiting >= self._most or its >= max(1, self._most // 4):
            whose = "of yours " if waiting < self._most else ""
            raise Refusal(
                429,
                f"too many questions {whose}wait already: ask again later",
                code="rate_limit_exceeded",
                after=min(30, 1 + waiting // 32),
            )

    def submit(self, ticket: Ticket) -> None:
        """Let a question wait for its turn. Raises `Refusal` where there is no room for it."""
        self.check(ticket.client)
        with self._change:
            self._line.put(ticket.client, ticket)
            self._change.notify()

    def leave(self, ticket: Ticket) -> None:
        """Nobody waits for this answer any more: it ends at its next token, or never begins."""
        ticket.gone = True
        with self._change:
            waited = self._line.drop(ticket.client, ticket)
        if waited:
            ticket.events.put_nowait(Result(ticket, None, Refusal(499, "the client has left")))

    # In the engine's thread

    def take(self, wait: bool) -> Job | None:
        """The next question; see `vipcli.engine.Feed`."""
        while True:
            with self._change:
                ticket = self._line.take(self._may)
                while ticket is None and wait and not self._closing:
                    self._change.wait()
                    ticket = self._line.take(self._may)
            if ticket is None:
                return None
            try:
                request = self._fitting(ticket)
            except VipError as error:
                self._post(ticket, Result(ticket, None, error))
                continue
            self._answering[ticket] = None
            self._of[ticket.client[0]] += 1
            return Job(ticket, request, functools.partial(self._said, ticket))

    def _may(self, machine: str) -> bool:
        """Whether one more of this machine's may be answered: not where it would leave nothing for others."""
        return self._of[machine] < self._rows - self._rows // _RESERVE

    def _fitting(self, ticket: Ticket) -> Request:
        """The request, its answer no longer than there is room for. Raises `PromptError` where there is none."""
        request, room = ticket.request, self._engine.room(ticket.request)
        if room is None or room >= request.max_new_tokens:
            return request
        if room >= 1 and not ticket.whole:
            return replace(request, max_new_tokens=room)
        context = self._engine.context or 0
        wanted = request.max_new_tokens if ticket.whole else 1
        its = f" and max_tokens is {wanted}" if ticket.whole else ""
        advice = "shorten the messages" + (" or lower max_tokens" if ticket.whole else "")
        raise PromptError(
            f"the prompt has {context - room} tokens{its}: {wanted - room} too many for this model's context of "
            f"{context}; {advice}"
        )

    def _said(self, ticket: Ticket, token: Token) -> bool:
        if ticket.gone:
            return False
        if ticket.first is None:
            ticket.first = time.monotonic()
            self._metrics.began(ticket.first - ticket.came)
        if ticket.streams:
            self._post(ticket, token)
        return True

    def _work(self) -> None:
        self._rows = self._at_once or int(getattr(self._engine, "rows", 1))
        while not self._closing:
            error: VipError | None = None
            try:
                for result in self._engine.answers(self, self._at_once):
                    self._ended(result)
            except VipError as failed:
                error = failed
            except Exception as failed:
                error = ModelError(f"the model failed: unexpected {type(failed).__name__}")
            for ticket in list(self._answering):
                self._ended(Result(ticket, None, error or ModelError("the model gave no answer")))
            if error is not None and not self._closing:
                time.sleep(_BROKEN_SECONDS)

    def _ended(self, result: Result) -> None:
        ticket: Any = result.key
        del self._answering[ticket]
        machine = ticket.client[0]
        self._of[machine] -= 1
        if not self._of[machine]:
            del self._of[machine]
        self._metrics.ended(result)
        self._post(ticket, result)

    def _post(self, ticket: Ticket, event: Token | Result) -> None:
        """Hand over to the loop what it gives to who waits for it: all that comes of a step wakes it once."""
        assert self._loop is not None
        self._outbox.append((ticket, event))
        if not self._posted:
            self._posted = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop has ended at once, and nobody waits any more
                self._closing = True

    def _deliver(self) -> None:
        self._posted = False  # before the box is emptied: what comes meanwhile wakes the loop again
        while self._outbox:
            ticket, event = self._outbox.popleft()
            ticket.events.put_nowait(event)


def _stopping() -> Refusal:
    return Refusal(503, "the server is stopping", code="stopping", after=5)
