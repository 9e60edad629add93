"""Processes that do something with items beside the model, ahead of it, and outlive what crashes one of them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from vipcli.errors import VipError
from vipcli.processes import Helper, Task, cores

__all__ = ["Workers", "cores", "in_order"]

_CRASHED = object()
_NO_START = (
    "a process that opens pictures can't start, and Python says why above; a script must keep what it does under "
    'if __name__ == "__main__":, for each of these processes reads it'
)
_AHEAD = 64  # tasks begun ahead of what is taken of them in order


class Workers:
    """`count` processes, each of which does its tasks in order; what is done comes out as it is done.

    A task that crashes its process fails alone: the others of that process are done by a new one. busy: how many tasks
    are still to come out. They yield to the model, so that there may be as many as cores: where it waits for them, they
    have all of these.
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
        """(key, what came of its task: a value or a `VipError`); None where nothing is ready, or nothing is left.

        Raises `VipError` where the processes can't even start: new ones wouldn't either.
        """
        while self.busy:
            try:
                lane, process, value = self._done.get(block=wait)
            except queue.Empty:
                return None
            if process is not lane.process:  # of one that has crashed
                continue
            if value is _CRASHED:
                if process.couldnt_start:
                    raise VipError(_NO_START)
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


def in_order(workers: Workers, jobs: Iterator[tuple[Any, Task | None, tuple[Any, ...]]]) -> Iterator[tuple[Any, Any]]:
    """(value, what came of its task) of each job, in their order, some of them done by `workers` ahead of it.

    jobs: (value, task, inputs); a task that is None comes to None. Nobody else may use `workers` meanwhile.
    """
    waiting: deque[Any] = deque()
    made: dict[int, Any] = {}
    begun = given = 0
    while True:
        while len(waiting) < _AHEAD and (job := next(jobs, None)) is not None:
            value, task, inputs = job
            if task is None:
                made[begun] = None
            else:
                workers.put(begun, task, *inputs)
            waiting.append(value)
            begun += 1
        if not waiting:
            return
        while given not in made:
            done = workers.get(wait=True)
            assert done is not None
            made[done[0]] = done[1]
        yield waiting.popleft(), made.pop(given)
        given += 1


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
        self._helper = Helper(yields=True)
        threading.Thread(target=self._receive, args=(lane, done), daemon=True).start()

    @property
    def couldnt_start(self) -> bool:
        """See `Helper`."""
        return self._helper.couldnt_start

    def send(self, task: Task, inputs: tuple[Any, ...]) -> None:
        """Hand it a task; where it has died, the other thread will say so."""
        self._helper.send(task, *inputs)

    def end(self) -> None:
        """Let it be no more."""
        self._helper.end()

    def _receive(self, lane: _Lane, done: queue.SimpleQueue[Any]) -> None:
        try:
            while True:
                done.put((lane, self, self._helper.receive()))
        except Exception:  # it has ended, or sent what can't be taken: there may be no memory for it
            done.put((lane, self, _CRASHED))
