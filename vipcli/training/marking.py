"""Fresh markers on regions of real pictures: every time another shape, colour, width, alpha and place.

The ranges are those of `visual_prompt_generator.py` in mu-cai/ViP-LLaVA, the geometry that of
`vipcli.scenes.mark_thing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vipcli.errors import MarkerError, UsageError, quote
from vipcli.markers import (
    TRAINED,
    Arrow,
    Box,
    Color,
    Contour,
    Ellipse,
    Marker,
    Mask,
    Point,
    Scribble,
    Tag,
    Triangle,
    parse,
)
from vipcli.markers.formats import Rle
from vipcli.markers.geometry import outline as line_of
from vipcli.scenes import SHAPES, Thing, mark_thing

__all__ = ["ALPHAS", "WIDTHS", "Region", "Written", "fresh_markers", "kinds_of", "region_of"]

WIDTHS: dict[type[Marker], tuple[float, float]] = {
    Box: (2, 8),
    Ellipse: (2, 8),
    Triangle: (2, 8),
    Point: (5, 20),
    Scribble: (2, 12),
    Contour: (1, 4),  # the authors draw 1 to 2 to each side of the line
    Arrow: (1, 6),
}
"""Least and greatest width of each kind, in 336ths of the picture's longer side; a filled mask has none."""

ALPHAS = (96 / 255, 1.0)
"""Least and greatest opacity of all kinds but the mask."""

_MASK_ALPHAS = (48 / 255, 128 / 255)
_OUTLINED = (Contour, Mask)  # what is drawn only where the outline is known

Polygon = tuple[tuple[float, float], ...]


def kinds_of(names: Sequence[str]) -> tuple[type[Marker], ...]:
    """The kinds of marker that settings name; all of `SHAPES` where they name none. Raises `UsageError`."""
    trained = {kind.kind: kind for kind in SHAPES}
    if unknown := [name for name in names if name not in trained]:
        raise UsageError(f"there is no marker {quote(unknown[0])!r}; use {', '.join(trained)}")
    return tuple(trained[name] for name in names) or SHAPES


@dataclass(frozen=True, eq=False)
class Region:
    """A part of a picture that a marker can be put on, in pixels of the upright picture.

    box: around it, x1, y1, x2, y2. outline: its polygons or its mask; None: only the box is known. marker: the one that
    it keeps, with nothing fresh but the style. kind: the only one it may get; None: any.
    """

    box: tuple[float, float, float, float]
    outline: tuple[Polygon, ...] | Rle | None = None
    marker: Marker | None = None
    kind: type[Marker] | None = None


@dataclass(frozen=True)
class Written:
    """A region as a file has it, in the marker grammar or as run lengths: a `Region` once the picture's size is known.

    kept: any kind but a box keeps its shape. name: what messages call it.
    """

    marker: str | Rle
    kept: bool = False
    name: str = ""

    def region(self, size: tuple[int, int]) -> Region:
        """The region on a picture of `size` (width, height). Raises `MarkerError` where it doesn't lie on it."""
        if isinstance(self.marker, str):
            return region_of(parse(self.marker, size), kept=self.kept)
        x1, y1, x2, y2 = self.marker.mask(size).bounds
        return Region((x1, y1, x2, y2), self.marker)


def region_of(marker: Marker, *, kept: bool = False) -> Region:
    """The region that `marker` marks: of a box any kind can come, of a point, an arrow or a line only the same.

    kept: so it is with an ellipse, a contour and a mask, whose outline would do for any kind.
    """
    if isinstance(marker, Box):
        return Region(marker.bounds)
    if isinstance(marker, Mask) and marker.bitmap is not None:
        from vipcli.markers.formats.rle import from_tile

        height, width = marker.bitmap.shape
        return Region(marker.bounds, from_tile(marker.bitmap != 0, 0, 0, (width, height)), kind=Mask if kept else None)
    if isinstance(marker, Contour | Mask):
        return Region(marker.bounds, (marker.corners,), kind=type(marker) if kept else None)
    if isinstance(marker, Ellipse) and not kept:
        return Region(marker.bounds, (tuple((float(x), float(y)) for x, y in line_of(marker)[:-1]),))
    return Region(marker.bounds, marker=marker)


