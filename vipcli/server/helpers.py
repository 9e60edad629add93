"""Processes that prepare pictures: what crashes one of them, or takes too long, is refused, and others go on."""

from __future__ import annotations

import threading
from typing import Any

from vipcli.errors import VipError
from vipcli.processes import Helper, Task
from vipcli.server.looking import tried
from vipcli.server.refusals import Refusal

__all__ = ["Helpers"]


class Helpers:
    """As many processes as threads want one at a time, each started when all others are busy, and kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Helper] = []
        self._all: set[Helper] = set()

    def begin(self) -> None:
        """Start one ahead of the first picture."""
        helper = self._taken()
        with self._lock:
            self._idle.append(helper)

    def do(self, seconds: float, task: Task, *inputs: Any) -> Any:
        """What `task` gives; it and `inputs` are pickled. Raises the `VipError` that it ends in."""
        helper = self._taken()
        try:
            helper.send(tried, task, *inputs)
            value = helper.receive(seconds)
        except BaseException as error:
            self._give_up(helper)
            if isinstance(error, EOFError):
                what = "the picture crashed the process that opened it"
                raise Refusal(400, what, code="invalid_image") from None
            if isinstance(error, TimeoutError):
                what = f"the picture took more than {seconds:g} seconds: make it smaller, or draw less on it"
                raise Refusal(422, what, code="too_slow") from None
            raise
        with self._lock:
            self._idle.append(helper)
        if isinstance(value, VipError):  # a refusal, or that there was no memory to hand the value over
            raise value
        return value

    def end(self) -> None:
        """End them all, whatever they do."""
        with self._lock:
            helpers = list(self._all)
        for helper in helpers:
            self._give_up(helper)

    def _taken(self) -> Helper:
        """One that is idle, the last that was busy first, or else a new one."""
        with self._lock:
            while self._idle:
                if (helper := self._idle.pop()).is_alive:
                    return helper
                self._all.discard(helper)
            helper = Helper()
            self._all.add(helper)
        return helper

    def _give_up(self, helper: Helper) -> None:
        helper.end()
        with self._lock:
            self._all.discard(helper)
