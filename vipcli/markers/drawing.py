"""Markers onto the picture, with OpenCV: ``draw(picture, markers) -> picture``.

Each kind is one function that paints the marker in one colour, opaque and anti-aliased. What lies under a marker is
kept before it is painted and mixed back once afterwards: one alpha blend per marker, and a thin box over a large scan
costs its line, not its area. To add a kind, see ``CONTRIBUTING.md``: one function and one row of it are here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from vipcli.errors import VipWarning, quote
from vipcli.markers.geometry import outline
from vipcli.markers.palette import RGB, assign
from vipcli.markers.shapes import Arrow, Box, Contour, Ellipse, Marker, Mask, Point, Scribble, Tag, Triangle

__all__ = ["coverage", "draw"]

_SHIFT = 4  # OpenCV's fixed-point bits: a 16th of a pixel
_THICKEST = 32_767  # OpenCV's limit
_CELL, _STRIP = 4, 64  # pixels to a cell of the sketch that says where a line runs; rows that are mixed at a time

Paint = RGB | tuple[int]


def draw(picture: np.ndarray, markers: Sequence[Marker]) -> np.ndarray:
    """Return a copy of `picture` with `markers` drawn on it, the first lowest.

    picture: (height, width, 3) uint8 RGB. Markers without a colour get one by `palette.assign`.
    """
    picture = np.array(picture, order="C")
    size = (picture.shape[1], picture.shape[0])
    for number, marker in enumerate(assign(picture, markers), 1):
        if isinstance(marker, Tag) and marker.name is None:
            marker = replace(marker, name=str(number))
        left, top, right, bottom = _region(marker, size)
        canvas = picture[top:bottom, left:right]
        if canvas.size:
            _blend(canvas, marker, np.array([left, top]), size)
    return picture


def coverage(marker: Marker, size: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """How much of each pixel `marker` covers on a picture of `size` (width, height).

    Returns (mask, x, y): a uint8 mask, 0..255, of the region that the marker touches, and the region's top left
    corner. The mask is empty where the marker lies outside the picture.
    """
    left, top, right, bottom = _region(marker, size)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    if mask.size:
        _PAINTERS[type(marker)](mask, marker, np.array([left, top]), marker.line_width(size), (255,))
    return mask, left, top


def _stroke(canvas: np.ndarray, marker: Marker, origin: np.ndarray, width: float, paint: Paint) -> None:
    _line(canvas, outline(marker) - origin, width, paint)


def _fill(canvas: np.ndarray, marker: Mask, origin: np.ndarray, _width: float, paint: Paint) -> None:
    if marker.bitmap is None:
        _polygon(canvas, outline(marker) - origin, paint)
        return
    (left, top), (height, width) = origin, canvas.shape[:2]
    inside = marker.bitmap[top : top + height, left : left + width] != 0
    for row in range(0, len(inside), _STRIP):  # whole strips of paint need no second picture
        strip = canvas[row : row + _STRIP][: len(inside) - row, : inside.shape[1]]
        solid = cv2.rectangle(np.empty_like(strip), (0, 0), strip.shape[1::-1], paint, cv2.FILLED)
        cv2.copyTo(solid, inside[row : row + _STRIP].view(np.uint8), strip)


def _disc(canvas: np.ndarray, marker: Point, origin: np.ndarray, width: float, paint: Paint) -> None:
    ((x, y),) = _fixed(np.array(marker.points) - origin)
    cv2.circle(canvas, (int(x), int(y)), round(width * (1 << _SHIFT)), paint, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _arrow(canvas: np.ndarray, marker: Arrow, origin: np.ndarray, width: float, paint: Paint) -> None:
    tail, base, tip, across = _arrow_parts(marker, width)
    _line(canvas, np.array([tail, base]) - origin, width, paint)
    _polygon(canvas, np.array([tip, base + across, base - across]) - origin, paint)


def _plate(canvas: np.ndarray, _marker: Tag, _origin: np.ndarray, _width: float, paint: Paint) -> None:
    cv2.rectangle(canvas, (0, 0), canvas.shape[1::-1], paint, cv2.FILLED)


_PAINTERS: dict[type[Marker], Callable[[np.ndarray, Any, np.ndarray, float, Paint], None]] = {
    Box: _stroke,
    Ellipse: _stroke,
    Triangle: _stroke,
    Contour: _stroke,
    Scribble: _stroke,
    Point: _disc,
    Mask: _fill,
    Arrow: _arrow,
    Tag: _plate,
}
"""Each takes the canvas (a part of the picture, or a mask), the marker, the canvas's top left corner, the line width
and the colour."""


def _line(canvas: np.ndarray, points: np.ndarray, width: float, paint: Paint) -> None:
    thickness = min(max(1, round(width)), _THICKEST)
    cv2.polylines(canvas, [_fixed(points)], False, paint, thickness, cv2.LINE_AA, _SHIFT)


def _polygon(canvas: np.ndarray, points: np.ndarray, paint: Paint) -> None:
    cv2.fillPoly(canvas, [_fixed(points)], paint, cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Float x, y to OpenCV's fixed-point integers."""
    return np.rint(points * (1 << _SHIFT)).astype(np.int32)


