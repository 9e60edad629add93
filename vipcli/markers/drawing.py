"""Markers onto the picture, with OpenCV: ``draw(picture, markers) -> picture``.

Each kind is one function that draws the marker's *coverage* (how much of each pixel it covers, 0..255, anti-aliased);
one blend per marker then mixes its colour in. To add a kind, add its class in `shapes`, one function and one row here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from vipcli.markers.geometry import outline
from vipcli.markers.palette import assign
from vipcli.markers.shapes import Arrow, Box, Contour, Ellipse, Marker, Mask, Point, Scribble, Tag, Triangle

__all__ = ["coverage", "draw"]

_SHIFT = 4  # OpenCV's fixed-point bits: a 16th of a pixel
_TILE = (
    128  # blending skips tiles that a marker doesn't touch: a thin box over a large scan costs its line, not its area
)


def draw(picture: np.ndarray, markers: Sequence[Marker]) -> np.ndarray:
    """Return a copy of `picture` with `markers` drawn on it, the first lowest.

    picture: (height, width, 3) uint8 RGB. Markers without a colour get one by `palette.assign`.
    """
    picture = np.array(picture, order="C")
    height, width = picture.shape[:2]
    for number, marker in enumerate(assign(picture, markers), 1):
        if isinstance(marker, Tag):
            _draw_tag(picture, marker, marker.name or str(number))
            continue
        mask, x, y = coverage(marker, (width, height))
        _blend(picture, mask, x, y, marker)
    return picture


def coverage(marker: Marker, size: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """How much of each pixel `marker` covers on a picture of `size` (width, height).

    Returns (mask, x, y): a uint8 mask, 0..255, of the region that the marker touches, and the region's top left
    corner. The mask is empty (0 x 0) where the marker lies outside the picture.
    """
    line_width = marker.line_width(size)
    reach = math.ceil(line_width * (4 if isinstance(marker, Arrow) else 1)) + 2
    x1, y1, x2, y2 = marker.bounds
    left, top = max(0, math.floor(x1) - reach), max(0, math.floor(y1) - reach)
    right, bottom = min(size[0], math.ceil(x2) + reach + 1), min(size[1], math.ceil(y2) + reach + 1)
    mask = np.zeros((max(0, bottom - top), max(0, right - left)), np.uint8)
    if mask.size:
        _PAINTERS[type(marker)](mask, marker, np.array([left, top]), line_width)
    return mask, left, top


def _stroke(mask: np.ndarray, marker: Marker, origin: np.ndarray, width: float) -> None:
    line = _fixed(outline(marker) - origin)
    cv2.polylines(mask, [line], False, 255, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def _fill(mask: np.ndarray, marker: Marker, origin: np.ndarray, width: float) -> None:
    assert isinstance(marker, Mask)
    if marker.bitmap is None:
        cv2.fillPoly(mask, [_fixed(outline(marker) - origin)], 255, cv2.LINE_AA, _SHIFT)
        return
    left, top = origin
    height, width_ = mask.shape
    region = marker.bitmap[top : top + height, left : left + width_]
    mask[: region.shape[0], : region.shape[1]][region != 0] = 255


def _disc(mask: np.ndarray, marker: Marker, origin: np.ndarray, width: float) -> None:
    ((x, y),) = _fixed(np.array(marker.points) - origin)
    cv2.circle(mask, (int(x), int(y)), round(width * (1 << _SHIFT)), 255, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _arrow(mask: np.ndarray, marker: Marker, origin: np.ndarray, width: float) -> None:
    """A shaft and a filled head: a third of the length, within 2.5 and 6 widths (the paper's are 20..50 %)."""
    tail, tip = np.array(marker.points, float) - origin
    length = float(np.hypot(*(tip - tail)))
    along = (tip - tail) / length
    across = np.array([-along[1], along[0]])
    head = min(length, max(2.5 * width, min(length / 3, 6 * width)), 7 * width)
    base = tip - along * head
    half = max(head * 0.5, min(width, head))
    cv2.polylines(mask, [_fixed(np.array([tail, base]))], False, 255, max(1, round(width)), cv2.LINE_AA, _SHIFT)
    triangle = np.array([tip, base + across * half, base - across * half])
    cv2.fillPoly(mask, [_fixed(triangle)], 255, cv2.LINE_AA, _SHIFT)


_PAINTERS: dict[type[Marker], Callable[[np.ndarray, Any, np.ndarray, float], None]] = {
    Box: _stroke,
    Ellipse: _stroke,
    Triangle: _stroke,
    Contour: _stroke,
    Scribble: _stroke,
    Point: _disc,
    Mask: _fill,
    Arrow: _arrow,
}


def _draw_tag(picture: np.ndarray, marker: Tag, text: str) -> None:
    """A plate of the marker's colour around `text` in black or white, whichever reads better; kept inside the picture."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = picture.shape[:2]
    font = ImageFont.load_default(max(9.0, marker.line_width((width, height))))
    x1, y1, x2, y2 = (math.floor(edge) for edge in font.getbbox(text))
    margin = max(2, round((y2 - y1) * 0.3))
    plate = Image.new("L", (max(x2 - x1, y2 - y1) + 2 * margin, y2 - y1 + 2 * margin), 0)
    ImageDraw.Draw(plate).text((plate.width / 2 - (x1 + x2) / 2, margin - y1), text, 255, font)
    glyphs = np.asarray(plate)[:height, :width]
    rows, columns = glyphs.shape
    left = min(max(0, round(marker.x - columns / 2)), width - columns)
    top = min(max(0, round(marker.y - rows / 2)), height - rows)
    _blend(picture, np.full_like(glyphs, 255), left, top, marker)
    assert marker.color is not None
    red, green, blue = marker.color.rgb
    ink = 0 if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else 255
    _mix(picture[top : top + rows, left : left + columns], glyphs, (ink, ink, ink), 1.0)


def _blend(picture: np.ndarray, mask: np.ndarray, x: int, y: int, marker: Marker) -> None:
    """Mix the marker's colour into `picture` in place, tile by tile where `mask` isn't zero."""
    assert marker.color is not None
    for top in range(0, mask.shape[0], _TILE):
        for left in range(0, mask.shape[1], _TILE):
            tile = mask[top : top + _TILE, left : left + _TILE]
            if cv2.countNonZero(tile):
                rows, columns = tile.shape
                region = picture[y + top : y + top + rows, x + left : x + left + columns]
                _mix(region, tile, marker.color.rgb, marker.opacity)


def _mix(region: np.ndarray, mask: np.ndarray, rgb: tuple[int, int, int], alpha: float) -> None:
    weight = mask.astype(np.float32) * (alpha / 255)
    paint = np.empty_like(region)
    paint[:] = rgb
    region[:] = cv2.blendLinear(paint, np.ascontiguousarray(region), weight, 1 - weight)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Float x, y to OpenCV's fixed-point integers."""
    return np.rint(points * (1 << _SHIFT)).astype(np.int32)
