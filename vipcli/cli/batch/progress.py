"""How a batch looks: a bar that moves on a terminal, a summary everywhere, and what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipcli.cli import console
from vipcli.errors import plain, quote

if TYPE_CHECKING:
    from vipcli.batch import Event, Source

__all__ = ["count_items", "show_progress"]

_FAILURES = 5  # that are shown one by one
_COUNTED = 50_000_000  # bytes of a source up to which its items are counted for the bar
_STARVED = 0.05  # share of the time from which it is said that the model waited for pictures


class _Tally:
    """What has happened so far."""

    def __init__(self) -> None:
        self.answered = self.failed = self.tokens = self.skipped = 0
        self.seconds = self.waited = 0.0

    def add(self, event: Event) -> None:
        if event.row["answer"] is None:
            self.failed += 1
        else:
            self.answered += 1
            self.tokens += event.row["answer_tokens"]
        self.skipped, self.seconds, self.waited = event.skipped, event.seconds, event.waited

    @property
    def rates(self) -> str:
        seconds = max(self.seconds, 1e-9)
        return f"{(self.answered + self.failed) / seconds:.1f} items/s, {self.tokens / seconds:.0f} tokens/s"


def show_progress(
    events: Generator[Event, None, int], total: Callable[[], int | None], output: Path, *, quiet: bool
) -> int:
    """Show the events of `vipcli.batch.run` as they come, and what they came to. Returns how many items failed.

    total: counts the items, for the bar; None where that would take long.
    """
    tally = _Tally()

    def counted() -> Iterator[Event]:
        tally.skipped = yield from events  # also where all were answered before, and no event came

    with _bar(total, tally, quiet) as advance:
        for event in counted():
            tally.add(event)
            if event.row["answer"] is None and tally.failed <= _FAILURES:
                console.note(f"vip: {quote(str(event.row['id']))} failed: {event.row['error']}")
            advance()
    if tally.failed > _FAILURES:
        console.note(f'vip: {tally.failed - _FAILURES} more failed: they have an "error" in {quote(str(output))}')
    if not quiet:
        _summarize(tally, output)
    return tally.failed


def _summarize(tally: _Tally, output: Path) -> None:
    before = f", {tally.skipped} answered before" if tally.skipped else ""
    failed = f", {tally.failed} failed (the same command tries them again)" if tally.failed else ""
    took = f" in {tally.seconds:.1f} s: {tally.rates}" if tally.answered + tally.failed else ""
    console.note(f"vip: {tally.answered} answered{failed}{before}{took}; {quote(str(output))}")
    if tally.seconds > 1 and tally.waited > _STARVED * tally.seconds:
        share = 100 * tally.waited / tally.seconds
        console.note(f"vip: the model waited {share:.0f} % of the time for pictures to be opened and drawn")


@contextmanager
def _bar(total: Callable[[], int | None], tally: _Tally, quiet: bool) -> Iterator[Any]:
    """What is to be called after every item; on a terminal it moves a bar on stderr."""
    if quiet or not console.is_live_stderr():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rates]}"),
        TextColumn("[red]{task.fields[failed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console.stderr_console(), transient=True) as progress:
        task = progress.add_task("", total=total(), rates="", failed="")
        shown = 0.0

        def advance() -> None:
            nonlocal shown
            if time.monotonic() - shown < 0.1:
                return
            shown = time.monotonic()
            done = tally.answered + tally.failed + tally.skipped
            failed = f"{tally.failed} failed" if tally.failed else ""
            progress.update(task, completed=done, rates=plain(tally.rates), failed=failed)

        yield advance


def count_items(source: Source, sample: int | None) -> int | None:
    """How many items there are; None where counting them would take long."""
    if source.path is not None and source.path.is_file() and source.path.stat().st_size > _COUNTED:
        return sample
    return sum(1 for _ in source.items(sample))
