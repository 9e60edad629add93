"""``vip batch``: a folder of pictures, a manifest or annotations -> a journal of answers."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vipcli.cli import console
from vipcli.cli.inputs import answer_options, check_units, prompt_style_of
from vipcli.cli.options import (
    BoxFormatFlag,
    CoordsFlag,
    DeviceFlag,
    DeviceMapFlag,
    DtypeFlag,
    FitFlag,
    LoadInFlag,
    MarkerCommand,
    MaxNewTokensFlag,
    ModelFlag,
    PromptStyleFlag,
    SeedFlag,
    SystemFlag,
    TagsFlag,
    TemperatureFlag,
    TopPFlag,
    marker_texts,
    with_markers,
)
from vipcli.errors import UsageError, VipError, quote

if TYPE_CHECKING:
    from vipcli.batch import Facts, Item, Source, Workers

__all__ = ["add_to", "batch"]

_SOURCE, _OUTPUT = "Source", "Output"
_SHOWN = 3  # items of a dry run


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("batch", cls=MarkerCommand)(batch)


@with_markers
def batch(
    ctx: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="A folder, pictures, a .jsonl, .csv or .txt list, annotations, or - (stdin)"
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="PATH", help="answers.jsonl, .csv or .parquet", rich_help_panel=_OUTPUT),
    ] = None,
    question: Annotated[
        str | None,
        typer.Option(
            "--question",
            "-q",
            metavar="TEXT",
            help='"Is @1 a {label}?" with what items carry',
            rich_help_panel="Answer",
        ),
    ] = None,
    coords: CoordsFlag = "pixels",
    box_format: BoxFormatFlag = "xyxy",
    tags: TagsFlag = False,
    each: Annotated[
        bool | None,
        typer.Option(
            "--each/--all",
            help="A question for each region (default for annotations), or one about all",
            rich_help_panel=_SOURCE,
            show_default=False,
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Folders in the folder too", rich_help_panel=_SOURCE)
    ] = False,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only these: '*.png', repeatable", rich_help_panel=_SOURCE),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Not these: '*_mask.png'", rich_help_panel=_SOURCE)
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where the pictures of a list or annotations lie", rich_help_panel=_SOURCE),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(metavar="N", help="Only N items, always the same", rich_help_panel=_SOURCE)
    ] = None,
    max_new_tokens: MaxNewTokensFlag = 512,
    temperature: TemperatureFlag = 0.0,
    top_p: TopPFlag = 1.0,
    seed: SeedFlag = None,
    system: SystemFlag = None,
    prompt_style: PromptStyleFlag = None,
    model: ModelFlag = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="URL|ray", help="Ask an OpenAI-compatible server, or use a Ray cluster", rich_help_panel="Model"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes with a model each; with ray: actors", rich_help_panel="Model"),
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDR", help="Which Ray cluster", rich_help_panel="Model")
    ] = None,
    device: DeviceFlag = None,
    dtype: DtypeFlag = None,
    device_map: DeviceMapFlag = None,
    load_in: LoadInFlag = None,
    fit: FitFlag = None,
    batch_size: Annotated[
        str, typer.Option(metavar="N", help="Answered at a time; auto: as memory allows", rich_help_panel="Model")
    ] = "auto",
    html: Annotated[
        str | None, typer.Option("--html", metavar="PATH", help="A report to look at", rich_help_panel=_OUTPUT)
    ] = None,
    annotated: Annotated[
        str | None,
        typer.Option("--annotate", metavar="PATH", help="A copy of SOURCE with the answers", rich_help_panel=_OUTPUT),
    ] = None,
    quote_formulas: Annotated[
        bool, typer.Option("--quote-formulas", help="For spreadsheets: '=1+1 in CSV", rich_help_panel=_OUTPUT)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the first pictures and prompts", rich_help_panel=_OUTPUT)
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="A warning about an item is an error", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Errors only", rich_help_panel=_OUTPUT)] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Model and timings on stderr", rich_help_panel=_OUTPUT)
    ] = False,
) -> int:
    """Ask about many pictures, and go on where it stopped.

    \b
    vip batch photos/ -o answers.jsonl -q "What is in the picture?"
    vip batch instances.json -o answers.jsonl -q "Is @1 a {label}?" --html report.html
    """
    from vipcli.batch import Asking, Facts, Journal, MarkerText, Work, Workers, cores, open_source, run, run_on_ray
    from vipcli.cli.batch_engines import check_engine, open_engine_for_batch
    from vipcli.cli.progress import show_progress
    from vipcli.config import load_settings
    from vipcli.engine import is_address, open_engine, resolve

    settings = load_settings()
    check_units(coords, box_format)
    if question is not None and not question.strip():
        raise UsageError("--question: it is empty")
    if sample is not None and sample < 1:
        raise UsageError(f"--sample {sample}: must be 1 or more")
    markers = tuple(MarkerText(text, kind, coords, box_format) for kind, text in marker_texts(ctx))
    source = open_source(
        sources,
        Asking(question, each, markers, coords, box_format),
        recursive=recursive,
        include=include or (),
        exclude=exclude or (),
        images=images,
    )
    style: dict[str, Any] = {"system": system, "prompt_style": prompt_style_of(settings, prompt_style)}
    options = answer_options(
        settings, fit, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
    )
    check_engine(engine, workers, ray_address)
    on_ray = engine == "ray"
    name = (None if on_ray else engine) or model or settings.model
    if dry_run:
        return _dry_run(source, sample, name, style, options, tags=tags, strict=strict)
    outputs = _outputs(output, html, annotated, source)
    at_once = _batch_size(batch_size)
    flags = {"device": device, "dtype": dtype, "device_map": device_map, "load_in": load_in}
    placing: dict[str, Any] = {flag: value for flag, value in flags.items() if value is not None}
    usual = {"device": settings.device, "dtype": settings.dtype}
    with _stoppable() as stopped:
        server = open_engine(name, model=model if engine else None, **placing) if is_address(name) else None
        job = {"model": server.name if server else resolve(name).name, "weights": _weights(name)}
        settled = {**style, **options, "tags": tags, "dtype": dtype or settings.dtype}
        job |= {key: str(value) for key, value in settled.items()}
        journal = Journal(outputs.journal, job)
        journal.check()
        about = {"source": source.name, "model": job["model"], "question": question or "of each item"}
        with Workers(min(8, max(1, cores() - 1))) as pool:  # they start while the model is loaded
            facts = Facts(fit=options["fit"], tags=tags, strict=strict)
            if on_ray:
                asking = {"at_once": at_once, "options": options, **style}
                work = Work(job["model"] if name == "auto" else name, {**usual, **placing}, facts, asking)
                asked = run_on_ray(
                    source, work, job["model"], journal, address=ray_address, actors=workers, sample=sample
                )
            else:
                opened = server or open_engine_for_batch(
                    name, workers, {**usual, **placing}, quiet=quiet, verbose=verbose
                )
                special = frozenset(opened.special_tokens)
                facts = replace(facts, side=opened.side, patch=opened.patch, special_tokens=special)
                asked = run(
                    source, opened, journal, pool, facts, at_once=at_once, sample=sample, options=options, **style
                )
            try:
                with journal, closing(asked):
                    failed = show_progress(asked, source, sample, outputs.journal, quiet=quiet)
                    _write(source, outputs, sample, pool, facts, about, quote_formulas)
            except KeyboardInterrupt:
                file = quote(str(outputs.journal))
                console.note(f"vip: stopped; {file} has {journal.rows} lines, and the same command goes on from there")
                return stopped.code
    return 3 if failed else 0


@dataclass(frozen=True)
class _Outputs:
    """Where the answers go: the journal, and what is made of it at the end."""

    journal: Path
    table: Path | None
    html: Path | None
    annotated: Path | None


def _outputs(output: str | None, html: str | None, annotated: str | None, source: Source) -> _Outputs:
    """Check everything that can be known of the outputs before any work is done."""
    from vipcli.batch import can_annotate, need_pyarrow

    if not output:
        raise UsageError("no output: say where the answers go, like -o answers.jsonl")
    path = Path(output)
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".ndjson", ".csv", ".parquet"):
        raise UsageError(f"--output {quote(output)}: use .jsonl, .csv or .parquet")
    if suffix == ".parquet":
        need_pyarrow()
    is_table = suffix in (".csv", ".parquet")
    found = _Outputs(
        Path(f"{output}.jsonl") if is_table else path,
        path if is_table else None,
        Path(html) if html else None,
        Path(annotated) if annotated else None,
    )
    if found.annotated is not None:
        can_annotate(source, found.annotated)
    given = [one for one in (found.journal, found.table, found.html, found.annotated) if one is not None]
    for number, one in enumerate(given):
        if one.is_dir() and one is not found.annotated:
            raise UsageError(f"{quote(str(one))}: is a folder; name a file in it")
        if not one.absolute().parent.is_dir():
            raise UsageError(f"{quote(str(one))}: there is no folder {quote(str(one.parent))}")
        if not os.access(one.absolute().parent, os.W_OK):
            raise UsageError(f"{quote(str(one))}: its folder is write-protected")
        if source.path is not None and source.path.is_file() and one.exists() and one.samefile(source.path):
            raise UsageError(f"{quote(str(one))}: that is the source itself; name another file")
        if one.absolute() in [other.absolute() for other in given[:number]]:
            raise UsageError(f"{quote(str(one))}: two outputs would be written there")
    return found


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 4096:
        raise UsageError(f"--batch-size {quote(text)}: use auto or a number from 1 to 4096")
    return int(text)


def _weights(name: str) -> str:
    """What tells a model's weights from others; of a server nothing is known."""
    from vipcli.engine import fingerprint, is_address, located, resolve

    if is_address(name):
        return "on a server"
    folder = located(resolve(name))
    return "unknown" if folder is None else fingerprint(folder)


