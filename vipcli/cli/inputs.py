"""What commands do with their arguments before the work begins: pictures and markers opened, outputs checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipcli.errors import PictureError, UsageError, quote

if TYPE_CHECKING:
    from vipcli.pointing import Marked

__all__ = ["is_folder", "make_folder", "mark_one", "one_of", "refuse_to_overwrite"]


def mark_one(source: str, texts: list[tuple[str | None, str]], coords: str, box_format: str, tags: bool) -> Marked:
    """Open `source` and draw the markers of the command line on it."""
    from vipcli.images import open_picture
    from vipcli.markers import parse
    from vipcli.pointing import mark

    one_of("--coords", coords, ("pixels", "relative", "thousandths"))
    one_of("--box-format", box_format, ("xyxy", "xywh", "cxcywh"))
    picture = open_picture(source)
    size = (picture.shape[1], picture.shape[0])
    unit: Any = coords
    corners: Any = box_format
    markers = [parse(text, size, kind=kind, coords=unit, box_format=corners) for kind, text in texts]
    return mark(picture, markers, tags=tags)


def one_of(flag: str, value: str, known: tuple[str, ...]) -> str:
    """Return `value`, or raise a `UsageError` that lists the `known` ones."""
    if value not in known:
        raise UsageError(f"{flag} {quote(value)}: use {', '.join(known[:-1])} or {known[-1]}")
    return value


def is_folder(path: str) -> bool:
    """Whether `path` is meant as a folder: it is one, or ends in a slash."""
    return path.endswith("/") or Path(path).is_dir()


def make_folder(flag: str, folder: Path) -> None:
    """Make `folder` where it isn't there. Raises `PictureError` where it can't be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{flag} {quote(str(folder))}: the folder can't be made: {error.strerror}") from error


def refuse_to_overwrite(flag: str, outputs: Sequence[Path], sources: Sequence[str]) -> None:
    """Raise a `UsageError` where an output is one of the pictures that are read, or two outputs are one file."""
    for number, output in enumerate(outputs):
        if output in outputs[:number]:
            raise UsageError(f"{flag}: two pictures would be written to {quote(str(output))}")
        for source in sources:
            try:
                same = os.path.samefile(output, source)
            except (OSError, ValueError):  # one of them isn't a file that exists
                same = False
            if same:
                raise UsageError(f"{flag} {quote(str(output))}: that is the picture itself; give another name")
