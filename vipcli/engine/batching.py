"""Many requests answered together: who has finished leaves, who waits comes in (continuous batching, Orca, OSDI 2022).

The tokens are those of each request alone: every row reads its own prompt at its own positions (`Slots`), and picks and
ends by the rules of the answer loop (`decode`). The work is shared where sharing pays: pictures are looked at several
at a time, and one pass over the weights serves a token of every row.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import TYPE_CHECKING

import torch

from vipcli.engine.ahead import Ahead, looking_ahead
from vipcli.engine.decode import Writing, overflow, picked, sampler
from vipcli.engine.devices import free_memory, is_out_of_memory
from vipcli.engine.protocol import Answer, Feed, Job, Result
from vipcli.engine.readers import Look, Prompt, embed
from vipcli.engine.slots import Slots
from vipcli.errors import ModelError, VipError

if TYPE_CHECKING:
    from vipcli.engine.local import LocalEngine

__all__ = ["answer_together", "rows_that_fit"]

_MOST = 32  # rows at a time, where memory would allow more: from here on a step's time grows with its rows
_PATIENCE = 8  # steps that one who waits lets pass for others to come in with


def answer_together(engine: LocalEngine, feed: Feed, at_once: int | None) -> Iterator[Result]:
    """Answer what `feed` gives on an engine with a text model of its own; see `Engine.answers`.

    at_once: rows at a time; None: as many as the memory holds. Where memory runs out, half as many go on, later more.
    """
    assert engine.text is not None
    with looking_ahead(engine.eyes, engine.text) as ahead:
        yield from _answer_together(engine, ahead, feed, at_once or rows_that_fit(engine))


def _answer_together(engine: LocalEngine, ahead: Ahead | None, feed: Feed, most: int) -> Iterator[Result]:
    rows = most
    batch, waiting = _Batch(engine, ahead), deque[_Row]()
    steps = answered = 0
    while True:
        while len(batch.rows) + len(waiting) < rows + (0 if ahead is None else engine.eyes.together):
            job = feed.take(wait=not batch.rows and not waiting)
            if job is None:
                break
            try:
                waiting.append(_Row.of(engine, job))
            except VipError as error:
                yield Result(job.key, None, error)
        if not batch.rows and not waiting:
            return
        if ahead is not None and len(batch.rows) + len(waiting) > 1:
            for row in waiting:
                row.look(ahead)
        try:
            steps += 1
            ready = _ready(waiting, rows, len(batch.rows), ahead)
            if ready > 0 and (not batch.rows or ready >= rows // 4 or steps >= _PATIENCE):
                steps = 0
                done = batch.begin(waiting, ready)
            else:
                done = batch.step()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            crowd = [*batch.rows, *waiting]
            batch, waiting = _Batch(engine, ahead), deque()
            if rows == 1 or len(crowd) == 1:  # it was by itself
                yield Result(crowd.pop(0).job.key, None, ModelError("out of memory even by itself; try --load-in 4bit"))
            rows, answered = max(1, min(rows, len(crowd)) // 2), 0
            waiting.extend(row.anew(engine) for row in crowd)
            continue
        yield from done
        answered += len(done)
        if rows < most and answered >= 4 * rows:
            rows, answered = min(most, rows + max(1, rows // 4)), 0


def _ready(waiting: deque[_Row], rows: int, busy: int, ahead: Ahead | None) -> int:
    """How many of those who wait can come in beside the `busy` ones, of `rows` in all.

    Those whose picture is seen already; where nobody is busy some are waited for, since a few take as long as many: a
    quarter, for while half was waited for, nobody read (a server's 32 clients got 118 answers a second, with half 100).
    """
    room = min(len(waiting), rows - busy)
    if ahead is None:
        return room
    seen = sum(1 for _ in takewhile(_Row.is_seen, islice(waiting, max(0, room))))
    return seen if busy else max(seen, min(room, max(1, rows // 4)))


def rows_that_fit(engine: LocalEngine) -> int:
    """How many rows a batch may have: as half of the memory that is free holds at the model's whole context."""
    assert engine.text is not None
    row = Slots.bytes_per_token(engine.text) * min(engine.context or 2048, 2048)
    return int(max(1, min(_MOST, free_memory(engine.text.device) // 2 // row)))


@dataclass(eq=False)
class _Row:
    """A request on its way through a batch.

    seen: while it waits, its picture's features to come; None: nobody was asked for them, since it has no picture, is
    alone or nobody looks ahead. said: how many of its tokens its giver has been told.
    """

    job: Job
    prompt: Prompt
    writing: Writing
    pick: Callable[[torch.Tensor], torch.Tensor]
    seen: Future[torch.Tensor] | None = None
    said: int = 0
    began: float = 0.0
    first: float | None = None
    last: int = 0
    count: int = 0
    texts: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, engine: LocalEngine, job: Job) -> _Row:
        request = job.request
        if job.said is not None and request.seed is None and request.temperature:
            # Where memory runs out it is begun anew, and must not go on as another.
            request = replace(request, seed=secrets.randbits(63))
            job = replace(job, request=request)
        pick = sampler(request.temperature, request.top_p, request.seed, engine.model.device)
        prompt = engine.prompt_of(request)
        return cls(job, prompt, engine.writing(request), pick)

    def anew(self, engine: LocalEngine) -> _Row:
        """The same request from its beginning; what was said of it isn't said again."""
        row = _Row.of(engine, self.job)
        row.said, row.seen = self.said, self.seen
        return row

    def look(self, ahead: Ahead) -> None:
        """Let its picture be looked at while it waits."""
        if self.seen is None and self.prompt.picture is not None:
            self.seen = ahead.begin(self.prompt.picture, self.prompt.square)

    def is_seen(self) -> bool:
        """Whether nobody is still looking at its picture for it."""
        return self.seen is None or self.seen.done()

    def add(self, number: int | None, kind: torch.dtype) -> Result | None:
        """Take the model's next id; the result, once there is one."""
        if number is None:
            return Result(self.job.key, None, overflow(kind))
        now = time.monotonic()
        self.first = self.first or now
        wanted = True
        for token in self.writing.add(number):
            if not any(self.texts):  # as a `Generation` does it
                token = replace(token, text=token.text.lstrip())
            self.texts.append(token.text)
            self.count += token.id is not None
            if self.job.said is not None and len(self.texts) > self.said:
                self.said += 1
                wanted = self.job.said(token) and wanted
        self.last = number
        finish = self.writing.finish if wanted else "interrupted"
        if finish is None:
            return None
        text = "".join(self.texts).strip()
        seconds, to_first = now - self.began, self.first - self.began
        return Result(
            self.job.key,
            Answer(text, finish, len(self.prompt.ids), self.count, seconds, to_first),
        )


class _Batch:
    """Rows that are being answered, each in the slot of its number."""

    def __init__(self, engine: LocalEngine, ahead: Ahead | None) -> None:
        assert engine.text is not None
        self._engine, self._text, self._ahead = engine, engine.text, ahead
        self._slots = Slots(engine.text)
        self.rows: list[_Row] = []

    @torch.inference_mode()
    def begin(self, waiting: deque[_Row], count: int) -> list[Result]:
        """Let `count` of those who wait in; each gets its first token. Returns whose answer ended with that.

        Whoever couldn't be let in, since memory ran out, still waits.
        """
        new = list(waiting)[:count]
        now = time.monotonic()
        for row in new:
            row.began = now
        if self._ahead is None:
            logits = self._read(new, self._engine.eyes.look)
        elif self.rows or len(waiting) > 1 or new[0].seen is not None:
            logits = self._read(new, self._ahead.look)
        else:  # nobody else needs the cores: the half of those who look ahead is its own too
            with self._ahead.alone():
                logits = self._read(new, self._engine.eyes.look)
        for _ in new:
            waiting.popleft().seen = None
        before = len(self.rows)
        self.rows += new
        return self._advance(logits, before)

    def _read(self, new: list[_Row], look: Look) -> torch.Tensor:
        prompts = embed([row.prompt for row in new], self._text, look, self._engine.model.config.image_token_id)
        return self._slots.begin(prompts)

    @torch.inference_mode()
    def step(self) -> list[Result]:
        """One more token for every row. Returns whose answer ended with it."""
        return self._advance(self._slots.step([row.last for row in self.rows]), 0)

    def _advance(self, logits: torch.Tensor, first: int) -> list[Result]:
        """Give the rows from `first` on their next token, logits (rows, vocabulary); who has ended leaves."""
        rows = self.rows[first:]
        results = [
            row.add(number, logits.dtype)
            for row, number in zip(rows, picked(logits, [row.pick for row in rows]), strict=True)
        ]
        for number in reversed(range(len(rows))):  # from the end, for the last row takes the place of one that leaves
            result = results[number]
            if result is not None:
                self._slots.drop(first + number, wipe=result.error is not None)
                last = self.rows.pop()
                if first + number < len(self.rows):
                    self.rows[first + number] = last
        return [result for result in results if result is not None]
