"""`vipcli.markers.clip`: markers against the edges of the picture."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vipcli.errors import MarkerError, VipWarning
from vipcli.markers import Arrow, Box, Contour, Ellipse, Marker, Mask, Point, Scribble, Tag, Triangle, inside

SIZE = (400, 300)

spans = st.tuples(st.integers(-500, 900), st.integers(1, 600)).map(lambda span: (span[0], span[0] + span[1]))


def as_it_lies(marker: Marker) -> tuple[Marker, list[str]]:
    """The marker on a picture of `SIZE`, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        placed = inside(marker, SIZE)
    assert all(warning.category is VipWarning for warning in caught)
    return placed, [str(warning.message) for warning in caught]


@given(spans, spans)
@settings(deadline=None)
def test_a_box_becomes_what_the_picture_has_of_it(x: tuple[int, int], y: tuple[int, int]) -> None:
    box = Box(x[0], y[0], x[1], y[1], name="dog", width=5)
    columns, rows = set(range(*x)) & set(range(400)), set(range(*y)) & set(range(300))  # the pixels it holds
    if not columns or not rows:
        with pytest.raises(MarkerError, match=r"^it lies outside the picture, which is 400 x 300 pixels$"):
            inside(box, SIZE)
        return
    placed, said = as_it_lies(box)
    assert placed == replace(box, x1=min(columns), y1=min(rows), x2=max(columns) + 1, y2=max(rows) + 1)
    clipped = "marker dog lies partly outside the picture (400 x 300 pixels) and is clipped"
    assert said == ([] if placed == box else [clipped])


@given(spans, spans)
@settings(deadline=None)
def test_other_shapes_keep_their_form_and_are_cut_only_in_the_drawing(x: tuple[int, int], y: tuple[int, int]) -> None:
    (x1, x2), (y1, y2) = x, y
    assume(x1 < 400 and x2 > 0 and y1 < 300 and y2 > 0)
    corners = ((x1, y1), (x2, y1), (x2, y2))
    for marker in (Ellipse(x1, y1, x2, y2), Triangle(corners), Contour(corners), Mask(corners), Scribble(corners)):
        placed, said = as_it_lies(marker)
        assert placed == marker
        assert len(said) == (not (x1 >= 0 and y1 >= 0 and x2 <= 400 and y2 <= 300))


@given(st.integers(-300, 700), st.integers(-300, 600))
@settings(deadline=None)
def test_a_point_a_tag_and_the_tip_of_an_arrow_must_be_inside(x: int, y: int) -> None:
    for marker, what in ((Point(x, y), "it"), (Tag(x, y), "it"), (Arrow(-400, -50, x, y), "its tip")):
        if 0 <= x <= 400 and 0 <= y <= 300:
            placed, said = as_it_lies(marker)
            assert placed == marker
            assert len(said) == isinstance(marker, Arrow), "its tail is outside, which draws but is said"
        else:
            with pytest.raises(MarkerError, match=f"^{what} lies outside the picture, which is 400 x 300 pixels$"):
                inside(marker, SIZE)


def test_a_scribble_may_run_along_the_edge() -> None:
    for scribble in (Scribble(((0, 0), (0, 300))), Scribble(((400, 10), (400, 90))), Scribble(((5, 300), (90, 300)))):
        assert as_it_lies(scribble) == (scribble, [])
    with pytest.raises(MarkerError, match="outside"):
        inside(Scribble(((401, 10), (401, 90))), SIZE)


def test_a_mask_must_be_as_large_as_the_picture() -> None:
    fits, turned = Mask(bitmap=np.ones((300, 400), bool)), Mask(bitmap=np.ones((400, 300), bool))
    assert as_it_lies(fits) == (fits, [])
    with pytest.raises(MarkerError, match=r"^the mask is 300 x 400 pixels and the picture 400 x 300; they must be the"):
        inside(turned, SIZE)
