"""What a job writes down, whoever answers: each row in the journal at once, and then as an event."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vipcli.batch.items import BadItem, Item, digest_of, file_size, mark_of
from vipcli.batch.unanswered import Unanswered
from vipcli.errors import VipError

if TYPE_CHECKING:
    from vipcli.batch.feeding import Ready
    from vipcli.batch.journal import Journal
    from vipcli.batch.sources import Source
    from vipcli.engine import Answer

__all__ = ["Event", "Recorder", "success_row"]


@dataclass(frozen=True, eq=False)
class Event:
    """One line of the journal, just written, and how far the job is.

    row: the line. skipped: items answered before. seconds: since the job began; waited: those of them for which the
    model had nothing to do.
    """

    row: dict[str, Any]
    skipped: int
    seconds: float
    waited: float


class Recorder:
    """What `journal` lacks of `source`, and what becomes of it there.

    items: those that are still to be asked; what can't be is written down meanwhile. model: what rows call it.
    """

    def __init__(self, source: Source, sample: int | None, journal: Journal, model: str) -> None:
        self._began = time.monotonic()
        self._journal, self._model = journal, model
        self._rows: deque[dict[str, Any]] = deque()
        self.items = Unanswered(source, sample, journal, self.failed)

    def write(self, row: dict[str, Any]) -> None:
        """Write down a row."""
        self._journal.append(row)
        self._rows.append(row)

    def failed(self, item: Item | BadItem, error: VipError) -> None:
        """Write down what is wrong with an item."""
        self.write(_failure_row(item, error, self._model))

    def events(self, waited: float = 0.0) -> Iterator[Event]:
        """What was written since the last call. waited: see `Event`."""
        while self._rows:
            yield Event(self._rows.popleft(), self.items.skipped, time.monotonic() - self._began, waited)


def success_row(ready: Ready, answer: Answer, model: str) -> dict[str, Any]:
    """The journal's line of an item that was answered."""
    item, prepared = ready.item, ready.prepared
    size = None if item.image is None else file_size(item.image)
    row = {
        "id": item.id,
        "image": _image(item),
        "markers": list(prepared.markers),
        "question": item.question,
        "prompt": ready.prompt,
        "answer": answer.text,
        "finish": answer.finish,
        "model": model,
        "prompt_tokens": answer.prompt_tokens,
        "answer_tokens": answer.answer_tokens,
        "seconds": round(answer.seconds, 4),
        "warnings": list(prepared.doubts),
        "error": None,
        "fields": {**item.fields, **prepared.fields},
        "time": _now(),
        "input": item.digest(size),
    }
    return row if item.line is None else row | {"line": f"{mark_of(item.line, size):016x}"}


def _failure_row(item: Item | BadItem, error: VipError, model: str) -> dict[str, Any]:
    """The journal's line of an item that failed."""
    asked = item if isinstance(item, Item) else None
    where = f"{item.where}: " if item.where and item.where != item.image and item.where != item.id else ""
    return {
        "id": item.id,
        "image": _image(item),
        "question": asked and asked.question,
        "answer": None,
        "model": model,
        "error": f"{where}{error}",
        "fields": dict(asked.fields) if asked else {},
        "time": _now(),
        "input": digest_of(asked) if asked else "0",
    }


def _image(item: Item | BadItem) -> str | None:
    """A picture's name; of a ``data:`` URI, which may have a megabyte, its beginning."""
    image = item.image
    return f"{image[:40]}..." if image is not None and image.startswith("data:") and len(image) > 40 else image


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
