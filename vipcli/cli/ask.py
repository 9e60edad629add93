"""``vip ask``: questions about one picture, or the same questions about several."""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vipcli.cli import console
from vipcli.cli.background import seconds_of
from vipcli.cli.inputs import (
    answer_options,
    check_units,
    is_folder,
    keep_masks,
    make_folder,
    mark_one,
    open_wanted,
    prompt_style_of,
    refuse_to_overwrite,
    server_address,
)
from vipcli.cli.options import (
    BoxFormatFlag,
    CoordsFlag,
    DeviceFlag,
    DeviceMapFlag,
    DtypeFlag,
    EngineFlag,
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
from vipcli.cli.warm import Picture, Ready, Warm, warm_server
from vipcli.errors import OutputError, PromptError, UsageError, VipError, quote
from vipcli.images import PICTURE_SUFFIXES

if TYPE_CHECKING:
    from vipcli.engine import Engine
    from vipcli.pointing import Marked

__all__ = ["add_to", "ask"]

_OUTPUT = "Output"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("ask", cls=MarkerCommand)(ask)


@with_markers
def ask(
    ctx: typer.Context,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE... [QUESTION]", help="Files, URLs or - (stdin), then the question")
    ],
    coords: CoordsFlag = "pixels",
    box_format: BoxFormatFlag = "xyxy",
    tags: TagsFlag = False,
    questions: Annotated[
        list[str] | None,
        typer.Option(
            "--question",
            "-q",
            metavar="TEXT",
            help='Several, read in one go: -q "What?" -q "Why?"',
            rich_help_panel="Answer",
        ),
    ] = None,
    max_new_tokens: MaxNewTokensFlag = 512,
    temperature: TemperatureFlag = 0.0,
    top_p: TopPFlag = 1.0,
    seed: SeedFlag = None,
    system: SystemFlag = None,
    prompt_style: PromptStyleFlag = None,
    model: ModelFlag = None,
    engine: EngineFlag = None,
    no_server: Annotated[
        bool,
        typer.Option("--no-server", help="Load the model here, whatever serves it", rich_help_panel="Model"),
    ] = False,
    keep_alive: Annotated[
        str | None,
        typer.Option(
            "--keep-alive", metavar="TIME", help="Keep it loaded for the next calls: 10m", rich_help_panel="Model"
        ),
    ] = None,
    device: DeviceFlag = None,
    dtype: DtypeFlag = None,
    device_map: DeviceMapFlag = None,
    load_in: LoadInFlag = None,
    fit: FitFlag = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object a line for each answer", rich_help_panel=_OUTPUT)
    ] = False,
    save_marked: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Keep the marked picture: out.png, or out/", rich_help_panel=_OUTPUT),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Preview it in the terminal", rich_help_panel=_OUTPUT)] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors", rich_help_panel=_OUTPUT)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="The answer and errors only", rich_help_panel=_OUTPUT)] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Model, prompt and timings on stderr", rich_help_panel=_OUTPUT)
    ] = False,
) -> int:
    """Ask about what is marked in a picture.

    \b
    vip ask street.jpg --box 40,30,200,180 "What is this?"
    vip ask street.jpg --box dog=40,30,200,180 --arrow 20,20,90,80 "Is @dog @2?"
    """
    from vipcli.config import load_settings

    settings = load_settings()
    pictures, asked = _split(images, questions or [])
    style: dict[str, Any] = {
        "system": system,
        "prompt_style": prompt_style_of(settings, prompt_style),
    }
    numbers = answer_options(
        settings, fit, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
    )
    kept = _kept(save_marked, pictures)
    if show:
        console.need_preview()
    texts = marker_texts(ctx)
    check_units(coords, box_format)
    address = server_address(engine, model, replace(settings, engine="") if no_server else settings)
    if address is not None and no_server:
        raise UsageError("--no-server loads the model here: leave the server's address out")
    placing = {"device": device, "dtype": dtype, "device_map": device_map, "load_in": load_in}
    warm: Warm | None = None
    if address is None and not no_server:
        warm = warm_server(
            model or settings.model,
            {**placing, "device": device or settings.device, "dtype": dtype or settings.dtype},
            texts,
            keep=None if keep_alive is None else seconds_of("--keep-alive", keep_alive),
            quiet=quiet,
            verbose=verbose,
        )
    elif keep_alive is not None:
        raise UsageError("--keep-alive is for a server of your own: leave --no-server and --engine out")
    opened: Engine | None = None
    failures: list[VipError] = []
    answered = 0
    for number, source in enumerate(pictures):
        about = source if len(pictures) > 1 else None
        picture = Picture(source, lambda one: mark_one(one, texts, coords, box_format, tags))
        try:
            with console.doubts(strict=strict, quiet=quiet, about=about):
                ready = None
                if kept:
                    keep_masks("--save-marked", kept[number], picture.marked.markers)
                if warm is not None:
                    units = {"coords": coords, "box_format": box_format, "tags": tags}
                    ready = warm.ask(picture, asked, markers=texts, **units, style=style, numbers=numbers)
                if ready is None:
                    for question in asked:
                        _check_question(question, picture.marked)
                elif show:
                    _ = picture.marked  # here, so that what the server doubts as well is said once
        except VipError as error:
            failures.append(_failed(error, about))
            continue
        if ready is None and opened is None:
            opened = open_wanted(address, model, settings, placing, quiet=quiet, verbose=verbose)
        try:
            with console.doubts(strict=strict, quiet=quiet, about=about):
                if ready is None:
                    assert opened is not None
                    ready = _ready(opened, picture.marked, asked, {**style, **numbers}, checked=bool(kept))
                if kept:
                    if is_folder(save_marked or ""):
                        make_folder("--save-marked", kept[number].parent)
                    picture.marked.save(kept[number])
                if show:
                    console.preview(picture.marked.picture)
                for question, one in zip(asked, ready, strict=True):
                    title = ": ".join(filter(None, [about, question if len(asked) > 1 else None]))
                    _answer(source, question, one, json_lines, verbose, title or None)
                    answered += 1
        except OutputError:  # nobody would see the other answers
            raise
        except VipError as error:
            failures.append(_failed(error, about))
    if answered:
        return 3 if failures else 0
    return max(error.exit_code for error in failures)


