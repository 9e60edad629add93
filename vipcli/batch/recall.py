"""The lines of a JSONL manifest known again: one that was answered is left out before anything is made of it.

A row of the journal has, beside the digest of its item, the mark of the line that it came from: of the line's bytes, of
what is asked of every picture, and of the size of the picture's file. A line with the same mark is the same item, which
takes a fifth of the time of reading it. Whatever has another mark, or none, is read and compared as an item.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import orjson

from vipcli.batch.asking import Asking
from vipcli.batch.items import file_size, mark_of
from vipcli.batch.places import placed

__all__ = ["Lines", "Recall"]

_VERSION = 1  # to be raised when the same line becomes another item than before

Recall = Callable[[str, int], bool]
"""Whether the item of this name was answered when its line had this mark; it is then taken for read."""


class Lines:
    """What lines of a manifest come to. base, asking: see `vipcli.batch.manifests.read_jsonl`."""

    def __init__(self, base: Path | None, asking: Asking) -> None:
        self._base = base
        self._image: str | None = None
        self._size: int | None = None
        self._asked = _hash(repr((_VERSION, base and str(base), asking)).encode("utf-8", "surrogatepass"))

    def number(self, line: str) -> int:
        """What tells a line, as it is asked, from others: 64 bits. The file of its picture is left to `mark_of`."""
        return self._asked ^ _hash(line.encode("utf-8", "surrogateescape"))

    def is_answered(self, line: str, number: int, recall: Recall) -> bool:
        """Whether line `number` is one item that `recall` knows. Where there is any doubt it isn't."""
        data = line.encode("utf-8", "surrogateescape")
        try:
            row = orjson.loads(data)
            image, name = row["image"], row.get("id")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return False
        if name is None or name == "":
            name = f"line {number}"
        elif type(name) is int:
            name = str(name)
        if type(name) is not str or type(image) is not str:
            return False
        if image != self._image:  # the questions about one picture mostly stand together
            self._image, self._size = image, file_size(placed(image, self._base))
        return recall(name, mark_of(self._asked ^ _hash(data), self._size))


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
