"""``vip batch``: a folder of pictures, a manifest or annotations -> a journal of answers."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Annotated, Any

import typer

from vipcli.cli import console
from vipcli.cli.inputs import answer_options, check_units, prompt_style_of, say_tiny
from vipcli.cli.options import (
    BatchSizeFlag,
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
from vipcli.errors import UsageError, quote

__all__ = ["add_to", "batch"]

_SOURCE, _OUTPUT = "Source", "Output"


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
    batch_size: BatchSizeFlag = "auto",
    html: Annotated[
        str | None, typer.Option("--html", metavar="PATH", help="A report to look at", rich_help_panel=_OUTPUT)
    ] = None,
    annotated: Annotated[
        str | None,
        typer.Option("--annotate", metavar="PATH", help="A copy of SOURCE with the answers", rich_help_panel=_OUTPUT),
    ] = None,
    quote_formulas: Annotated[
        bool,
        typer.Option("--quote-formulas", help="CSV: a ' before what a spreadsheet would run", rich_help_panel=_OUTPUT),
    ] = False,
    only_show: Annotated[
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
    from vipcli.batch import (
        Asking,
        Facts,
        Journal,
        MarkerText,
        Work,
        Workers,
        check_not_empty,
        cores,
        open_source,
        run,
        run_on_ray,
    )
    from vipcli.cli.batch.dry_run import dry_run
    from vipcli.cli.batch.engines import batch_size_of, engine_of, open_engine_for_batch, weights_of
    from vipcli.cli.batch.outputs import outputs_of, write_outputs
    from vipcli.cli.batch.progress import count_items, show_progress
    from vipcli.cli.batch.stopping import stoppable
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
    check_not_empty(source, chosen=bool(include or exclude), recursive=recursive)
    style: dict[str, Any] = {"system": system, "prompt_style": prompt_style_of(settings, prompt_style)}
    options = answer_options(
        settings, fit, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
    )
    found = engine_of(engine, model, settings, workers, ray_address)
    on_ray = found == "ray"
    name = (None if on_ray else found) or model or settings.model
    if only_show:
        return dry_run(source, sample, name, style, options, tags=tags, strict=strict)
    outputs = outputs_of(output, html, annotated, source)
    at_once = batch_size_of(batch_size)
    flags = {"device": device, "dtype": dtype, "device_map": device_map, "load_in": load_in}
    placing: dict[str, Any] = {flag: value for flag, value in flags.items() if value is not None}
    usual = {"device": settings.device, "dtype": settings.dtype}
    with stoppable() as stopped:
        server = open_engine(name, model=model if model != name else None, **placing) if is_address(name) else None
        job = {"model": server.name if server else resolve(name).name, "weights": weights_of(name)}
        settled = {**style, **options, "tags": tags, "dtype": dtype or settings.dtype, "load_in": load_in}
        job |= {key: str(value) for key, value in settled.items()}
        journal = Journal(outputs.journal, job)
        journal.check()
        about = {"source": source.name, "model": job["model"], "question": question or "of each item"}
        with Workers(min(8, cores())) as pool:  # they start while the model is loaded
            facts = Facts(fit=options["fit"], tags=tags, strict=strict)
            if on_ray:
                say_tiny(name, job["model"] == "tiny", quiet=quiet)
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
                    failed = show_progress(asked, lambda: count_items(source, sample), outputs.journal, quiet=quiet)
                    if not journal.rows:  # of annotations that isn't known before
                        raise UsageError(f"{quote(source.name)} holds nothing to ask about")
                    write_outputs(source, outputs, sample, pool, facts, about, quote_formulas)
            except KeyboardInterrupt:
                file = quote(str(outputs.journal))
                console.note(f"vip: stopped; {file} has {journal.rows} lines, and the same command goes on from there")
                return stopped.code
    return 3 if failed else 0
