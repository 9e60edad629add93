"""Server-sent events: the bytes of a stream, cut anywhere, become its events.

As WHATWG's HTML standard parses them (section "Server-sent events"), with two allowances for servers of language
models: an event that the stream's end cuts off counts (llama.cpp leaves out the last blank line), and a line
``error: ...`` is an event of that kind (llama.cpp of 2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vipcli.engine.retrying import ServerError

__all__ = ["Event", "events"]

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Event:
    """One event: its `kind` (``message`` where the stream names none) and its `data`."""

    kind: str
    data: str


def events(chunks: Iterable[bytes], limit: int, server: str) -> Iterator[Event]:
    """The events of a stream that comes in `chunks`.

    Raises `ServerError`, beginning with `server`, where a line or an event is longer than `limit` bytes.
    """
    kind, data, size = "message", [], 0
    for number, raw in enumerate(_lines(chunks, limit, server)):
        line = raw.decode("utf-8", "replace")
        if number == 0:
            line = line.removeprefix("\ufeff")
        name, _, value = line.partition(":")  # of a comment, which begins with the colon, the name is empty
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
            size += len(raw)
            if size > limit:
                raise _too_long(limit, server)
        elif name == "event":
            kind = value or "message"
        elif name == "error":
            yield Event("error", value)
        elif not line:
            if data:
                yield Event(kind, "\n".join(data))
            kind, data, size = "message", [], 0
    if data:
        yield Event(kind, "\n".join(data))


def _lines(chunks: Iterable[bytes], limit: int, server: str) -> Iterator[bytes]:
    """The lines of the stream, without their ends: LF, CRLF or CR, also where a chunk parts CR from LF."""
    begun = bytearray()
    after_cr = False
    for chunk in filter(None, chunks):
        *whole, last = _LINE_END.split(chunk[after_cr and chunk.startswith(b"\n") :])
        after_cr = chunk.endswith(b"\r")
        for line in whole:
            yield bytes(begun + line)
            begun.clear()
        begun += last
        if len(begun) > limit:
            raise _too_long(limit, server)
    if begun:
        yield bytes(begun)


def _too_long(limit: int, server: str) -> ServerError:
    return ServerError(f"{server} sends more than {limit // 2**10} kB in one event")
