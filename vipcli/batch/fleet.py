"""The model several times on one machine, each in a process of its own: what ``--workers N`` answers with."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from vipcli.engine import Answer, Feed, Job, Model, Request, Result
from vipcli.errors import ModelError, UsageError, VipError
from vipcli.processes import SPAWN, cores, start

if TYPE_CHECKING:
    from vipcli.prompt import Template

__all__ = ["Fleet"]

_AHEAD = 16  # requests that lie ready in each process beside those that its model has taken
_TRIES = 2  # of a request whose process dies
_BARREN = 3  # deaths in a row without an answer, after which a process isn't started again
_LOOK_SECONDS = 0.02  # how often a feed is asked again while there is room for more


@dataclass(frozen=True)
class Fleet:
    """A model of this machine in `count` processes, which live as long as `answers` runs.

    ref, options: as for `vipcli.engine.open_engine`; where `device` is auto and there are GPUs, each process gets one.
    The rest is what prompts and pictures must know of the model; see `vipcli.engine.Engine`.
    """

    ref: str
    count: int
    name: str
    side: int | None
    patch: int
    template: Template | None
    special_tokens: Collection[str]
    options: dict[str, Any]

    @classmethod
    def of(cls, model: Model, ref: str, count: int, **options: Any) -> Fleet:
        """A fleet of `model`, which `ref` names; nothing is started yet. Raises `VipError` where it can't be."""
        from vipcli.engine import outline

        its = outline(model)
        return cls(ref, count, its.name, its.side, its.patch, its.template, its.special_tokens, options)

    def answers(self, feed: Feed, at_once: int | None = None) -> Iterator[Result]:
        """Answer what `feed` gives; see `vipcli.engine.Engine.answers`. at_once: requests at a time in each process.

        A process that dies is started again, and what it had in hand is asked once more. Raises `ModelError` where
        none can be kept alive, or the model can't be loaded.
        """
        threads = max(1, cores() // self.count)
        crew: list[_Worker] = []
        try:
            for device in _devices(self.count, self.options.get("device", "auto")):
                crew.append(_Worker((self.ref, {**self.options, "device": device}, threads, at_once)))
            yield from _answers(feed, crew)
        finally:
            for worker in crew:
                worker.end()


@dataclass(eq=False)
class _Asked:
    """A job on its way; deaths: of processes that had begun it."""

    job: Job
    deaths: int = 0


def _answers(feed: Feed, crew: list[_Worker]) -> Iterator[Result]:
    """Hand out what `feed` gives, and yield what comes back; of `crew`, those stay that live."""
    again: deque[_Asked] = deque()  # what processes that have died had not begun
    suspects: deque[_Asked] = deque()  # what they had begun: one at a time in each process, so that one alone is blamed
    while True:
        while (
            worker := min((one for one in crew if one.has_room), key=lambda one: one.load, default=None)
        ) is not None:
            free = next((one for one in crew if one.has_room and not one.has_suspect), None) if suspects else None
            if free is not None:
                free.give(suspects.popleft())
            elif again:
                worker.give(again.popleft())
            else:
                busy = bool(suspects) or any(one.hand for one in crew)
                job = feed.take(wait=not busy)
                if job is None and not busy:
                    return
                if job is None:
                    break
                worker.give(_Asked(job))
        ready = wait([one.connection for one in crew], _LOOK_SECONDS if worker is not None else None)
        for one in [one for one in crew if one.connection in ready]:
            try:
                result = one.hear()
            except (EOFError, OSError):
                begun, untouched = one.bury()
                again.extend(untouched)
                for asked in begun:
                    if asked.deaths < _TRIES:
                        suspects.append(asked)
                    else:
                        sentence = f"{one.reason or 'the process that answered it died'}, and it was tried twice"
                        yield Result(asked.job.key, None, ModelError(sentence))
                if one.barren < _BARREN:
                    one.start()
                else:
                    crew.remove(one)
                    if not crew:
                        reason = one.reason or f"the process that runs the model died (exit code {one.exit_code})"
                        raise ModelError(f"{reason}, and so did every other") from None
                continue
            if result is not None:
                yield result


class _Worker:
    """One process after another with one model; hand: what was given to it, by number.

    barren: how many died in a row without an answer. reason: what the last one that died said.
    """

    def __init__(self, job: tuple[str, dict[str, Any], int, int | None]) -> None:
        self._job = job
        self._numbers = self.barren = 0
        self._has_loaded = False
        self.start()

    def start(self) -> None:
        """Start a process, which loads the model."""
        self.hand: dict[int, _Asked] = {}
        self._taken: set[int] = set()
        self._is_ready = False
        self.reason = ""
        self.connection, its = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_work, args=(its, *self._job), daemon=True)
        start(self._process)
        its.close()

    @property
    def load(self) -> int:
        """How much it has in hand."""
        return len(self.hand)

    @property
    def has_room(self) -> bool:
        """Whether it can be given more."""
        return self._is_ready and len(self.hand) - len(self._taken) < _AHEAD

    @property
    def has_suspect(self) -> bool:
        """Whether something in its hand may be what ended another process."""
        return any(asked.deaths for asked in self.hand.values())

    @property
    def exit_code(self) -> int | None:
        """Of the process that has died; below 0, the signal that ended it."""
        return self._process.exitcode

    def give(self, asked: _Asked) -> None:
        """Send a request; where the process has died, `hear` will say so."""
        self._numbers += 1
        self.hand[self._numbers] = asked
        with contextlib.suppress(OSError):
            self.connection.send((self._numbers, asked.job.request))

    def hear(self) -> Result | None:
        """Take one message; the result, if it is one. Raises `EOFError` or `OSError` where the process has died.

        Raises `ModelError` where the model couldn't be loaded.
        """
        match self.connection.recv():
            case _Ready():
                self._is_ready = self._has_loaded = True
            case _Took(number):
                self._taken.add(number)
            case _Failed(sentence):
                if not self._has_loaded:  # nor will the others
                    raise ModelError(sentence)
                self.reason = sentence
            case _Done(number, answer, sentence):
                self.barren = 0
                self._taken.discard(number)
                error = None if sentence is None else VipError(sentence)
                return Result(self.hand.pop(number).job.key, answer, error)
        return None

    def bury(self) -> tuple[list[_Asked], list[_Asked]]:
        """End what is left of a process that has died. Returns what it had begun, and what it hadn't."""
        self.end()
        self.barren += 1
        begun = [asked for number, asked in self.hand.items() if number in self._taken]
        for asked in begun:
            asked.deaths += 1
        return begun, [asked for number, asked in self.hand.items() if number not in self._taken]

    def end(self) -> None:
        """Let it be no more."""
        self._process.kill()
        self._process.join()
        self.connection.close()


