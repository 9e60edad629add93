"""What commands do before the work begins: pictures, markers and models opened, outputs checked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipcli.cli import console
from vipcli.errors import ModelError, PictureError, UsageError, quote

if TYPE_CHECKING:
    import numpy as np

    from vipcli.config import Settings
    from vipcli.engine import Engine
    from vipcli.markers import Marker
    from vipcli.pointing import Marked

__all__ = [
    "answer_options",
    "check_units",
    "is_folder",
    "keep_masks",
    "make_folder",
    "mark_one",
    "one_of",
    "open_model",
    "open_one",
    "open_wanted",
    "prompt_style_of",
    "refuse_to_overwrite",
    "say_tiny",
    "server_address",
    "temporary_picture",
]


def mark_one(source: str, texts: list[tuple[str | None, str]], coords: str, box_format: str, tags: bool) -> Marked:
    """Open `source` and draw the markers of the command line on it."""
    from vipcli.pointing import mark

    picture, markers = open_one(source, texts, coords, box_format)
    return mark(picture, markers, tags=tags)


def open_one(
    source: str, texts: list[tuple[str | None, str]], coords: str, box_format: str
) -> tuple[np.ndarray, list[Marker]]:
    """Open `source` and read the markers of the command line for it."""
    from vipcli.images import open_picture
    from vipcli.markers import parse

    check_units(coords, box_format)
    picture = open_picture(source)
    size = (picture.shape[1], picture.shape[0])
    unit: Any = coords
    corners: Any = box_format
    return picture, [parse(text, size, kind=kind, coords=unit, box_format=corners) for kind, text in texts]


def answer_options(settings: Settings, fit: str | None, **numbers: Any) -> dict[str, Any]:
    """The options of a `Request` from the flags of an answer and the settings, checked before anything is loaded."""
    from vipcli.engine import Request

    options = {"fit": one_of("--fit", fit or settings.fit, ("pad", "crop", "stretch")), **numbers}
    Request(None, "", **options)
    return options


def prompt_style_of(settings: Settings, prompt_style: str | None) -> str:
    """The prompt style by the flag or the settings."""
    from vipcli.prompt import PRESETS

    return one_of("--prompt-style", prompt_style or settings.prompt_style, ("auto", *PRESETS))


def check_units(coords: str, box_format: str) -> None:
    """Raise a `UsageError` for an unknown ``--coords`` or ``--box-format``."""
    one_of("--coords", coords, ("pixels", "relative", "thousandths"))
    one_of("--box-format", box_format, ("xyxy", "xywh", "cxcywh"))


def open_model(name: str, *, quiet: bool, verbose: bool, still: bool = False, **options: Any) -> Engine:
    """Load the model called `name`, and say which one answers where the user didn't choose; see `open_engine`.

    still: nothing moves meanwhile.
    """
    from vipcli.engine import open_engine, resolve

    model = resolve(name)
    say_tiny(name, model.name == "tiny", quiet=quiet)
    try:
        os.getcwd()
    except OSError:  # torch's libraries wouldn't be found, and end the process themselves
        raise ModelError("the current folder doesn't exist any more: go to one that does") from None
    # In a thread that ends, and with it what OpenMP made for it: where such threads are more than the cores, those of
    # whatever thread answers later go to sleep between any two products.
    apart = ThreadPoolExecutor(1)
    with console.status(f"loading {model.name}", quiet=quiet or still), console.ended_by_ctrl_c(), apart:
        engine = apart.submit(open_engine, model.name if name == "auto" else name, **options).result()
    if verbose:
        loaded = getattr(engine, "model", None)
        where = f" on {loaded.device} in {str(loaded.dtype).removeprefix('torch.')}" if loaded is not None else ""
        console.note(f"model: {engine.name}{where}")
    return engine


def say_tiny(name: str, is_tiny: bool, *, quiet: bool) -> None:
    """Say what answers, where the user didn't choose (``auto``) and the embedded model does."""
    if name == "auto" and is_tiny and not quiet:
        from vipcli.engine import MODELS, located, may_have_7b

        real = "for photographs get the real one: vip models pull 7b"
        if may_have_7b() and located(MODELS["7b"]) is not None:
            real = "the 7B is here, and doesn't fit the memory that is free in 16 bits: -m 7b takes it all the same"
        tiny = "tiny, the small model that comes with vip and knows 128 drawn things"
        console.note(f"vip: answering with {tiny}; {real}")


