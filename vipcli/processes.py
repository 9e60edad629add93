"""Processes beside this one, which do one task after the other and may crash at it without harm to anybody else.

They are for pictures: a decoder is C, and what it is given comes from anywhere.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import weakref
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from vipcli.allocating import keep
from vipcli.errors import VipError

__all__ = ["SPAWN", "Helper", "Task", "cores", "outcome", "start"]

_YIELDING = 19  # the most: next to nothing where the model wants to run too
_PARENTS = (signal.SIGINT, signal.SIGTERM)  # signals that reach a whole group, and that the parent minds for all
SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads may hang
_STARTED: weakref.WeakSet[BaseProcess] = weakref.WeakSet()

Task = Callable[..., Any]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Helper:
    """One process, which does what it is sent in order, and ends with the one that started it.

    yields: whether it takes only the time that nobody else wants, as far as the system knows such a thing.
    """

    def __init__(self, *, yields: bool = False) -> None:
        self._connection, its = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_work, args=(its, yields), daemon=True)
        start(self._process)
        its.close()

    @property
    def is_alive(self) -> bool:
        """Whether it can do anything more."""
        return self._process.is_alive()

    @property
    def couldnt_start(self) -> bool:
        """Whether it has died, and of an error in Python: a picture that crashes a decoder ends in a signal."""
        self._process.join(1)
        return self._process.exitcode == 1

    def send(self, task: Task, *inputs: Any) -> None:
        """Hand it a task, which is pickled; where it has died, `receive` will say so."""
        with contextlib.suppress(OSError):
            self._connection.send((task, inputs))

    def receive(self, seconds: float | None = None) -> Any:
        """What came of the next task: a value or a `VipError`.

        Raises `TimeoutError` where it isn't there within so many `seconds`, `EOFError` where the process has died.
        """
        try:
            if not self._connection.poll(seconds):
                raise TimeoutError
            return self._connection.recv()
        except ConnectionError as error:
            raise EOFError from error

    def end(self) -> None:
        """Let it be no more."""
        self._process.kill()


def start(process: BaseProcess) -> None:
    """Start a process that ignores `_PARENTS`, and see to it that it ends with this one at the latest."""
    with _signals_wait():
        process.start()
    _STARTED.add(process)


@atexit.register
def _end_all() -> None:
    """End what nobody has ended: multiprocessing would send SIGTERM, which is ignored, and wait for ever."""
    for process in list(_STARTED):
        process.kill()


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
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


def outcome(task: Task, inputs: tuple[Any, ...]) -> Any:
    """What comes of a task: its value, or a `VipError` that can be pickled."""
    try:
        return task(*inputs)
    except VipError as error:
        return VipError(str(error))  # some kinds can't be pickled
    except Exception as error:
        return VipError(f"it can't be prepared: {' '.join(str(error).split())[:200] or type(error).__name__}")


def _work(connection: Connection, yields: bool) -> None:
    """What a process does: task by task, until nobody is left to send one."""
    if yields and hasattr(os, "nice"):
        os.nice(_YIELDING)
    for number in _PARENTS:
        signal.signal(number, signal.SIG_IGN)
    keep()  # or memory is taken anew for every picture: 1.2 of 2.2 ms of opening one
    _import_what_draws()
    with contextlib.suppress(EOFError, OSError):
        while True:
            task, inputs = connection.recv()
            _hand_over(connection, outcome(task, inputs))


def _hand_over(connection: Connection, value: Any) -> None:
    try:
        connection.send(value)
    except OSError:  # nobody is there
        raise
    except Exception as error:  # nothing of it was sent: there may be no memory for its copy
        connection.send(VipError(f"what was prepared can't be handed over: {type(error).__name__}"))


def _import_what_draws() -> None:
    """Import before the first task comes, while the model is still being loaded; and keep to one thread."""
    import cv2

    from vipcli.images import fit, open_picture  # noqa: F401
    from vipcli.markers import draw, parse  # noqa: F401

    cv2.setNumThreads(1)
