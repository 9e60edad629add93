"""``vip train``: a TOML file -> a model that has learnt to read markers, in a folder of its own."""

from __future__ import annotations

import importlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vipcli.cli import console
from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.training import Event, Prepared, Settings

__all__ = ["add_to", "train"]

_SHOWN = 12  # samples of a dry run


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("train")(train)


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to train, on what, how, and where to")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped; begin where there is none")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Train without what can't be learnt from")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=f"Check the data, show {_SHOWN} samples, stop")] = False,
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object a line for each event")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Errors only")] = False,
) -> int:
    """Teach a model to read markers that are drawn onto pictures afresh every time they are seen.

    \b
    vip train examples/train/flying.toml --dry-run
    vip train examples/train/flying.toml
    accelerate launch -m vipcli train 7b-lora.toml       (several GPUs)

    \b
    output = "runs/mine"            paths count from the file's own folder
    [model]
    start = "7b"                    a name or folder, or sizes in [model.fresh]
    [[data]]
    source = "regions.json"         conversations with regions, annotations, or "scenes"
    [train]
    stage = "lora"                  vision, projector, full or lora
    steps = 2000

    It writes OUTPUT/model, which vip ask -m and transformers load, log.jsonl, curves as PNG and a checkpoint. Ctrl-C
    stops behind a step, and --resume goes on as if nothing had happened. The README lists every key.
    """
    with console.status("loading", quiet=quiet), console.ended_by_ctrl_c():
        importlib.import_module("vipcli.training.loop")
    with console.doubts(strict=False, quiet=quiet):  # and none of the warnings that torch and others have
        return _train(config, resume=resume, skip_bad=skip_bad, dry_run=dry_run, json_lines=json_lines, quiet=quiet)


def _train(config: Path, *, resume: bool, skip_bad: bool, dry_run: bool, json_lines: bool, quiet: bool) -> int:
    from vipcli.training import Run, prepare, read_settings
    from vipcli.training import train as run_training

    is_first = os.environ.get("RANK", "0") == "0"  # of several processes under accelerate
    quiet = quiet or not is_first
    settings = read_settings(config)
    if dry_run and json_lines:
        raise UsageError("--dry-run shows samples to look at, and --json events of a training: leave one out")
    if is_first and not dry_run:
        Run(settings, resume=resume).check()
    with console.status("reading the data", quiet=quiet):
        prepared = prepare(settings)
    _check_bad(prepared, skip_bad=skip_bad, shown=is_first and not (quiet and skip_bad))
    if dry_run:
        return _dry_run(prepared, quiet=quiet)
    with _stoppable(quiet=quiet) as stop, closing(run_training(prepared, resume=resume, stop=stop)) as events:
        for event in _shown(events, settings, json_lines=json_lines, quiet=quiet, silent=not is_first):
            if type(event).__name__ == "Stopped":
                return stop.code
    return 0


def _check_bad(prepared: Prepared, *, skip_bad: bool, shown: bool) -> None:
    """List what can't be learnt from. Raises `UsageError` unless it may be left out."""
    bad = prepared.bad
    if not bad:
        return
    if shown:
        for one in bad:
            console.note(f"vip: {one.where}: {one.sentence}")
    good = sum(source.count or 0 for source in (*prepared.sources, *prepared.held_out))
    counted = f"{len(bad)} can't be learnt from and {good:,} can"
    if not skip_bad:
        raise UsageError(f"of the data {counted}: mend them, or leave them out with --skip-bad")
    if shown:
        console.note(f"vip: of the data {counted}: going on without (--skip-bad)")


def _dry_run(prepared: Prepared, *, quiet: bool) -> int:
    """Samples as they would be learnt from: their pictures on one sheet, their conversations on stdout."""
    from vipcli.images import save_picture
    from vipcli.training import contact_sheet, preview

    drawn = preview(prepared, _SHOWN)
    output = prepared.settings.output
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"output {quote(str(output))}: can't be written: {error.strerror}") from None
    for number, (sample, encoded) in enumerate(drawn, 1):
        learnt = sum(label >= 0 for label in encoded.labels)
        console.line(f"{number}: {len(encoded.ids)} tokens, {learnt} of them learnt")
        for turns in sample.conversations:
            for turn in turns:
                console.line(f"   {turn.question}")
                console.line(f"      {turn.answer}")
    sheet = output / "samples.png"
    save_picture(contact_sheet([sample for sample, _ in drawn]), sheet)
    for kind, sources in () if quiet else (("learnt from", prepared.sources), ("held out", prepared.held_out)):
        counts = ["without end" if source.count is None else f"{source.count:,}" for source in sources]
        console.note(f"vip: samples {kind}: {', '.join(counts) or 'none'}")
    console.line(str(sheet))
    return 0


class _Stop:
    """Whether to stop behind the step in hand, and with which exit code."""

    def __init__(self) -> None:
        self.code = 130
        self.wanted = False

    def __call__(self) -> bool:
        return self.wanted


@contextmanager
def _stoppable(*, quiet: bool) -> Iterator[_Stop]:
    """Let Ctrl-C and SIGTERM stop the training behind a step; a second one ends it at once."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, _: object) -> None:
        if stop.wanted:
            raise KeyboardInterrupt
        stop.code, stop.wanted = 128 + number, True
        if not quiet:
            console.note("vip: stopping behind this step, with a checkpoint; once more stops at once, without")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shown(
    events: Iterator[Event], settings: Settings, *, json_lines: bool, quiet: bool, silent: bool
) -> Iterator[Event]:
    """Show events as they come: a bar or lines on stderr, JSON or the finished model's folder on stdout."""
    from vipcli.cli.train.progress import show_events
    from vipcli.training import Finished, Stepped, as_row

    for event in show_events(events, settings, quiet=quiet):
        if json_lines and not silent and not isinstance(event, Stepped):
            console.line(json.dumps(as_row(event)))
        elif isinstance(event, Finished) and not silent:
            console.line(str(event.model))
        yield event
