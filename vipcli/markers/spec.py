"""Text to marker and back: the grammar of the command line, chat, manifests and the server.

``[SHAPE:][NAME=]COORDS[@STYLE]``, for instance ``40,30,200,180``, ``dog=40,30,200,180@blue``,
``arrow:20,20,120,80@red,width=4,alpha=0.8`` or ``mask:cat=cat.png``. Coordinates are pixels; ``%`` is per cent of the
picture's width (x) or height (y). Units are explicit, never guessed.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from vipcli.errors import MarkerError, PictureError, VipWarning, quote
from vipcli.markers.clip import inside
from vipcli.markers.palette import Color
from vipcli.markers.shapes import KINDS, MAX_POINTS, Arrow, Box, Ellipse, Marker, Mask, Pixels, Point, Tag

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BoxFormat", "Coords", "named", "parse", "render", "written"]

Coords = Literal["pixels", "relative", "thousandths"]
"""What a plain number counts: pixels, 0..1 or 0..1000 of the picture's width and height."""

BoxFormat = Literal["xyxy", "xywh", "cxcywh"]
"""What a box's or an ellipse's four numbers are: two corners, corner and size, or centre and size."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_NAME = re.compile(r"(\w[\w-]{0,63})=")
_SHAPE = re.compile(r"([A-Za-z]+):")
_STYLE_START = re.compile(r"@(?=#|[A-Za-z]+(?:=|,|\Z))")
_NUMBERS = re.compile(r"(?:[\d\s,.%+\-e]|nan|inf(?:inity)?)+", re.ASCII | re.I)

_WANTED = {
    "box": "4 numbers (x1,y1,x2,y2)",
    "ellipse": "4 numbers (x1,y1,x2,y2 of the box around it)",
    "arrow": "4 numbers (tail x,y, then tip x,y)",
    "point": "2 numbers (x,y)",
    "tag": "2 numbers (x,y)",
    "triangle": "6 numbers (x,y of each corner)",
    "contour": "at least 6 numbers (x,y of each corner)",
    "mask": "at least 6 numbers (x,y of each corner) or a picture file",
    "scribble": "at least 4 numbers (x,y of each point)",
}
_COUNT = {"box": 4, "ellipse": 4, "arrow": 4, "point": 2, "tag": 2, "triangle": 6}
_LEAST = {"contour": 6, "mask": 6, "scribble": 4}
_UNITS = {"pixels": 0, "relative": 1, "thousandths": 1000}  # what the picture's width and height count; 0: pixels


def parse(
    text: str,
    size: tuple[int, int],
    *,
    kind: str | None = None,
    coords: Coords = "pixels",
    box_format: BoxFormat = "xyxy",
) -> Marker:
    """Read one marker for a picture of `size` (width, height), clipped to it (see `inside`).

    kind: the shape, where a flag has said it already; None: it stands in `text`, ``box`` when left out.
    Raises `MarkerError` with a sentence that quotes `text` and says what was expected.
    """
    flag, body = f"--{kind}" if kind else "marker", text
    try:
        if kind is None:
            kind, body = _split_shape(text)
        for what, value, known in (
            ("shape", kind, KINDS),
            ("unit of coordinates", coords, _UNITS),
            ("box format", box_format, get_args(BoxFormat)),
        ):
            if value not in known:
                raise MarkerError(f"there is no {what} {quote(value)!r}; use one of {', '.join(known)}")
        marker = inside(_parse(body, size, kind, coords, box_format), size)
    except MarkerError as error:
        raise MarkerError(f"{flag} {quote(text)}: {error}") from None
    numbers = [number for point in marker.points for number in point]
    if coords == "pixels" and "%" not in text and max(numbers) <= 1 and any(number % 1 for number in numbers):
        doubt = f"{flag} {quote(text)}: all of it lies within one pixel; shares of the picture need --coords relative"
        warnings.warn(VipWarning(doubt), stacklevel=2)
    return marker


def render(marker: Marker) -> str:
    """Write `marker` in the grammar, in pixels, so that `parse` reads the same marker again.

    A mask from a file is written with that file's name. Raises `MarkerError` for one from an array alone, whose pixels
    have no text form.
    """
    name = f"{marker.name}=" if marker.name else ""
    numbers = ",".join(_number(value) for point in marker.points for value in point)
    if isinstance(marker, Mask) and marker.bitmap is not None:
        if marker.file is None:
            raise MarkerError("a mask from an array has no text form: save it as a picture and name that file")
        numbers = marker.file
    style = []
    if marker.color is not None:
        style.append(_color(marker.color))
    if marker.width is not None:
        style.append(f"width={_number(marker.width)}{'px' if isinstance(marker.width, Pixels) else ''}")
    if marker.alpha is not None:
        style.append(f"alpha={_number(marker.alpha)}")
    return f"{marker.kind}:{name}{numbers}{'@' if style else ''}{','.join(style)}"


def written(marker: Marker) -> str:
    """A marker as `render` writes it, but to a thousandth of a pixel; of a mask that has no text, where it lies."""
    if isinstance(marker, Mask) and marker.bitmap is not None:
        x1, y1, x2, y2 = marker.bounds
        return render(replace(marker, file=marker.file or f"within {x1:g},{y1:g},{x2:g},{y2:g}"))
    with contextlib.suppress(MarkerError):  # where so little is all that there is of it
        marker = marker.with_points([(round(x, 3), round(y, 3)) for x, y in marker.points])
    return render(marker)


def named(markers: Sequence[Marker]) -> dict[str, Marker]:
    """Every marker by what ``@name`` calls it: its name, or its number, from 1, where it has none.

    Raises `MarkerError` where two would answer to one name.
    """
    result: dict[str, Marker] = {}
    for number, marker in enumerate(markers, 1):
        name = marker.name or str(number)
        if name in result:
            raise MarkerError(f"two markers are called {quote(name)!r}: give each a name of its own")
        result[name] = marker
    return result


def _parse(text: str, size: tuple[int, int], kind: str, coords: Coords, box_format: BoxFormat) -> Marker:
    name_match = _NAME.match(text)
    name = name_match[1] if name_match else None
    body = text[name_match.end() :] if name_match else text
    body, style = _split_style(body)
    if kind == "mask" and not _NUMBERS.fullmatch(body):
        return Mask(bitmap=_bitmap(body, size), file=body, name=name, **style)
    stray, equals, _ = body.partition("=")
    if equals and "," not in stray:
        raise MarkerError(f"{quote(stray)!r} is no name: use letters, digits, _ and -, at most 64 of them")
    numbers = _numbers(body, size, kind, coords)
    cls: Any = KINDS[kind]
    if cls in (Box, Ellipse):
        return cls(*_corners(numbers, box_format), name=name, **style)
    if cls in (Arrow, Point, Tag):
        return cls(*numbers, name=name, **style)
    points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return cls(corners=points, name=name, **style)


def _split_shape(text: str) -> tuple[str, str]:
    match = _SHAPE.match(text)
    return (match[1].lower(), text[match.end() :]) if match else ("box", text)


def _split_style(body: str) -> tuple[str, dict[str, Any]]:
    """Cut ``@STYLE`` off the end; an ``@`` in a file name stays where what follows it is no style."""
    starts = list(_STYLE_START.finditer(body))
    if not starts:
        head, at, tail = body.rpartition("@")
        if at and _NUMBERS.fullmatch(head):
            raise MarkerError(f"{quote(tail)!r} is no style: write @COLOUR, @width=4 or @red,width=4,alpha=0.8")
        return body, {}
    cut = starts[-1]
    return body[: cut.start()], _style(body[cut.end() :])


def _style(text: str) -> dict[str, Any]:
    style: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = "color", part
        key = key.strip().lower()
        if key not in ("color", "width", "alpha"):
            raise MarkerError(f"there is no style {quote(key)!r}; use a colour, width=N, width=Npx or alpha=N")
        if key in style:
            raise MarkerError(f"it has two values for {key}")
        style[key] = Color.of(value) if key == "color" else _measure(key, value.strip())
    return style


def _measure(key: str, text: str) -> float:
    pixels = key == "width" and text.lower().endswith("px")
    digits = text[:-2].rstrip() if pixels else text
    if not _NUMBER.fullmatch(digits):
        raise MarkerError(f"{key} must be a number, got {quote(text)!r}")
    return Pixels(digits) if pixels else float(digits)


def _numbers(body: str, size: tuple[int, int], kind: str, coords: Coords) -> list[float]:
    """The body's numbers in pixels; x and y alternate in every shape."""
    wanted = f"{_article(kind)} needs {_WANTED[kind]}"
    parts = body.split(",") if body.strip() else []
    if len(parts) > 2 * MAX_POINTS:
        raise MarkerError(f"{wanted}, got {len(parts)}, which is too many")
    numbers = [_coordinate(part.strip(), size[index % 2], coords, wanted) for index, part in enumerate(parts)]
    enough = len(parts) == _COUNT[kind] if kind in _COUNT else len(parts) >= _LEAST[kind] and len(parts) % 2 == 0
    if not enough:
        odd = " (an odd count)" if len(parts) % 2 and len(parts) > 4 else ""
        raise MarkerError(f"{wanted}, got {len(parts)}{odd}")
    return numbers


