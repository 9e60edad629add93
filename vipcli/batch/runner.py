"""The job: every item asked, every answer in the journal at once; what happens comes out as events."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vipcli.batch.feeding import Answering, Feeder, Ready
from vipcli.batch.items import BadItem, Item, digest_of
from vipcli.batch.journal import Journal
from vipcli.batch.preparing import Facts
from vipcli.batch.sources import Source
from vipcli.batch.unanswered import Unanswered
from vipcli.batch.workers import Workers
from vipcli.engine import Answer
from vipcli.errors import VipError

__all__ = ["Event", "failure_row", "run"]

# How many a model or a server is taken to answer at a time, where nobody says: twice as many are prepared ahead.
_ROWS, _REQUESTS = 32, 8


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


def run(
    source: Source,
    engine: Answering,
    journal: Journal,
    workers: Workers,
    facts: Facts,
    *,
    at_once: int | None = None,
    sample: int | None = None,
    system: str | None = None,
    prompt_style: str = "auto",
    options: dict[str, Any] | None = None,
) -> Generator[Event, None, int]:
    """Ask `engine` every item of `source` that `journal` doesn't have, and write down what comes.

    at_once: requests at a time; None: as many as there is room for. sample, system, prompt_style, options: see
    `Source.items`, `Conversation`, `vipcli.prompt.render` and `Request`. An item that fails is a row with an ``error``.
    Returns how many were answered before. Raises `VipError` for what would fail every item; what is written by then
    stays.
    """
    began = time.monotonic()
    rows: deque[dict[str, Any]] = deque()

    def failed(item: Item | BadItem, error: VipError) -> None:
        row = failure_row(item, error, engine.name)
        journal.append(row)
        rows.append(row)

    items = Unanswered(source.items(sample), journal, failed)
    feeder = Feeder(
        items,
        engine,
        facts,
        workers,
        failed,
        system=system,
        prompt_style=prompt_style,
        options=options or {},
        ahead=2 * (at_once or (_ROWS if facts.side is not None else _REQUESTS)),
    )

    def events() -> Iterator[Event]:
        while rows:
            yield Event(rows.popleft(), items.skipped, time.monotonic() - began, feeder.waited)

    for result in engine.answers(feeder, at_once):
        ready: Any = result.key
        if result.answer is not None:
            row = _success(ready, result.answer, engine.name)
        else:
            assert result.error is not None
            row = failure_row(ready.item, result.error, engine.name)
        journal.append(row)
        rows.append(row)
        yield from events()
    yield from events()
    return items.skipped


def _success(ready: Ready, answer: Answer, model: str) -> dict[str, Any]:
    item, prepared = ready.item, ready.prepared
    return {
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
        "fields": dict(item.fields),
        "time": _now(),
        "input": digest_of(item),
    }


def failure_row(item: Item | BadItem, error: VipError, model: str) -> dict[str, Any]:
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
