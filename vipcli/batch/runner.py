"""The job: every item asked, every answer in the journal at once; what happens comes out as events."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from vipcli.batch.feeding import Answering, Feeder
from vipcli.batch.journal import Journal
from vipcli.batch.preparing import Facts
from vipcli.batch.recording import Event, Recorder, success_row
from vipcli.batch.sources import Source
from vipcli.batch.workers import Workers

__all__ = ["run"]

# How many a model or a server is taken to answer at a time, where nobody says: twice as many are prepared ahead.
_ROWS, _REQUESTS = 32, 8


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
    recorder = Recorder(source, sample, journal, engine.name)
    feeder = Feeder(
        recorder.items,
        engine,
        facts,
        workers,
        recorder.failed,
        system=system,
        prompt_style=prompt_style,
        options=options or {},
        ahead=2 * (at_once or (_ROWS if facts.side is not None else _REQUESTS)),
    )
    for result in engine.answers(feeder, at_once):
        ready: Any = result.key
        if result.answer is not None:
            recorder.write(success_row(ready, result.answer, engine.name))
        else:
            assert result.error is not None
            recorder.failed(ready.item, result.error)
        yield from recorder.events(feeder.waited)
    yield from recorder.events(feeder.waited)
    return recorder.items.skipped
