"""How a training looks: a bar that moves on a terminal, a line each time something is logged elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vipcli.cli import console
from vipcli.errors import plain, quote
from vipcli.training import Event, Finished, Judged, Logged, Noted, Settings, Started, Stepped, Stopped

__all__ = ["show_events"]


def show_events(events: Iterator[Event], settings: Settings, *, quiet: bool) -> Iterator[Event]:
    """Show each event on stderr and pass it on."""
    steps = settings.train.steps
    with _bar(steps, quiet=quiet) as advance:
        for event in events:
            if isinstance(event, Stepped):
                advance(event)
            elif not quiet and (text := _sentence(event, settings)):
                console.note(f"vip: {text}")
            yield event


def _sentence(event: Event, settings: Settings) -> str | None:
    steps = settings.train.steps
    if isinstance(event, Noted):
        return event.sentence
    if isinstance(event, Started):
        begins = f"going on at step {event.step:,}" if event.step else "beginning"
        share = f"{event.learning:,} of {event.parameters:,} parameters learn"
        return f"{begins}, {steps:,} steps on {event.device}; {share}"
    if isinstance(event, Logged):
        loss = f"loss {event.figures['loss']:.4g}"
        token = f", tokens {100 * event.figures['token']:.1f} %" if "token" in event.figures else ""
        speed = f"{event.samples_per_second:.1f} samples/s, {_clock(event.left)} left"
        return f"step {event.step:,} of {steps:,}: {loss}{token}, rate {event.rate:.3g}, {speed}"
    if isinstance(event, Judged):
        return f"step {event.step:,}, held out: {_figures(event.figures)}"
    if isinstance(event, Stopped):
        return (
            f"stopped at step {event.step:,} of {steps:,}; {quote(str(event.file))} has it, and the same command with "
            "--resume goes on from there"
        )
    if isinstance(event, Finished):
        judged = f"; held out: {_figures(event.figures)}" if event.figures else ""
        return f"{event.step:,} steps in {_clock(event.seconds)}{judged}"
    return None


def _figures(figures: dict[str, float]) -> str:
    shares = {"token": "tokens", "exact": "whole answers"}
    said = [f"loss {figures['loss']:.4g}"] if "loss" in figures else []
    said += [f"{word} {100 * figures[name]:.1f} %" for name, word in shares.items() if name in figures]
    return ", ".join(said or [f"{name} {value:.3g}" for name, value in figures.items()])


def _clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def _bar(steps: int, *, quiet: bool) -> Iterator[Callable[[Stepped], None]]:
    """What is to be called after every step; on a terminal it moves a bar on stderr."""
    if quiet or not console.is_live_stderr():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=console.stderr_console(), transient=True) as progress:
        task = progress.add_task("", total=steps, said="")
        shown = 0.0

        def advance(event: Stepped) -> None:
            nonlocal shown
            if time.monotonic() - shown < 0.1 and event.step < steps:
                return
            shown = time.monotonic()
            speed = f"{event.samples_per_second:.1f} samples/s, {_clock(event.left)} left"
            said = plain(f"loss {event.loss:.4g}, rate {event.rate:.3g}, {speed}")
            progress.update(task, completed=event.step, said=said)

        yield advance