def _ready(
    engine: Engine, marked: Marked, questions: list[str], options: dict[str, Any], *, checked: bool
) -> list[Ready]:
    """The questions about one picture, each ready to be answered here. checked: whether the engine has a look first."""
    from vipcli.markers import render
    from vipcli.pointing import to_request

    requests = [to_request(marked, question, engine, **options) for question in questions]
    if checked:
        for request in requests:  # what can't be asked writes nothing
            engine.stream(request).close()
    drawn = functools.cache(lambda: [render(marker) for marker in marked.markers])
    return [Ready(engine.name, one.prompt, drawn, functools.partial(engine.stream, one)) for one in requests]


def _failed(error: VipError, about: str | None) -> VipError:
    """Say what went wrong with one of several pictures; with the only one it ends the command."""
    if about is None:
        raise error
    console.complain(error, about)
    return error


def _answer(source: str, question: str, ready: Ready, json_lines: bool, verbose: bool, about: str | None) -> None:
    if verbose:
        console.note(f"prompt: {ready.prompt!r}")
    generation = ready.begin()
    try:
        if json_lines:
            generation.finished()
        else:
            console.stream_answer(generation, about)
    finally:
        generation.close()
        answer = generation.answer
        if json_lines and (answer.finish != "interrupted" or answer.text):
            row = {
                "image": source,
                "question": question,
                "markers": ready.markers(),
                "prompt": ready.prompt,
                "answer": answer.text,
                "finish": answer.finish,
                "model": ready.model,
                "prompt_tokens": answer.prompt_tokens,
                "answer_tokens": answer.answer_tokens,
                "seconds": round(answer.seconds, 4),
                "seconds_to_first_token": answer.seconds_to_first and round(answer.seconds_to_first, 4),
            }
            console.write(f"{json.dumps(row)}\n")
    if verbose:
        console.timings(answer)


def _split(arguments: list[str], questions: list[str]) -> tuple[list[str], list[str]]:
    """Pictures and questions: without -q the last argument is the question, or stdin where that is a picture."""
    if questions:
        if any(not question.strip() for question in questions):
            raise PromptError("--question: it is empty")
        return _readable(arguments), questions
    *before, last = arguments
    if not last.strip():
        raise PromptError("the question is empty")
    if _is_picture(last):
        if "-" in arguments:
            raise UsageError(
                'no question: standard input has the picture, so the question must be an argument: "What is this?"'
            )
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError('no question: put it last, in quotes: vip ask photo.jpg "What is this?"')
        return _readable(arguments), [_from_stdin()]
    if not before:
        if Path(last).suffix.lower() in PICTURE_SUFFIXES and " " not in last:
            raise UsageError(f"there is no picture {quote(last)}")
        raise UsageError(
            f"no picture: {quote(last)!r} is no file, so it is taken for the question; name a picture first"
        )
    if Path(last).suffix.lower() in PICTURE_SUFFIXES and " " not in last:
        raise UsageError(f"there is no picture {quote(last)} (put the question last)")
    return _readable(before), [last]


def _readable(pictures: list[str]) -> list[str]:
    for one in pictures:
        if not _is_picture(one):
            raise UsageError(f"there is no picture {quote(one)} (a question goes last, in quotes)")
    if pictures.count("-") > 1:
        raise UsageError("standard input (-) holds one picture: name - once")
    return pictures


def _is_picture(text: str) -> bool:
    if text == "-" or (text.lower().startswith(("http://", "https://", "file://", "ftp://")) and " " not in text):
        return True
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long for a name, or a NUL in it: a question
        return False


def _from_stdin() -> str:
    data = sys.stdin.buffer.read(1_000_001)
    if len(data) > 1_000_000:
        raise PromptError("the question on standard input is longer than 1 MB")
    try:
        question = data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise PromptError(f"the question on standard input is no UTF-8 text (byte {error.start})") from None
    if not question:
        raise PromptError("the question is empty: standard input had nothing")
    return question


def _check_question(question: str, marked: Marked) -> None:
    from vipcli.markers import named
    from vipcli.prompt import expand

    expand(question, named(marked.markers))


def _kept(path: str | None, sources: list[str]) -> list[Path]:
    """Where each marked picture is kept: a file, or one in a folder for each picture; empty where none is."""
    if path is None:
        return []
    if not path:
        raise UsageError("--save-marked: the path is empty")
    if path == "-":
        raise UsageError("--save-marked -: standard output has the answers; name a file")
    if is_folder(path):
        stems = ("stdin" if source == "-" else Path(source.split("?")[0]).stem or "picture" for source in sources)
        outputs = [Path(path) / f"{stem}.png" for stem in stems]
    elif len(sources) > 1:
        raise UsageError(f"--save-marked {quote(path)}: with several pictures it must be a folder, like marked/")
    else:
        from vipcli.images import check_suffix

        check_suffix(path)
        outputs = [Path(path)]
    refuse_to_overwrite("--save-marked", outputs, sources)
    return outputs
