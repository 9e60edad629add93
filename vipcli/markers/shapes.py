"""The markers, as values: eight shapes of the ViP-LLaVA paper and the tag of Set-of-Mark.

Every marker is a frozen dataclass in pixels of the upright picture, origin top left. Its numbers are checked
when it is made, so nothing behind this file checks them again. Colour, width and alpha may be left out:
`palette.assign` picks a colour, and the width and alpha come from the tables below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self, cast

from vipcli.errors import MarkerError, quote
from vipcli.markers.palette import Color

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "KINDS",
    "XY",
    "Arrow",
    "Box",
    "Contour",
    "Ellipse",
    "Marker",
    "Mask",
    "Pixels",
    "Point",
    "Scribble",
    "Tag",
    "Triangle",
    "describe",
]

XY = tuple[float, float]

MAX_COORDINATE = 1_000_000  # beyond any picture but a thin strip; keeps OpenCV's fixed-point numbers in range
MAX_POINTS = 100_000


_NAME = re.compile(r"\w[\w-]{0,63}")  # what `prompt.expand` finds behind an @


class Pixels(float):
    """A width in pixels of the picture, where a plain number counts in 336ths of its longer side."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pixels) and float(self) == float(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((Pixels, float(self)))

    def __repr__(self) -> str:
        return f"Pixels({float(self)!r})"