@dataclass
class _Stopped:
    """Which signal ended the job, as an exit code."""

    code: int = 130


@contextmanager
def _stoppable() -> Iterator[_Stopped]:
    """Let SIGTERM end the job as Ctrl-C does: between two lines of the journal."""
    stopped = _Stopped()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(number: int, _: object) -> None:
        stopped.code = 128 + number
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    except KeyboardInterrupt:  # before the job had begun, or a second time
        sys.exit(stopped.code)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(
    source: Source,
    outputs: _Outputs,
    sample: int | None,
    workers: Workers,
    facts: Facts,
    about: dict[str, str],
    quote_formulas: bool,
) -> None:
    """What is made of the journal at the end."""
    from vipcli.batch import annotate, to_report, to_table

    if outputs.table is not None:
        to_table(source, outputs.journal, sample, outputs.table, quote_formulas=quote_formulas)
    if outputs.annotated is not None:
        annotate(source, outputs.journal, sample, outputs.annotated, quote_formulas=quote_formulas)
    if outputs.html is not None:
        to_report(source, outputs.journal, sample, outputs.html, workers, facts, about)


def _dry_run(
    source: Source,
    sample: int | None,
    name: str,
    style: dict[str, Any],
    options: dict[str, Any],
    *,
    tags: bool,
    strict: bool,
) -> int:
    """The first items as they would be asked; no weights are loaded, and only temporary files are written."""
    from vipcli.batch import BadItem, Facts, prepare, request_of
    from vipcli.engine import is_address, outline, resolve

    if is_address(name):
        raise UsageError("--dry-run shows what a model of this machine gets: leave --engine out")
    model = outline(resolve(name))
    facts = Facts(model.side, model.patch, options["fit"], model.special_tokens, tags, strict)
    shown = failed = 0
    for item in source.items(sample):
        if shown + failed == _SHOWN:
            break
        try:
            if isinstance(item, BadItem):
                raise UsageError(item.sentence)
            prepared = prepare(item, facts)
            request = request_of(item, prepared, model, options=options, **style)
        except VipError as error:
            failed += 1
            console.complain(error, item.where or item.id)
            continue
        shown += 1
        console.line(f"{item.id}: {', '.join(prepared.markers) or 'no markers'}")
        for doubt in prepared.doubts:
            console.note(f"vip: warning: {item.id}: {doubt}")
        console.line(f"  {request.prompt!r}")
        if item.image is not None:
            _show(item, facts)
    if not shown and not failed:
        raise UsageError(f"{quote(source.name)} holds no picture that could be asked about")
    return 3 if failed else 0


def _show(item: Item, facts: Facts) -> None:
    """The marked picture in the terminal; where that can't be, a temporary file and where it is."""
    from vipcli.batch import marked_picture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there is to doubt has been said
        marked = marked_picture(item, facts)
    if console.can_preview():
        console.preview(marked.picture)
        return
    handle, path = tempfile.mkstemp(prefix="vip-", suffix=".png")
    os.close(handle)
    marked.save(path)
    console.line(f"  {path}")
