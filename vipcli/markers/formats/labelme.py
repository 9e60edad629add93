"""LabelMe (Wada): a JSON file beside every picture, with its ``shapes``.

Format: ``labelme/_label_file.py`` of labelme 6.3.1, https://github.com/wkentaro/labelme. A rectangle becomes a ``box``,
a polygon or an oriented rectangle a ``contour``, a circle (centre, then a spot on it) an ``ellipse``, a point a
``point``, a line or line strip a ``scribble``, a mask (a PNG in base64 of the box around it) an `Rle`. Shapes have no
ids: theirs are their numbers, from 1. A picture's id is its JSON file's path below the folder, without the suffix.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from vipcli.errors import PictureError, UsageError, quote
from vipcli.markers.formats.reading import (
    file_bytes,
    find_picture,
    head_of,
    marker,
    parse_json,
    plain_values,
    points,
    polygon,
    shown,
    size_of,
    top_keys,
    walk,
)
from vipcli.markers.formats.values import AnnotatedPicture, Answers, Format, Problem, Region, Rle
from vipcli.markers.formats.writing import dump_json, write_copy, write_folder

__all__ = ["LABELME"]

_GEOMETRY = {"label", "points", "shape_type", "mask", "flags"}
_PNG = b"\x89PNG\r\n\x1a\n"


def _recognises(path: Path) -> bool:
    files = islice(walk(path, {".json"}, deep=False), 5) if os.path.isdir(path) else [path]
    return any(file.suffix.lower() == ".json" and "shapes" in top_keys(head_of(file)) for file in files)


def _read(path: Path, pictures: Path | None) -> Iterator[AnnotatedPicture | Problem]:
    if not os.path.isdir(path):
        content = _load(path, quote(str(path)))[0]
        yield from _picture(path, path.stem, quote(path.name), content, pictures)
        return
    for file in walk(path, {".json"}):
        name = file.relative_to(path).as_posix()
        key = os.path.splitext(name)[0]
        try:
            content = _load(file, "it")[0]
        except UsageError as error:
            yield Problem(key, quote(name, 200), f"{error}")
        else:
            yield from _picture(file, key, quote(name, 200), content, pictures)


def _annotate(path: Path, answers: Answers, output: Path) -> None:
    """The answer to a shape ends its ``description``, a picture's stands in ``answer``, which LabelMe keeps.

    Of a folder the JSON files alone are written, not the pictures.
    """
    if not os.path.isdir(path):
        write_copy(_answered(path, path.stem, answers, quote(str(path))), path, output)
        return

    def changed(file: Path) -> bytes:
        return _answered(file, os.path.splitext(file.relative_to(path).as_posix())[0], answers, "it")

    write_folder(path, walk(path, {".json"}), changed, output)


def _load(file: Path, subject: str) -> tuple[dict[str, Any], bytes]:
    """A file's content; `subject` begins the sentence of what is wrong with it."""
    try:
        data = file_bytes(file)
        content = parse_json(data)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise UsageError("isn't LabelMe's: it has no list called 'shapes'")
    except UsageError as error:
        raise UsageError(f"{subject}{':' if subject != 'it' else ''} {error}") from None
    return content, data


def _picture(
    file: Path, key: str, where: str, content: dict[str, Any], pictures: Path | None
) -> Iterator[AnnotatedPicture | Problem]:
    name = content.get("imagePath")
    if not isinstance(name, str) or not name:
        yield Problem(key, where, f"its imagePath must be the name of a picture, got {shown(name)}")
        return
    size = size_of(content.get("imageWidth"), content.get("imageHeight"))
    regions = []
    for number, shape in enumerate(content["shapes"], 1):
        try:
            regions.append(_region(str(number), shape, size))
        except UsageError as error:
            yield Problem(f"{key}/shape {number}", f"{where}, shape {number}", f"{error}")
    yield AnnotatedPicture(key, find_picture(name, [file.parent], pictures), tuple(regions), size, where)


def _region(key: str, shape: object, size: tuple[int, int] | None) -> Region:
    if not isinstance(shape, dict):
        raise UsageError(f"a shape must be an object, got {shown(shape)}")
    label = shape.get("label")
    if label is not None and not isinstance(label, str):
        raise UsageError(f"its label must be a text, got {shown(label)}")
    attributes = plain_values(shape.get("flags")) | plain_values(shape, _GEOMETRY)
    return Region(key, _marker(shape, size), label or None, attributes)


def _marker(shape: dict[str, Any], size: tuple[int, int] | None) -> str | Rle:
    kind = shape.get("shape_type") or "polygon"  # LabelMe before 3.0 knew nothing else
    corners = points(shape.get("points"), "its points")
    if kind in ("polygon", "oriented_rectangle"):
        return polygon(corners)
    if kind in ("line", "linestrip"):
        return polygon(corners, kind="scribble", least=2)
    wanted = {"rectangle": 2, "mask": 2, "circle": 2, "point": 1}
    if not isinstance(kind, str) or kind not in wanted:
        raise UsageError(f"there is no marker for the shape {shown(kind)}")
    if len(corners) != wanted[kind]:
        raise UsageError(f"a {kind} has {wanted[kind]} points, got {len(corners)}")
    if kind == "point":
        return marker("point", corners[0])
    (x1, y1), (x2, y2) = corners
    if kind == "circle":
        radius = math.hypot(x2 - x1, y2 - y1)
        return marker("ellipse", (x1 - radius, y1 - radius, x1 + radius, y1 + radius))
    if kind == "mask":
        return _rle(shape.get("mask"), int(x1), int(y1), size)
    return marker("box", (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))


def _rle(text: object, left: int, top: int, size: tuple[int, int] | None) -> Rle:
    from vipcli.images import open_mask
    from vipcli.markers.formats.rle import from_tile

    if size is None:
        raise UsageError("its mask needs the picture's imageWidth and imageHeight")
    try:
        data = base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    columns, rows = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if not data.startswith(_PNG) or columns > size[0] or rows > size[1]:
        raise UsageError("its mask must be a PNG in base64, no larger than the picture")
    try:
        tile, _ = open_mask(io.BytesIO(data))
    except PictureError as error:
        raise UsageError(f"its mask can't be read: {error}") from None
    return from_tile(tile, left, top, size)


def _answered(file: Path, key: str, answers: Answers, subject: str) -> bytes:
    content, data = _load(file, subject)
    answer = answers(key, None)
    if answer is not None:
        content["answer"] = answer
    for number, shape in enumerate(content["shapes"], 1):
        answer = answers(key, str(number)) if isinstance(shape, dict) else None
        if answer is not None:
            before = shape.get("description")
            shape["description"] = f"{before}\n{answer}" if isinstance(before, str) and before else answer
    return dump_json(content, data)


LABELME = Format("labelme", _recognises, _read, _annotate)