@dataclass(frozen=True)
class Marker:
    """What all markers share.

    name: what ``@name`` in a question refers to: up to 64 letters, digits, _ and -; None: its number, from 1.
    color: a trained name, any CSS name, ``#rrggbb`` or an RGB triple; None: chosen for visibility.
    width: line width in 336ths of the picture's longer side (the paper's unit), or `Pixels(n)`; of a point the
        radius, of a tag the height of its text; None: `default_width`.
    alpha: opacity, above 0 up to 1; None: `default_alpha`.
    """

    _: KW_ONLY
    name: str | None = None
    color: Color | None = None
    width: float | None = None
    alpha: float | None = None

    kind: ClassVar[str] = "marker"
    """The word of the grammar and of the command line's flag."""
    phrase: ClassVar[str] = ""
    """How the training data refers to it: ``within the {color} rectangle``."""
    default_width: ClassVar[float] = 3.0
    """In 336ths; the constant of the authors' tests (`visual_prompt_generator.py`)."""
    default_alpha: ClassVar[float] = 128 / 255
    """The alpha of the authors' tests and command line."""

    def __post_init__(self) -> None:
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise MarkerError(f"{quote(self.name)!r} is no name: use letters, digits, _ and -, at most 64 of them")
        if self.color is not None and not isinstance(self.color, Color):
            object.__setattr__(self, "color", Color.of(self.color))
        if self.width is not None and not 0 < self.width <= 10_000:
            raise MarkerError(f"width must be above 0 and at most 10000, got {self.width:g}")
        if self.alpha is not None and not 0 < self.alpha <= 1:
            raise MarkerError(f"alpha must be above 0 and at most 1, got {self.alpha:g}")

    @property
    def points(self) -> tuple[XY, ...]:
        """The coordinates that define the marker, as (x, y) pairs."""
        raise NotImplementedError  # pragma: no cover - every kind has its own

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The tight box around the marker's geometry, without its line width: x1, y1, x2, y2."""
        xs, ys = zip(*self.points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def anchor(self) -> XY:
        """The spot that the marker is about: an arrow's tip, a point, else the middle of its bounds."""
        x1, y1, x2, y2 = self.bounds
        return (x1 + x2) / 2, (y1 + y2) / 2

    def line_width(self, size: tuple[int, int]) -> float:
        """The width in pixels on a picture of `size` (width, height); never under one pixel."""
        width = self.default_width if self.width is None else self.width
        pixels = float(width) if isinstance(width, Pixels) else width * max(size) / 336
        return max(1.0, pixels)

    @property
    def opacity(self) -> float:
        """`alpha`, or the kind's default."""
        return self.default_alpha if self.alpha is None else self.alpha

    def moved(self, dx: float, dy: float) -> Self:
        """The same marker, `dx` pixels to the right and `dy` down."""
        return self.with_points([(x + dx, y + dy) for x, y in self.points])

    def with_points(self, points: Sequence[XY]) -> Self:
        """The same marker with other coordinates, in the order of `points`."""
        raise NotImplementedError  # pragma: no cover - every kind has its own


@dataclass(frozen=True)
class _InBox(Marker):
    """A marker given by two corners: (x1, y1) top left, (x2, y2) bottom right."""

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_numbers((self.x1, self.y1, self.x2, self.y2))
        if self.x2 < self.x1 or self.y2 < self.y1:
            raise MarkerError(
                f"corners are swapped: x1,y1 is the top left one and x2,y2 the bottom right one; "
                f"did you mean {_join(min(self.x1, self.x2), min(self.y1, self.y2))},"
                f"{_join(max(self.x1, self.x2), max(self.y1, self.y2))}?"
            )
        if self.x1 == self.x2 or self.y1 == self.y2:
            raise MarkerError("it has no area: x2 must be greater than x1 and y2 greater than y1")

    @property
    def points(self) -> tuple[XY, ...]:
        return (self.x1, self.y1), (self.x2, self.y2)

    def with_points(self, points: Sequence[XY]) -> Self:
        (x1, y1), (x2, y2) = points
        return replace(self, x1=x1, y1=y1, x2=x2, y2=y2)


@dataclass(frozen=True)
class Box(_InBox):
    """A rectangle around a thing: x1, y1, x2, y2."""

    kind = "box"
    phrase = "within the {color} rectangle"


@dataclass(frozen=True)
class Ellipse(_InBox):
    """An ellipse that touches the four sides of the box x1, y1, x2, y2."""

    kind = "ellipse"
    phrase = "within the {color} ellipse"


@dataclass(frozen=True)
class _AtSpot(Marker):
    """A marker given by one spot."""

    x: float
    y: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_numbers((self.x, self.y))

    @property
    def points(self) -> tuple[XY, ...]:
        return ((self.x, self.y),)

    def with_points(self, points: Sequence[XY]) -> Self:
        ((x, y),) = points
        return replace(self, x=x, y=y)


@dataclass(frozen=True)
class Point(_AtSpot):
    """A filled disc on a thing; its `width` is the radius."""

    kind = "point"
    phrase = "at the {color} point"
    default_width = 8.0


@dataclass(frozen=True)
class Tag(_AtSpot):
    """A small filled plate, centred on x, y, that shows the marker's name or number (Set-of-Mark, arXiv 2310.11441).

    ViP-LLaVA wasn't trained on it; large hosted models read it well. `width` is the height of its text.
    """

    kind = "tag"
    phrase = "with the {color} tag {name}"
    default_width = 14.0
    default_alpha = 1.0


@dataclass(frozen=True)
class Arrow(Marker):
    """An arrow from its tail (x1, y1) to its tip (x2, y2), which lies on the thing."""

    x1: float
    y1: float
    x2: float
    y2: float

    kind = "arrow"
    phrase = "pointed to by the {color} arrow"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_numbers((self.x1, self.y1, self.x2, self.y2))
        if (self.x1, self.y1) == (self.x2, self.y2):
            raise MarkerError("it has no length: the tail and the tip are the same spot")

    @property
    def points(self) -> tuple[XY, ...]:
        return (self.x1, self.y1), (self.x2, self.y2)

    @property
    def anchor(self) -> XY:
        return self.x2, self.y2

    def with_points(self, points: Sequence[XY]) -> Self:
        (x1, y1), (x2, y2) = points
        return replace(self, x1=x1, y1=y1, x2=x2, y2=y2)


@dataclass(frozen=True)
class _Polyline(Marker):
    """A marker given by a row of (x, y) corners."""

    corners: tuple[XY, ...]

    least: ClassVar[int] = 3
    closed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        corners = tuple((float(x), float(y)) for x, y in self.corners)
        object.__setattr__(self, "corners", corners)
        if len(corners) < self.least:
            raise MarkerError(f"it needs at least {self.least} points (x,y pairs), got {len(corners)}")
        if len(corners) > MAX_POINTS:
            raise MarkerError(f"it can have {MAX_POINTS} points (x,y pairs), got {len(corners)}")
        _check_numbers([number for corner in corners for number in corner])
        if self.closed and abs(_area(corners)) < 0.5 and not _spread(corners):
            raise MarkerError("it has no area: its points lie on one line")
        if not self.closed and len(set(corners)) < 2:
            raise MarkerError("it has no length: all its points are the same spot")

    @property
    def points(self) -> tuple[XY, ...]:
        return self.corners

    def with_points(self, points: Sequence[XY]) -> Self:
        return replace(self, corners=tuple(points))


@dataclass(frozen=True)
class Triangle(_Polyline):
    """A triangle on a thing, given by its three corners."""

    kind = "triangle"
    phrase = "with the {color} triangle"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.corners) != 3:
            raise MarkerError(f"it needs 3 points (x,y pairs), got {len(self.corners)}")


