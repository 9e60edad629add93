"""Processes that do something with items beside the model, ahead of it, and outlive what crashes one of them."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from vipcli.errors import VipError

__all__ = ["SPAWN", "Workers", "cores", "signals_wait"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT = 2**28  # bytes
_CRASHED = object()
_PARENTS = (signal.SIGINT, signal.SIGTERM)  # signals that reach a whole group, and that the parent minds for all
SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads may hang

Task = Callable[..., Any]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """`count` processes, each of which does its tasks in order; what is done comes out as it is done.

    A task that crashes its process fails alone: the others of that process are done by a new one. busy: how many tasks
    are still to come out.
    """

    def __init__(self, count: int) -> None:
        self._done: queue.SimpleQueue[tuple[_Lane, _Process, Any]] = queue.SimpleQueue()
        self._lanes = [_Lane(self._done) for _ in range(count)]
        self.busy = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.process.end()

    def put(self, key: Any, task: Task, *inputs: Any) -> None:
        """Give a task to the process that has the fewest; `task` and `inputs` are pickled."""
        lane = min(self._lanes, key=lambda one: len(one.tasks))
        lane.tasks.append((key, task, inputs))
        lane.process.send(task, inputs)
        self.busy += 1

    def get(self, wait: bool) -> tuple[Any, Any] | None:
        """(key, what came of its task: a value or a `VipError`); None where nothing is ready, or nothing is left."""
        while self.busy:
            try:
                lane, process, value = self._done.get(block=wait)
            except queue.Empty:
                return None
            if process is not lane.process:  # of one that has crashed
                continue
            if value is _CRASHED:
                lane.restart()
                if not lane.tasks:
                    continue
                value = VipError("its picture crashed the process that opened it")
                key, _, _ = lane.tasks.popleft()
                for _, task, inputs in lane.tasks:
                    lane.process.send(task, inputs)
            else:
                key, _, _ = lane.tasks.popleft()
            self.busy -= 1
            return key, value
        return None


class _Lane:
    """One process after another, and what is still to be done there, in order: (key, task, inputs)."""

    def __init__(self, done: queue.SimpleQueue[Any]) -> None:
        self._done = done
        self.tasks: deque[tuple[Any, Task, tuple[Any, ...]]] = deque()
        self.process = _Process(self, done)

    def restart(self) -> None:
        """A new process in the place of one that has crashed."""
        self.process.end()
        self.process = _Process(self, self._done)


class _Process:
    """One process, and the thread that takes what it sends, so that it never waits for us."""

    def __init__(self, lane: _Lane, done: queue.SimpleQueue[Any]) -> None:
        self._connection, its = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_work, args=(its,), daemon=True)
        with signals_wait():
            self._process.start()
        its.close()
        threading.Thread(target=self._receive, args=(lane, done), daemon=True).start()

    def send(self, task: Task, inputs: tuple[Any, ...]) -> None:
        """Hand it a task; where it has died, the other thread will say so."""
        with contextlib.suppress(OSError):
            self._connection.send((task, inputs))

    def end(self) -> None:
        """Let it be no more."""
        self._process.kill()

    def _receive(self, lane: _Lane, done: queue.SimpleQueue[Any]) -> None:
        try:
            while True:
                done.put((lane, self, self._connection.recv()))
        except (EOFError, OSError):
            done.put((lane, self, _CRASHED))


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Keep Ctrl-C and SIGTERM until the block has ended: a process that starts in it never gets them at all."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would let them through when it starts by itself
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection) -> None:
    """What a process does: task by task, until nobody is left to send one."""
    for number in _PARENTS:
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError, TypeError):
        # glibc would give a picture's memory back and take it again for every picture: 1.2 of 2.2 ms of opening one.
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
    _prepare_imports()
    with contextlib.suppress(EOFError, OSError):
        while True:
            task, inputs = connection.recv()
            connection.send(_outcome(task, inputs))


def _prepare_imports() -> None:
    """Import before the first task comes, while the model is still being loaded; and keep to one thread."""
    import cv2

    from vipcli.images import fit, open_picture  # noqa: F401
    from vipcli.markers import draw, parse  # noqa: F401

    cv2.setNumThreads(1)


def _outcome(task: Task, inputs: tuple[Any, ...]) -> Any:
    try:
        return task(*inputs)
    except VipError as error:
        return VipError(str(error))  # some kinds can't be pickled
    except Exception as error:
        return VipError(f"it can't be prepared: {' '.join(str(error).split())[:200] or type(error).__name__}")