def server_address(engine: str | None, model: str | None, settings: Settings) -> str | None:
    """The address of the server that is to answer, by ``--engine``, ``--model`` or the settings; None: a model here.

    Raises `UsageError` for an ``--engine`` that is none.
    """
    from vipcli.engine import is_address

    named = engine or (model if is_address(model or "") else None) or settings.engine
    if named and not is_address(named):
        where = "--engine" if engine else "VIP_ENGINE"
        raise UsageError(f"{where} {quote(named)}: give the http(s):// address of a server")
    return named or (settings.model if model is None and is_address(settings.model) else None)


def open_wanted(
    server: str | None,
    model: str | None,
    settings: Settings,
    placing: dict[str, Any],
    *,
    quiet: bool,
    verbose: bool,
    still: bool = False,
) -> Engine:
    """What answers: the server at the address `server`, or the model on this machine where that is None.

    model, placing: the flags ``--model`` and those that say where a model of this machine goes, as given.
    """
    if server is None:
        usual = {"device": settings.device, "dtype": settings.dtype}
        given = {name: value for name, value in placing.items() if value is not None}
        return open_model(model or settings.model, quiet=quiet, verbose=verbose, still=still, **{**usual, **given})
    from vipcli.engine import open_engine

    name = model if model != server else None
    with console.status("asking the server", quiet=quiet or still):
        engine = open_engine(server, model=name, **placing)
    if verbose:
        console.note(f"model: {engine.name}, on a server")
    return engine


def temporary_picture(flag: str) -> str:
    """The name of a new temporary file for a PNG. Raises `PictureError` where there can be none."""
    try:
        handle, path = tempfile.mkstemp(prefix="vip-", suffix=".png")
        os.close(handle)
    except OSError as error:  # the disk is full, or there is no folder for such files
        raise PictureError(f"{flag}: the picture can't be saved: {quote(error.strerror or str(error))}") from error
    return path


def one_of(flag: str, value: str, known: tuple[str, ...]) -> str:
    """Return `value`, or raise a `UsageError` that lists the `known` ones."""
    if value not in known:
        raise UsageError(f"{flag} {quote(value)}: use {', '.join(known[:-1])} or {known[-1]}")
    return value


def is_folder(path: str) -> bool:
    """Whether `path` is meant as a folder: it is one, or ends in a slash."""
    return path.endswith("/") or os.path.isdir(path)


def make_folder(flag: str, folder: Path) -> None:
    """Make `folder` where it isn't there. Raises `PictureError` where it can't be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{flag} {quote(str(folder))}: the folder can't be made: {error.strerror}") from error


def keep_masks(flag: str, output: str | Path, markers: Sequence[Marker]) -> None:
    """Raise a `UsageError` where an output is the file of a mask that is drawn."""
    files = [file for marker in markers if (file := getattr(marker, "file", None)) is not None]
    refuse_to_overwrite(flag, [Path(output)], files, "a mask that is drawn")


def refuse_to_overwrite(
    flag: str, outputs: Sequence[Path], sources: Sequence[str], what: str = "the picture itself"
) -> None:
    """Raise a `UsageError` where an output is one of the files that are read, or two outputs are one file."""
    for number, output in enumerate(outputs):
        if output in outputs[:number]:
            raise UsageError(f"{flag}: two pictures would be written to {quote(str(output))}")
        for source in sources:
            try:
                same = os.path.samefile(output, source)
            except (OSError, ValueError):  # one of them isn't a file that exists
                same = False
            if same:
                raise UsageError(f"{flag} {quote(str(output))}: that is {what}; give another name")
