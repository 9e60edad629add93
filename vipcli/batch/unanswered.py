"""The items of a source that a journal has no answer for: what a job still has to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from vipcli.batch.items import BadItem, Item, digest_of
from vipcli.errors import UsageError, VipError, quote

if TYPE_CHECKING:
    from vipcli.batch.journal import Journal

__all__ = ["Unanswered"]


class Unanswered(Iterator[Item]):
    """Those of `items` that can be asked and that `journal` doesn't have.

    failed: called with an item that can't be asked, and the sentence of what is wrong with it. skipped: how many were
    answered before. Raises `UsageError` where an item isn't what it was when it was answered.
    """

    def __init__(
        self, items: Iterator[Item | BadItem], journal: Journal, failed: Callable[[Item | BadItem, VipError], None]
    ) -> None:
        self._items, self._journal, self._failed = items, journal, failed
        self._seen: set[int] = set()
        self.skipped = 0

    def __next__(self) -> Item:
        for item in self._items:
            key = hash(item.id)
            if key in self._seen:
                self._failed(item, UsageError(f"its id {quote(item.id)!r} stands there twice"))
                continue
            self._seen.add(key)
            if isinstance(item, BadItem):
                self._failed(item, UsageError(item.sentence))
                continue
            before = self._journal.has(item.id)
            if before is None:
                return item
            if before != int(digest_of(item), 16):
                raise UsageError(
                    f"{quote(item.where or item.id)}: its picture, markers or question have changed since it was "
                    "answered: name another --output"
                )
            self.skipped += 1
        raise StopIteration
