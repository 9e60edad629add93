"""Pictures looked at in a thread of its own, while the text model answers those that were seen before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread, current_thread
from typing import Any
from weakref import WeakValueDictionary

import torch

from vipcli.engine.llama import LlamaText
from vipcli.engine.vision import Eyes

__all__ = ["Ahead", "looking_ahead"]


@contextmanager
def looking_ahead(eyes: Eyes, text: LlamaText) -> Iterator[Ahead | None]:
    """Look ahead where that pays: two cores are of more use to two parts of a small model on a CPU than to one of them.

    Each part then has half of the threads. None: larger models fill all cores with every product, and GPUs have one
    part of the work after the other.
    """
    threads = torch.get_num_threads()
    if text.device.type != "cpu" or not text.small or threads == 1:
        yield None
        return
    torch.set_num_threads(threads // 2)
    ahead = Ahead(eyes, threads)
    try:
        yield ahead
    finally:
        try:
            ahead.end()
        finally:
            torch.set_num_threads(threads)


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A picture to be looked at."""

    picture: bytes
    square: Any
    seen: Future[torch.Tensor]


class Ahead:
    """The thread, and the pictures it was told of: each is looked at once, while somebody waits for it.

    threads: those of both parts together.
    """

    def __init__(self, eyes: Eyes, threads: int) -> None:
        self._eyes, self._all, self._half = eyes, threads, threads // 2
        self._wanted: SimpleQueue[_Wanted | None] = SimpleQueue()
        self._begun: WeakValueDictionary[bytes, Future[torch.Tensor]] = WeakValueDictionary()
        self._ended = False
        self._thread = Thread(target=self._run, name="eyes", daemon=True)
        self._thread.start()

    def begin(self, picture: bytes, square: Any) -> Future[torch.Tensor]:
        """A picture that will be wanted, by its digest and its square; what comes is for `look` to fetch."""
        seen = self._begun.get(picture)
        if seen is None or (seen.done() and seen.exception() is not None):  # memory may be there the next time
            self._begun[picture] = seen = Future()
            self._wanted.put(_Wanted(picture, square, seen))
        return seen

    def look(self, squares: Mapping[bytes, Any]) -> dict[bytes, torch.Tensor]:
        """As `Eyes.look`; waits for what is being looked at."""
        coming = {picture: self.begin(picture, square) for picture, square in squares.items()}
        return {picture: seen.result() for picture, seen in coming.items()}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For somebody who has all cores to himself: nothing else is being looked at or answered."""
        torch.set_num_threads(self._all)
        try:
            yield
        finally:
            torch.set_num_threads(self._half)

    def end(self) -> None:
        """End the thread once it has seen what it is looking at; what else was begun is left."""
        self._ended = True
        self._wanted.put(None)
        if current_thread() is not self._thread:  # where Python clears up a generator that nobody ended
            self._thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        torch.set_num_threads(self._half)  # or oneDNN, which asks OpenMP, has as many here as there are cores
        while some := self._next():
            try:
                self._see(some)
            except BaseException as error:  # whoever wants to have seen them must know
                for one in some:
                    one.seen.set_exception(error)

    def _see(self, some: list[_Wanted]) -> None:
        try:
            found = self._eyes.look({one.picture: one.square for one in some})
        except (MemoryError, RuntimeError):  # torch on a CPU has no error of its own for a lack of memory
            if len(some) == 1:
                raise
            for one in some:
                try:
                    self._see([one])
                except (MemoryError, RuntimeError) as error:
                    one.seen.set_exception(error)
            return
        for one in some:
            one.seen.set_result(found[one.picture])

    def _next(self) -> list[_Wanted]:
        """As many as are waiting and are looked at together, one at least; none: it is the end."""
        some = [self._wanted.get()]
        while len(some) < self._eyes.together:
            try:
                some.append(self._wanted.get_nowait())
            except Empty:
                break
        return [] if self._ended else [one for one in some if one is not None]
