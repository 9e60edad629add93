"""`vipcli.markers.shapes`: markers as values that can't be wrong."""

from __future__ import annotations

import math
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipcli.errors import MarkerError
from vipcli.markers import (
    KINDS,
    Arrow,
    Box,
    Color,
    Contour,
    Ellipse,
    Marker,
    Mask,
    Pixels,
    Point,
    Scribble,
    Tag,
    Triangle,
)
from vipcli.markers.shapes import describe

EVERY_KIND: list[Marker] = [
    Box(1, 2, 30, 40),
    Ellipse(1, 2, 30, 40),
    Point(5, 6),
    Arrow(1, 2, 30, 40),
    Triangle(((1, 2), (30, 4), (5, 40))),
    Contour(((1, 2), (30, 4), (25, 40), (3, 30))),
    Mask(((1, 2), (30, 4), (25, 40), (3, 30))),
    Scribble(((1, 2), (30, 4))),
    Tag(5, 6, name="7"),
]


def bitmap(x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    """60 x 50, set within the box."""
    mask = np.zeros((50, 60), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_here_is_one_of_every_kind() -> None:
    assert [marker.kind for marker in EVERY_KIND] == list(KINDS)


@pytest.mark.parametrize("marker", EVERY_KIND, ids=lambda marker: marker.kind)
def test_a_marker_is_a_value(marker: Marker) -> None:
    twin = replace(marker)
    assert twin == marker
    assert hash(twin) == hash(marker)
    assert pickle.loads(pickle.dumps(marker)) == marker
    assert marker != replace(marker, width=5)
    assert marker != marker.moved(1, 0)
    with pytest.raises(FrozenInstanceError):
        marker.name = "dog"  # type: ignore[misc]


@pytest.mark.parametrize("marker", EVERY_KIND, ids=lambda marker: marker.kind)
def test_a_marker_moves_as_a_whole(marker: Marker) -> None:
    moved = marker.moved(3, -1)
    assert moved.points == tuple((x + 3, y - 1) for x, y in marker.points)
    assert moved.moved(-3, 1) == marker
    assert moved.anchor == (marker.anchor[0] + 3, marker.anchor[1] - 1)


def test_an_arrow_is_about_its_tip_and_a_box_about_its_middle() -> None:
    assert Arrow(1, 2, 30, 40).anchor == (30, 40)
    assert Box(0, 0, 10, 20).anchor == (5, 10)


def test_a_width_counts_in_336ths_of_the_longer_side_or_in_pixels() -> None:
    assert Box(1, 2, 3, 4).line_width((3360, 100)) == 30
    assert Box(1, 2, 3, 4, width=Pixels(4)).line_width((3360, 100)) == 4
    assert Box(1, 2, 3, 4).line_width((20, 20)) == 1, "never under one pixel"


def test_pixels_stay_pixels() -> None:
    box = replace(Box(1, 2, 3, 4, width=Pixels(4)), name="dog").moved(1, 1)
    assert isinstance(box.width, Pixels)
    assert repr(box.width) == "Pixels(4.0)"
    assert Pixels(4) == Pixels(4.0)
    assert Pixels(4) != 4
    assert pickle.loads(pickle.dumps(box)) == box
    assert Box(1, 2, 3, 4, width=4) != Box(1, 2, 3, 4, width=Pixels(4))


def test_a_colour_may_be_given_by_name() -> None:
    assert Box(1, 2, 3, 4, color="red").color == Color("red", (255, 0, 0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Box(1, 2, 3, 4, name="the dog"), "'the dog' is no name"),
        (lambda: Box(1, 2, 3, 4, name=""), "'' is no name"),
        (lambda: Box(1, 2, 3, 4, name="<image>"), "'<image>' is no name"),
        (lambda: Box(1, 2, 3, 4, name="a" * 65), "is no name: use letters, digits, _ and -, at most 64"),
        (lambda: Box(1, 2, 3, 4, width=math.nan), "width must be above 0 and at most 10000, got nan"),
        (lambda: Box(1, 2, 3, 4, alpha=0), "alpha must be above 0 and at most 1, got 0"),
        (lambda: Box(1, 2, math.inf, 4), "a coordinate must be a finite number, got inf"),
        (lambda: Point(0, -2e6), "the coordinate -2e[+]06 is out of any picture"),
        (lambda: Triangle(((0, 0), (9, 0), (9, 9), (0, 9))), "it needs 3 points"),
        (lambda: Contour(((0, 0), (9, 0))), r"it needs at least 3 points \(x,y pairs\), got 2"),
        (lambda: Scribble(((0, 0),) * 100_001), r"it can have 100000 points \(x,y pairs\), got 100001"),
        (lambda: Mask(), "it needs at least 3 points"),
        (lambda: Mask(bitmap=np.zeros((5, 5))), "the mask is empty"),
        (lambda: Mask(bitmap=np.ones((5, 5, 3))), r"a mask's bitmap is \(height, width\), got 3 dimensions"),
    ],
)
def test_a_wrong_value_cannot_be_made(make: object, sentence: str) -> None:
    with pytest.raises(MarkerError, match=sentence):
        make()  # type: ignore[operator]


def test_a_figure_of_eight_has_an_area() -> None:
    Contour(((0, 0), (10, 10), (10, 0), (0, 10)))


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=9), st.integers(-5, 5), st.integers(-5, 5))
@settings(deadline=None)
def test_points_on_one_line_never_have_an_area(steps: list[int], dx: int, dy: int) -> None:
    with pytest.raises(MarkerError, match="no area"):
        Contour(tuple((10_000 + dx * step, 10_000 + dy * step) for step in steps))


def test_a_line_of_many_points_is_refused_at_once() -> None:
    with pytest.raises(MarkerError, match="its points lie on one line"):  # this once compared every pair of points
        Contour(tuple((i, i) for i in range(100_000)))


def test_masks_are_equal_where_their_pixels_are() -> None:
    mask, twin = Mask(bitmap=bitmap(5, 5, 20, 10)), Mask(bitmap=bitmap(5, 5, 20, 10).astype(np.uint8) * 255)
    assert mask == twin
    assert hash(mask) == hash(twin)
    hole = bitmap(5, 5, 20, 10)
    hole[7, 7] = False
    assert mask != Mask(bitmap=hole)
    assert Mask(((1, 2), (30, 4), (5, 40))) != Mask(((1, 2), (30, 4), (6, 40)))
    assert mask != Mask(((5, 5), (20, 5), (20, 10)))


def test_a_bitmap_moves_with_what_is_inside_the_picture() -> None:
    mask = Mask(bitmap=bitmap(5, 5, 20, 10))
    assert mask.bounds == (5, 5, 20, 10)
    assert mask.moved(3, -2) == Mask(bitmap=bitmap(8, 3, 23, 8))
    assert mask.moved(-10, 43) == Mask(bitmap=bitmap(0, 48, 10, 50))
    for dx, dy in ((100, 0), (0, -1000), (-20, 0)):
        with pytest.raises(MarkerError, match="the mask is empty"):
            mask.moved(dx, dy)


def test_a_message_calls_a_marker_by_its_name_or_its_numbers() -> None:
    assert describe(Box(1, 2, 3, 4, name="dog")) == "marker dog"
    assert describe(Box(1, 2, 3.5, 4)) == "box 1,2,3.5,4"
    assert describe(Triangle(((1, 2), (30, 4), (5, 40)))) == "triangle 1,2,30,4,…"
