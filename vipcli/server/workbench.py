"""Where requests are worked on beside the event loop, in turn by machine: in threads, and pictures in processes."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from vipcli.server.helpers import Helpers
from vipcli.server.line import Client
from vipcli.server.looking import Looked, Marking, Shown, Sight, look, show
from vipcli.server.options import Limits

__all__ = ["Workbench"]

_THREADS = 3  # of which one machine has all but one
_BYTES_REMEMBERED = 16 * 2**20

Value = TypeVar("Value")


class Workbench:
    """Of one application. helpers: the processes; None: some of its own, which end with it."""

    def __init__(self, limits: Limits, helpers: Helpers | None = None) -> None:
        self._limits = limits
        self._helpers, self._owns_helpers = helpers or Helpers(), helpers is None
        self._threads = ThreadPoolExecutor(_THREADS, "vip-prepare")
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._remembered: OrderedDict[bytes, Looked] = OrderedDict()
        self._bytes = 0  # of the pictures among them

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._owns_helpers:
            self._helpers.end()

    async def aside(self, client: Client, work: Callable[..., Value], *inputs: Any) -> Value:
        """Do `work` in a thread; of one machine's, so many at a time that another's always finds one free."""
        turns = self._turns.get(client[0])
        if turns is None:
            turns = self._turns[client[0]] = asyncio.Semaphore(_THREADS - 1)
        async with turns:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *inputs)

    async def look(self, client: Client, data: bytes, marking: Marking, sight: Sight) -> Looked:
        """`vipcli.server.looking.look`, remembered, since each turn of a conversation sends its picture again."""
        key = await self.aside(client, _digest, data, marking, sight)
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        looked: Looked = await self._helped(client, look, data, marking, sight)
        if looked.seen is not None:
            looked.seen.setflags(write=False)  # so that an engine may remember what it made of it
        if key not in self._remembered:  # two may have asked at a time
            self._remembered[key] = looked
            self._bytes += _size(looked)
        while self._bytes > _BYTES_REMEMBERED:
            self._bytes -= _size(self._remembered.popitem(last=False)[1])
        return looked

    async def show(self, client: Client, data: bytes, marking: Marking, sight: Sight, as_model_sees_it: bool) -> Shown:
        """`vipcli.server.looking.show`."""
        return await self._helped(client, show, data, marking, sight, as_model_sees_it)

    async def _helped(self, client: Client, *work: Any) -> Any:
        return await self.aside(client, self._helpers.do, self._limits.picture_seconds, *work)


def _digest(data: bytes, marking: Marking, sight: Sight) -> bytes:
    """Of the markers' texts too, which may be long: what is remembered is bounded by its pictures alone."""
    summed = hashlib.blake2b(data, digest_size=32)
    summed.update(repr((marking, sight)).encode("utf-8", "surrogatepass"))
    return summed.digest()


def _size(looked: Looked) -> int:
    return 0 if looked.seen is None else looked.seen.nbytes