def _coordinate(text: str, extent: int, coords: Coords, wanted: str) -> float:
    percent = text.endswith("%")
    digits = text[:-1] if percent else text
    if not _NUMBER.fullmatch(digits):
        if digits.lower().lstrip("+-") in ("nan", "inf", "infinity"):
            raise MarkerError(f"a coordinate must be a finite number, got {quote(text)!r}")
        raise MarkerError(f"{wanted}, and {quote(text)!r} is not a number")
    whole = 100 if percent else _UNITS[coords]
    if not whole:
        return float(digits)
    if not percent and float(digits) > 2 * whole:  # so far outside that it will be meant as pixels
        raise MarkerError(
            f"{coords} coordinates run from 0 to {whole}, got {quote(digits)}; pixels need --coords pixels"
        )
    return float(digits) * extent / whole


def _corners(numbers: list[float], box_format: BoxFormat) -> tuple[float, float, float, float]:
    a, b, c, d = numbers
    if box_format == "xyxy":
        return a, b, c, d
    if c <= 0 or d <= 0:
        raise MarkerError(f"its width and height must be above 0, got {c:g} and {d:g}")
    return (a, b, a + c, b + d) if box_format == "xywh" else (a - c / 2, b - d / 2, a + c / 2, b + d / 2)


def _bitmap(path: str, size: tuple[int, int]) -> np.ndarray:
    """A mask file as a (height, width) bool array; see `open_mask`."""
    from vipcli.images import open_mask

    if not path or not Path(path).suffix:
        raise MarkerError(f"a mask needs {_WANTED['mask']}, got {quote(path)!r}")
    try:
        mask, two_valued = open_mask(path)
    except PictureError as error:
        raise MarkerError(f"the mask can't be read: {error}") from None
    if not two_valued:
        doubt = f"the mask {quote(path)} isn't black and white: what is brighter than half its brightest is taken"
        warnings.warn(VipWarning(doubt), stacklevel=2)
    if mask.all() and mask.shape == size[::-1]:
        raise MarkerError("the mask covers the whole picture: it must be white where the thing is and black elsewhere")
    return mask


def _color(color: Color) -> str:
    with contextlib.suppress(MarkerError):
        if Color.of(color.name) == color:
            return color.name
    return "#{:02x}{:02x}{:02x}".format(*color.rgb)


def _number(value: float) -> str:
    return f"{float(value):.10g}" if float(f"{float(value):.10g}") == float(value) else repr(float(value))


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