@dataclass(frozen=True)
class Contour(_Polyline):
    """The outline of a thing: a closed polygon."""

    kind = "contour"
    phrase = "with the {color} mask contour"
    default_width = 2.0  # trained on 1..2: the paper's contours are thin


@dataclass(frozen=True)
class Scribble(_Polyline):
    """A free line over a thing, through its points in order."""

    kind = "scribble"
    phrase = "with the {color} scribble"
    least = 2
    closed = False


@dataclass(frozen=True, eq=False)
class Mask(Marker):
    """A filled region: a polygon's `corners`, or a `bitmap` as large as the picture.

    bitmap: (height, width) array, zero outside the region. file: the picture file that the bitmap was read from.
    """

    corners: tuple[XY, ...] = ()
    bitmap: np.ndarray | None = None
    file: str | None = None

    kind = "mask"
    phrase = "with the {color} mask"
    default_alpha = 96 / 255  # trained on 48..128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bitmap is None:
            object.__setattr__(self, "corners", Contour(self.corners).corners)
            return
        if self.bitmap.ndim != 2:
            raise MarkerError(f"a mask's bitmap is (height, width), got {self.bitmap.ndim} dimensions")
        import numpy as np

        rows, columns = np.flatnonzero(self.bitmap.any(axis=1)), np.flatnonzero(self.bitmap.any(axis=0))
        if not len(rows):
            raise MarkerError("the mask is empty: no pixel of it is set")
        box = (columns[0], rows[0]), (columns[-1] + 1.0, rows[-1] + 1.0)
        object.__setattr__(self, "corners", tuple((float(x), float(y)) for x, y in box))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and self._look == other._look and _alike(self.bitmap, other.bitmap)

    def __hash__(self) -> int:
        return hash(self._look)

    @property
    def _look(self) -> tuple:
        return self.name, self.color, self.width, self.alpha, self.corners

    @property
    def points(self) -> tuple[XY, ...]:
        return self.corners

    def moved(self, dx: float, dy: float) -> Self:
        if self.bitmap is None:
            return super().moved(dx, dy)
        import numpy as np

        x, y = round(dx), round(dy)
        moved, (height, width) = np.zeros_like(self.bitmap), self.bitmap.shape
        kept = self.bitmap[max(-y, 0) : max(height - y, 0), max(-x, 0) : max(width - x, 0)]
        moved[max(y, 0) : max(y, 0) + len(kept), max(x, 0) : max(x, 0) + kept.shape[1]] = kept
        return replace(self, bitmap=moved, file=None)

    def with_points(self, points: Sequence[XY]) -> Self:
        return replace(self, corners=tuple(points), bitmap=None, file=None)


KINDS: dict[str, type[Marker]] = {
    kind.kind: cast("type[Marker]", kind)
    for kind in (Box, Ellipse, Point, Arrow, Triangle, Contour, Mask, Scribble, Tag)
}
"""Every kind by its word, in the order of the help text."""


def describe(marker: Marker) -> str:
    """What a message calls a marker: its name, else its shape and first coordinates."""
    if marker.name:
        return f"marker {quote(marker.name)}"
    numbers = [number for point in marker.points for number in point]
    return f"{marker.kind} {_join(*numbers[:4])}{',…' if len(numbers) > 4 else ''}"


def _alike(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool(((one != 0) == (other != 0)).all())


def _check_numbers(numbers: Iterable[float]) -> None:
    for number in numbers:
        if not math.isfinite(number):
            raise MarkerError(f"a coordinate must be a finite number, got {number}")
        if abs(number) > MAX_COORDINATE:
            raise MarkerError(f"the coordinate {number:g} is out of any picture")


def _area(corners: Sequence[XY]) -> float:
    """The signed area of a polygon, by the shoelace formula."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True)) / 2


def _spread(corners: Sequence[XY]) -> bool:
    """Whether the corners span a plane though their signed area cancels out (a figure of eight)."""
    x0, y0 = corners[0]
    dx, dy = max(((x - x0, y - y0) for x, y in corners), key=lambda way: math.hypot(*way))
    return any(abs((x - x0) * dy - (y - y0) * dx) > 1 for x, y in corners)


def _join(*numbers: float) -> str:
    return ",".join(f"{number:g}" for number in numbers)