def _blend(canvas: np.ndarray, marker: Marker, origin: np.ndarray, size: tuple[int, int]) -> None:
    """Paint `marker` on `canvas`, a part of the picture that begins at `origin`, in place."""
    assert marker.color is not None
    width = marker.line_width(size)
    pieces = [canvas[rows, columns] for rows, columns in _touched(canvas.shape, marker, origin, width)]
    under = [piece.copy() for piece in pieces]
    _PAINTERS[type(marker)](canvas, marker, origin, width, marker.color.rgb)
    for piece, below in zip(pieces, under, strict=True):
        cv2.addWeighted(piece, marker.opacity, below, 1 - marker.opacity, 0, dst=piece)
    if isinstance(marker, Tag):
        red, green, blue = marker.color.rgb
        ink = 0 if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else 255
        weight = _glyphs(marker, size).astype(np.float32) / 255
        canvas[:] = cv2.blendLinear(np.full_like(canvas, ink), canvas.copy(), weight, 1 - weight)


def _region(marker: Marker, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of the picture that holds the marker: left, top, right, bottom; without area where it lies outside."""
    if isinstance(marker, Tag):  # kept inside the picture, whatever its spot
        rows, columns = _glyphs(marker, size).shape
        left = min(max(0, round(marker.x - columns / 2)), size[0] - columns)
        top = min(max(0, round(marker.y - rows / 2)), size[1] - rows)
        return left, top, left + columns, top + rows
    reach = math.ceil(_reach(marker, marker.line_width(size)))
    x1, y1, x2, y2 = marker.bounds
    left, top = max(0, math.floor(x1) - reach), max(0, math.floor(y1) - reach)
    right, bottom = min(size[0], math.ceil(x2) + reach + 1), min(size[1], math.ceil(y2) + reach + 1)
    return left, top, max(left, right), max(top, bottom)


def _reach(marker: Marker, width: float) -> float:
    """How far paint can lie from the marker's outline, in pixels."""
    return width * (3 if isinstance(marker, Arrow) else 1 if isinstance(marker, Point) else 0.5) + 2


def _arrow_parts(marker: Arrow, width: float) -> np.ndarray:
    """Tail, base of the head, tip, and the way from the base to one of its corners: (4, 2).

    The head is a third of the length, within 2.5 and 6 widths (the paper's are 20..50 %).
    """
    tail, tip = np.array(marker.points, float)
    length = float(np.hypot(*(tip - tail)))
    along = (tip - tail) / length
    head = min(length, max(2.5 * width, min(length / 3, 6 * width)))
    half = max(head * 0.5, min(width, head))
    return np.array([tail, tip - along * head, tip, (-along[1] * half, along[0] * half)])


def _touched(shape: tuple[int, ...], marker: Marker, origin: np.ndarray, width: float) -> Iterator[tuple[slice, slice]]:
    """The rows and columns of a canvas of `shape` that `marker` touches: all of it where it is small, else, strip by
    strip, where a coarse sketch of it has paint, drawn with a cell of doubt to every side."""
    whole = isinstance(marker, (Point, Tag)) or (isinstance(marker, Mask) and marker.bitmap is not None)
    if whole or shape[0] * shape[1] <= (4 * _STRIP) ** 2:
        yield slice(None), slice(None)
        return
    cells, columns = _STRIP // _CELL, -(-shape[1] // _CELL)
    sketch = np.zeros((-(-shape[0] // _STRIP), cells, columns + 2), np.uint8)  # an empty column on either side
    inner = sketch.reshape(-1, columns + 2)[:, 1:-1]

    def trace(line: np.ndarray, reach: float) -> np.ndarray:
        points = _fixed((line - origin - (_CELL - 1) / 2) / _CELL)  # whole numbers are the middles of cells
        thickness = min(math.ceil(2 * (reach + 2) / _CELL) + 2, _THICKEST)
        return cv2.polylines(inner, [points], False, (1,), thickness, cv2.LINE_8, _SHIFT)

    trace(outline(marker), width / 2)
    if isinstance(marker, Arrow):
        _, base, tip, across = _arrow_parts(marker, width)
        trace(np.array([base, tip]), float(np.hypot(*across)))
    if isinstance(marker, Mask):
        cv2.fillPoly(inner, [_fixed((outline(marker) - origin) / _CELL)], (1,), cv2.LINE_8, _SHIFT)
    strips = sketch.max(axis=1)
    edges = np.argwhere(strips[:, 1:] != strips[:, :-1]).tolist()  # where a run begins, where it ends, the next begins
    for (strip, begin), (_, end) in zip(edges[::2], edges[1::2], strict=True):
        yield slice(strip * _STRIP, (strip + 1) * _STRIP), slice(begin * _CELL, end * _CELL)


def _glyphs(marker: Tag, size: tuple[int, int]) -> np.ndarray:
    """The coverage of a tag's text with its margin, (rows, columns) uint8, small enough for the picture."""
    from PIL import Image, ImageDraw, ImageFont

    text = marker.name or "0"
    if unknown := sorted({c for c in text if not c.isascii()}):
        doubt = f"the plate of {quote(text)} can't show {quote(' '.join(unknown))}: its font knows ASCII alone"
        warnings.warn(VipWarning(doubt), stacklevel=2)
    height = max(9.0, marker.line_width(size))
    for _ in range(2):
        font = ImageFont.load_default(height)
        x1, y1, x2, y2 = (math.floor(edge) for edge in font.getbbox(text))
        margin = max(2, round((y2 - y1) * 0.3))
        columns, rows = max(x2 - x1, y2 - y1) + 2 * margin, y2 - y1 + 2 * margin
        room = min(size[0] / columns, size[1] / rows)
        if room >= 1:
            break
        height = max(4.0, height * room)
    plate = Image.new("L", (min(columns, size[0]), min(rows, size[1])), 0)
    ImageDraw.Draw(plate).text((columns / 2 - (x1 + x2) / 2, margin - y1), text, 255, font)
    return np.asarray(plate)
