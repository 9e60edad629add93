"""``vip ask``: one question about one picture, or the same question about several."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vipcli.cli import console
from vipcli.cli.inputs import is_folder, make_folder, mark_one, one_of, refuse_to_overwrite
from vipcli.cli.options import BoxFormatFlag, CoordsFlag, FitFlag, MarkerCommand, TagsFlag, marker_texts, with_markers
from vipcli.errors import PromptError, UsageError, VipError, quote

if TYPE_CHECKING:
    from vipcli.engine import Engine, Request
    from vipcli.pointing import Marked

__all__ = ["add_to", "ask"]

_SUFFIXES = frozenset([".avif", ".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"])
_ANSWER, _MODEL, _OUTPUT = "Answer", "Model", "Output"


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
    max_new_tokens: Annotated[int, typer.Option(metavar="N", help="Longest answer: 64", rich_help_panel=_ANSWER)] = 512,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="0 is greedy; 0.7 varies", rich_help_panel=_ANSWER)
    ] = 0.0,
    top_p: Annotated[
        float,
        typer.Option(metavar="P", help="Share drawn from: 0.9", rich_help_panel=_ANSWER),
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Same draw again: 7", rich_help_panel=_ANSWER)] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help='System line: "Answer briefly."', rich_help_panel=_ANSWER)
    ] = None,
    prompt_style: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="auto, vip, llava-v1 or chat-template", rich_help_panel=_ANSWER),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="NAME", help="tiny, 7b, 13b, Hub id@revision, folder", rich_help_panel=_MODEL
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, cuda, cuda:1, mps or cpu", rich_help_panel=_MODEL)
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="auto, float32, bfloat16, float16", rich_help_panel=_MODEL),
    ] = None,
    device_map: Annotated[
        str | None, typer.Option(metavar="auto", help="auto: several GPUs and the CPU", rich_help_panel=_MODEL)
    ] = None,
    load_in: Annotated[
        str | None, typer.Option(metavar="BITS", help="8bit or 4bit (bitsandbytes)", rich_help_panel=_MODEL)
    ] = None,
    fit: FitFlag = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object a line for each picture", rich_help_panel=_OUTPUT)
    ] = False,
    save_marked: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Keep the marked picture: out.png, or out/", rich_help_panel=_OUTPUT),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Preview it in the terminal", rich_help_panel=_OUTPUT)] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors", rich_help_panel=_OUTPUT)] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="The answer and errors only", rich_help_panel=_OUTPUT)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Model, prompt and timings on stderr", rich_help_panel=_OUTPUT)
    ] = False,
) -> int:
    """Ask about what is marked in a picture.

    vip ask street.jpg --box 40,30,200,180 "What is this?"
    vip ask street.jpg --box dog=40,30,200,180 --arrow 20,20,120,80 "Is @dog bigger than @2?"
    """
    from vipcli.config import load_settings
    from vipcli.engine import Request
    from vipcli.pointing import to_request
    from vipcli.prompt import PRESETS

    settings = load_settings()
    pictures, question = _split(images)
    several = len(pictures) > 1
    style: dict[str, Any] = {
        "system": system,
        "prompt_style": one_of("--prompt-style", prompt_style or settings.prompt_style, ("auto", *PRESETS)),
    }
    numbers: dict[str, Any] = {
        "fit": one_of("--fit", fit or settings.fit, ("pad", "crop", "stretch")),
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
    }
    Request(None, "", **numbers)  # checks them before anything is loaded
    kept = _kept(save_marked, pictures)
    texts = marker_texts(ctx)
    engine: Engine | None = None
    failures: list[VipError] = []
    for number, source in enumerate(pictures):
        about = source if several else None
        try:
            with console.doubts(strict=strict, quiet=quiet, about=about):
                marked = mark_one(source, texts, coords, box_format, tags)
                _check_question(question, marked)
        except VipError as error:
            failures.append(_failed(error, about))
            continue
        if engine is None:
            engine = _open(
                model or settings.model,
                quiet=quiet,
                verbose=verbose,
                device=device or settings.device,
                dtype=dtype or settings.dtype,
                device_map=device_map,
                load_in=load_in,
            )
        try:
            with console.doubts(strict=strict, quiet=quiet, about=about):
                request = to_request(marked, question, engine, **style, **numbers)
                if kept:
                    if is_folder(save_marked or ""):
                        make_folder("--save-marked", kept[number].parent)
                    marked.save(kept[number])
                if show:
                    console.preview(marked.picture)
                _answer(engine, source, marked, question, request, json_lines, verbose, about)
        except VipError as error:
            failures.append(_failed(error, about))
    if len(failures) < len(pictures):
        return 3 if failures else 0
    return max(error.exit_code for error in failures)


def _failed(error: VipError, about: str | None) -> VipError:
    """Say what went wrong with one of several pictures; with the only one it ends the command."""
    if about is None:
        raise error
    console.complain(error, about)
    return error


def _answer(
    engine: Engine,
    source: str,
    marked: Marked,
    question: str,
    request: Request,
    json_lines: bool,
    verbose: bool,
    about: str | None,
) -> None:
    from vipcli.markers import render

    if verbose:
        console.note(f"prompt: {request.prompt!r}")
    generation = engine.stream(request)
    try:
        if json_lines:
            generation.finished()
        else:
            console.stream_answer(generation, about)
    finally:
        answer = generation.answer
        if json_lines and (answer.finish != "interrupted" or answer.text):
            row = {
                "image": source,
                "question": question,
                "markers": [render(marker) for marker in marked.markers],
                "prompt": request.prompt,
                "answer": answer.text,
                "finish": answer.finish,
                "model": engine.name,
                "prompt_tokens": answer.prompt_tokens,
                "answer_tokens": answer.answer_tokens,
                "seconds": round(answer.seconds, 4),
                "seconds_to_first_token": answer.seconds_to_first and round(answer.seconds_to_first, 4),
            }
            console.write(f"{json.dumps(row)}\n")
    if verbose:
        rate = answer.answer_tokens / answer.seconds if answer.seconds else 0
        console.note(
            f"{answer.prompt_tokens} prompt tokens, {answer.answer_tokens} answer tokens in {answer.seconds:.2f} s "
            f"({rate:.0f}/s), first after {answer.seconds_to_first or 0:.2f} s, ended by {answer.finish}"
        )


def _split(arguments: list[str]) -> tuple[list[str], str]:
    """Pictures and question: the last argument is the question unless it is a picture, and then stdin has it."""
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
        return _readable(arguments), _from_stdin()
    if not before:
        if Path(last).suffix.lower() in _SUFFIXES and " " not in last:
            raise UsageError(f"there is no picture {quote(last)}")
        raise UsageError(
            f"no picture: {quote(last)!r} is no file, so it is taken for the question; name a picture first"
        )
    if Path(last).suffix.lower() in _SUFFIXES and " " not in last:
        raise UsageError(f"there is no picture {quote(last)} (put the question last)")
    return _readable(before), last


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


def _open(name: str, *, quiet: bool, verbose: bool, **options: Any) -> Engine:
    from vipcli.engine import open_engine, resolve

    model = resolve(name)
    if name == "auto" and model.name == "tiny" and not quiet:
        console.note(
            "vip: answering with tiny, the small model that comes with vip and knows 64 drawn things; "
            "for photographs get the real one: vip models pull 7b"
        )
    with console.status(f"loading {model.name}", quiet=quiet):
        engine = open_engine(model.name if name == "auto" else name, **options)
    if verbose:
        loaded = getattr(engine, "model", None)
        where = f" on {loaded.device} in {str(loaded.dtype).removeprefix('torch.')}" if loaded is not None else ""
        console.note(f"model: {engine.name}{where}")
    return engine


def _kept(path: str | None, sources: list[str]) -> list[Path]:
    """Where each marked picture is kept: a file, or one in a folder for each picture; empty where none is."""
    if path is None:
        return []
    if is_folder(path):
        stems = ("stdin" if source == "-" else Path(source.split("?")[0]).stem or "picture" for source in sources)
        outputs = [Path(path) / f"{stem}.png" for stem in stems]
    elif len(sources) > 1:
        raise UsageError(f"--save-marked {quote(path)}: with several pictures it must be a folder, like marked/")
    else:
        outputs = [Path(path)]
    refuse_to_overwrite("--save-marked", outputs, sources)
    return outputs
