"""How a region of a benchmark is marked: the kind of marker, its colour and width; as the authors do, or any other.

Source of the authors' constants: `visual_prompt_organizer.py` in mu-cai/ViP-LLaVA (width 3, alpha 128 of 255).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vipcli.batch import MarkerText
from vipcli.errors import MarkerError
from vipcli.markers import KINDS, TRAINED, Color, Marker, render, written

__all__ = ["AUTHORS", "PALETTE", "Region", "Style", "all_styles", "mark_region", "region_of"]

PALETTE: tuple[str, ...] = tuple(TRAINED)
"""The nine colours of the training data; a region after the first has the next one of them."""
_STEPS = 16  # corners of a curve


@dataclass(frozen=True)
class Style:
    """How regions are marked.

    kind: of the grammar (``box``, ``arrow``, ...). color: of the first region; further ones have the next of `PALETTE`.
    width: in 336ths of the picture's longer side; None: the kind's own.
    """

    kind: str = "box"
    color: str = "red"
    width: float | None = 3.0

    @property
    def name(self) -> str:
        """``red box, width 3``."""
        return f"{self.color} {self.kind}" + ("" if self.width is None else f", width {self.width:g}")

    def colors(self, count: int) -> tuple[str, ...]:
        """A colour for each of `count` regions, all different. Raises `ValueError` beyond the nine."""
        if count > len(PALETTE):
            raise ValueError(f"{count} regions: there are {len(PALETTE)} colors")
        first = PALETTE.index(self.color)
        return tuple(PALETTE[(first + i) % len(PALETTE)] for i in range(count))


AUTHORS = Style()
"""Rectangles of width 3, alpha 128: the authors' constant style."""


@dataclass(frozen=True)
class Region:
    """Where a thing lies, in pixels of the picture. corners: its outline, where the data has one."""

    xyxy: tuple[float, float, float, float]
    corners: tuple[tuple[float, float], ...] | None = None


def all_styles() -> Iterator[Style]:
    """Every kind in every colour at its usual width, and every kind in red at a smaller and a larger one."""
    kinds = [kind for kind in KINDS if kind != "tag"]
    for kind in kinds:
        for color in PALETTE:
            yield Style(kind, color, None)
    for kind in kinds:
        if kind != "mask":  # a filled one has no line
            usual = KINDS[kind].default_width
            for factor in (0.5, 2.0):
                yield Style(kind, "red", usual * factor)


def region_of(marker: Marker) -> Region:
    """What a marker is drawn around: its bounds and, of an outline, its corners.

    Raises `MarkerError` for an arrow, of whose thing it says a spot and nothing more.
    """
    if marker.kind == "arrow":
        raise MarkerError(f"{written(marker)} points at a thing and doesn't say how far that reaches")
    outline = marker.points if marker.kind in ("contour", "mask") and len(marker.points) > 2 else None
    return Region(marker.bounds, outline)


def mark_region(region: Region, style: Style, color: str | None = None) -> tuple[MarkerText, str]:
    """A marker on `region`, and the trained words for it: ``within the red rectangle``.

    color: in the place of the style's own. Geometry as in training, but always the same: the middle of the ranges.
    """
    kind = KINDS[style.kind]
    chosen = Color.of(color or style.color)
    marker = _drawn(kind, region, {"color": chosen, "width": style.width})
    return MarkerText(render(marker)), marker.phrase.format(color=chosen.name)


def _drawn(kind: type[Marker], region: Region, look: dict[str, Any]) -> Marker:
    x1, y1, x2, y2 = region.xyxy
    x, y, wide, high = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    make: Any = kind
    match kind.kind:
        case "box":
            return make(x1, y1, x2, y2, **look)
        case "ellipse":  # axes of 1.0 to 1.5 of the box in training
            return make(x - 0.6 * wide, y - 0.6 * high, x + 0.6 * wide, y + 0.6 * high, **look)
        case "point":
            return make(*_inside(region), **look)
        case "arrow":  # from outside the thing, from the side that has room
            reach = 0.75 * max(wide, high)
            side_x, side_y = (-1 if x > reach else 1), (-1 if y > reach else 1)
            return make(x + side_x * reach, y + side_y * reach, x, y, **look)
        case "triangle":
            left, right, top, bottom = x - 0.35 * wide, x + 0.35 * wide, y - 0.35 * high, y + 0.3 * high
            return make(((x, top), (left, bottom), (right, bottom)), **look)
        case "scribble":
            return make(tuple(_curve(region.xyxy)), **look)
    corners = region.corners or tuple(_around(x, y, wide / 2, high / 2))
    return make(corners, **look) if kind.kind == "contour" else make(corners=corners, **look)


def _inside(region: Region) -> tuple[float, float]:
    """The middle of a thing; where its outline leaves that out, the nearest spot beside it that is in the middle of it.

    As in training, where a point is tried around the middle until it lies inside.
    """
    if region.corners is None:
        (x1, y1, x2, y2) = region.xyxy
        return (x1 + x2) / 2, (y1 + y2) / 2
    xs, ys = zip(*region.corners, strict=True)
    x, y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    edges = zip(region.corners, (*region.corners[1:], region.corners[0]), strict=True)
    crossed = sorted(ax + (y - ay) / (by - ay) * (bx - ax) for (ax, ay), (bx, by) in edges if (ay > y) != (by > y))
    spans = list(zip(crossed[::2], crossed[1::2], strict=True))
    if not spans or any(left <= x <= right for left, right in spans):
        return x, y
    return min(((left + right) / 2 for left, right in spans), key=lambda middle: abs(middle - x)), y


def _around(x: float, y: float, half_x: float, half_y: float) -> Iterator[tuple[float, float]]:
    for step in range(_STEPS):
        angle = 2 * math.pi * step / _STEPS
        yield x + half_x * math.cos(angle), y + half_y * math.sin(angle)


def _curve(xyxy: Sequence[float]) -> Iterator[tuple[float, float]]:
    """A cubic Bezier curve through the thing, as the scribbles of training."""
    x1, y1, x2, y2 = xyxy
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = (
        (x1 + share_x * (x2 - x1), y1 + share_y * (y2 - y1))
        for share_x, share_y in ((0.2, 0.3), (0.9, 0.1), (0.1, 0.9), (0.8, 0.7))
    )
    for step in range(_STEPS + 1):
        t = step / _STEPS
        a, b, c, d = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
        yield a * ax + b * bx + c * cx + d * dx, a * ay + b * by + c * cy + d * dy