@dataclass(frozen=True)
class _Ready:
    """The model is loaded."""


@dataclass(frozen=True)
class _Took:
    """The model has begun the request of this number."""

    number: int


@dataclass(frozen=True)
class _Done:
    """What became of the request of this number: an answer, or a sentence."""

    number: int
    answer: Answer | None
    sentence: str | None


@dataclass(frozen=True)
class _Failed:
    """The model can't go on, or couldn't be loaded."""

    sentence: str


def _work(connection: Connection, ref: str, options: dict[str, Any], threads: int, at_once: int | None) -> None:
    """What a process does: load the model, and answer until nobody is left to ask."""
    for one in (signal.SIGINT, signal.SIGTERM):  # they are the parent's to mind
        signal.signal(one, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is loaded, which is nobody's here but the engine's
    inbox: queue.SimpleQueue[tuple[int, Request]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, inbox), daemon=True).start()
    from vipcli.engine import open_engine

    with contextlib.suppress(OSError):  # the parent has gone
        try:
            engine = open_engine(ref, **options)
            connection.send(_Ready())
            for result in engine.answers(_Inbox(connection, inbox), at_once):
                assert isinstance(result.key, int)
                sentence = None if result.error is None else str(result.error)
                connection.send(_Done(result.key, result.answer, sentence))
        except VipError as error:
            connection.send(_Failed(str(error)))


def _receive(connection: Connection, inbox: queue.SimpleQueue[tuple[int, Request]]) -> None:
    """Take what the parent sends, so that it never waits for us; end with it."""
    try:
        while True:
            inbox.put(connection.recv())
    except Exception:  # the parent has gone, or there is no memory for what it sends
        os._exit(1)


@dataclass(frozen=True)
class _Inbox:
    """What the parent has sent, as a feed that tells it what is taken; see `vipcli.engine.Feed`."""

    connection: Connection
    inbox: queue.SimpleQueue[tuple[int, Request]] = field(repr=False)

    def take(self, wait: bool) -> Job | None:
        """The next request."""
        try:
            number, request = self.inbox.get(block=wait)
        except queue.Empty:
            return None
        self.connection.send(_Took(number))
        return Job(number, request)


def _devices(count: int, device: str) -> list[str]:
    """Where each process has its model: the GPUs in turn, unless a `device` was named."""
    gpus: list[str] = []
    if device == "auto":
        from vipcli.engine import choose_device

        with contextlib.suppress(ModelError, UsageError):
            for number in range(count):
                gpus.append(str(choose_device(f"cuda:{number}")))
    return [gpus[number % len(gpus)] if gpus else device for number in range(count)]
