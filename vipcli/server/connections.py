"""Connections that don't wait for ever: for a request that comes a byte at a time, or a client that doesn't read.

uvicorn limits the time between requests alone, not that of a request's head or of an answer's going out, and counts
connections only once they ask.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from vipcli.server.options import Limits

__all__ = ["limited"]


def limited(limits: Limits) -> type[asyncio.Protocol]:
    """uvicorn's protocol, with these limits."""
    machines: Counter[str] = Counter()

    class Connection(H11Protocol):
        """One connection."""

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self._head: asyncio.TimerHandle | None = None
            self._taking: asyncio.TimerHandle | None = None
            self._counted: str | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.app_state = {**self.app_state, "abort": transport.abort}
            machine = self.client[0] if self.client else ""
            machines[machine] += 1
            self._counted = machine
            if len(self.connections) > limits.connections or machines[machine] > max(1, limits.connections // 2):
                transport.abort()
                return
            self._wait_for_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_waiting()
            elif self._head is None and self.timeout_keep_alive_task is None:  # another request has begun to come
                self._wait_for_head()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_waiting()
            if self._taking is not None:
                self._taking.cancel()
            if self._counted is not None:
                machines[self._counted] -= 1
                if not machines[self._counted]:
                    del machines[self._counted]
                self._counted = None

        def pause_writing(self) -> None:
            super().pause_writing()
            self._watch_taking()

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self._watch_taking()

        def shutdown(self) -> None:
            super().shutdown()
            if self.transport.is_closing():
                self._watch_taking()

        def _watch_taking(self) -> None:
            """Cut the connection once nothing has been taken for so long of what is ready for the client."""
            if self._taking is not None:
                self._taking.cancel()
                self._taking = None
            left = self.transport.get_write_buffer_size()

            def look() -> None:
                self._taking = None
                if self.transport.get_write_buffer_size() < left:
                    self._watch_taking()
                else:
                    self.transport.abort()

            if left:
                self._taking = self.loop.call_later(limits.write_seconds, look)

        def _wait_for_head(self) -> None:
            self._head = self.loop.call_later(limits.header_seconds, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return Connection