def fresh_markers(
    rng: np.random.Generator,
    regions: Sequence[Region],
    size: tuple[int, int],
    kinds: Sequence[type[Marker]] = SHAPES,
) -> list[Marker]:
    """A new marker for each region of a picture of `size` (width, height), everything about it drawn from `rng`.

    Up to eight have eight colours, never yellow beside gold, which translucent lines don't tell apart; of more, no two
    of a kind have the same while there are others. Where none of `kinds` can be put on a region, it gets a box.
    """
    names = [str(name) for name in rng.permutation(tuple(TRAINED))]
    names.remove("yellow" if rng.random() < 0.5 else "gold")
    markers: list[Marker] = []
    for number, region in enumerate(regions):
        used = [(other.kind, other.color.name) for other in markers if other.color]
        full = {kind for kind in {kind for kind, _ in used} if sum(kind == one for one, _ in used) >= len(names)}
        marker = region.marker or _placed(rng, region, size, kinds, full)
        if number < len(names):
            name = names[number]
        else:
            free = [name for name in names if (marker.kind, name) not in used] or names
            name = free[rng.integers(len(free))]
        markers.append(_styled(rng, marker, Color.of(name)))
    return markers


def _styled(rng: np.random.Generator, marker: Marker, color: Color) -> Marker:
    if isinstance(marker, Tag):  # the model wasn't trained on these: they look as they do when one asks
        return replace(marker, color=color)
    low, high = WIDTHS.get(type(marker), (0, 0))
    width = float(rng.uniform(low, high)) if high else None
    alpha = float(rng.uniform(*(_MASK_ALPHAS if isinstance(marker, Mask) else ALPHAS)))
    return replace(marker, color=color, width=width, alpha=alpha)


def _placed(
    rng: np.random.Generator,
    region: Region,
    size: tuple[int, int],
    kinds: Sequence[type[Marker]],
    full: set[str],
) -> Marker:
    """A marker of one of `kinds` on the region; rather of none that is `full`, whose colours are used up."""
    boxed = _boxed(region.box, size)
    thing = _outlined(region, size) if region.outline is not None else None
    some = [region.kind] if region.kind is not None else [kinds[i] for i in rng.permutation(len(kinds))]
    if thing is None:
        some = [kind for kind in some if kind not in _OUTLINED]
    for kind in sorted(some, key=lambda kind: kind.kind in full):
        if kind is Mask and thing is not None and (isinstance(region.outline, Rle) or len(region.outline or ()) > 1):
            return Mask(bitmap=thing.mask)  # all its parts
        try:
            return mark_thing(rng, boxed if kind is Box else thing or boxed, kind)
        except MarkerError:  # too small or too thin for it
            continue
    return Box(*(float(number) for number in boxed.xyxy))


def _boxed(box: tuple[float, float, float, float], size: tuple[int, int]) -> Thing:
    """A box as a thing that fills it, at least a pixel large and inside the picture."""
    (x1, y1, x2, y2), (width, height) = box, size
    left, top = (int(min(max(0, low), extent - 1)) for low, extent in ((x1, width), (y1, height)))
    right, bottom = max(left + 1, min(width, int(np.ceil(x2)))), max(top + 1, min(height, int(np.ceil(y2))))
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return Thing("", (left, top, right, bottom), mask)


def _outlined(region: Region, size: tuple[int, int]) -> Thing | None:
    """An outline as a thing; None where it covers no pixel."""
    if isinstance(region.outline, Rle):
        bitmap = region.outline.mask(size).bitmap
        assert bitmap is not None
        mask = bitmap
    else:
        filled = np.zeros(size[::-1], np.uint8)
        for corners in region.outline or ():
            cv2.fillPoly(filled, [np.rint(np.array(corners)).astype(np.int32)], 1)
        mask = filled.view(bool)
    left, top, wide, high = cv2.boundingRect(mask.view(np.uint8))
    return Thing("", (left, top, left + wide, top + high), mask) if wide and high else None
