"""The items of a source that a journal has no answer for: what a job still has to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from vipcli.batch.items import BadItem, Item, digest_of
from vipcli.batch.journal import DIGEST
from vipcli.errors import UsageError, VipError, quote

if TYPE_CHECKING:
    from vipcli.batch.journal import Journal
    from vipcli.batch.sources import Source

__all__ = ["Unanswered"]

_NO_DIGEST = -1  # of what can't be asked


class Unanswered(Iterator[Item]):
    """The items of `source` that can be asked and that `journal` doesn't have.

    sample: see `Source.items`. failed: called with an item that can't be asked, and the sentence of what is wrong with
    it. skipped: how many were answered before, or have the id and the question of one before them. Raises `UsageError`
    where an item isn't what it was when it was answered.
    """

    def __init__(
        self, source: Source, sample: int | None, journal: Journal, failed: Callable[[Item | BadItem, VipError], None]
    ) -> None:
        self._journal, self._failed = journal, failed
        self._answered = journal.answered
        has_marks = any(found > DIGEST for found in journal.answered.values())
        self._items = source.items(sample, self._recall if has_marks else None)
        self._seen: dict[int, int] = {}  # digests by the hash of the id
        self.skipped = 0

    def __next__(self) -> Item:
        for item in self._items:
            key = hash(item.id)
            digest = int(digest_of(item), 16) if isinstance(item, Item) else _NO_DIGEST
            earlier = self._seen.get(key)
            if earlier is not None:
                if isinstance(item, Item) and earlier & DIGEST == digest:
                    self.skipped += 1  # the same once more: its answer is there, or on its way
                else:
                    stands = f"its id {quote(item.id)!r} stands there twice"
                    self._failed(item, UsageError(f"{stands}, with another question: give each one an id of its own"))
                continue
            if isinstance(item, BadItem):
                self._seen[key] = digest
                self._failed(item, UsageError(item.sentence))
                continue
            before = self._journal.has(item.id)
            self._seen[key] = digest
            if before is None:
                return item
            if before != digest:
                raise UsageError(
                    f"{quote(item.where or item.id)}: its picture, markers or question have changed since it was "
                    "answered: name another --output"
                )
            self.skipped += 1
        raise StopIteration

    def _recall(self, name: str, mark: int) -> bool:
        """See `vipcli.batch.recall.Recall`; an id that stands there twice is looked at in full."""
        key = hash(name)
        before = self._answered.get(key)
        if before is None or before >> 64 != mark or key in self._seen:
            return False
        self._seen[key] = before
        self.skipped += 1
        return True
