"""Fresh markers on regions: in the trained ranges, told apart by their colours, and on what they mark."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipcli.errors import MarkerError
from vipcli.markers import (
    TRAINED,
    Arrow,
    Box,
    Contour,
    Ellipse,
    Marker,
    Mask,
    Point,
    Scribble,
    Tag,
    Triangle,
    coverage,
    parse,
)
from vipcli.markers.formats import Rle
from vipcli.markers.formats.rle import from_polygons
from vipcli.scenes import SHAPES
from vipcli.training.marking import ALPHAS, WIDTHS, Region, Written, fresh_markers, region_of

SIZE = (120, 80)
L_SHAPE = ((20.0, 10.0), (30.0, 10.0), (30.0, 50.0), (70.0, 50.0), (70.0, 60.0), (20.0, 60.0))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def regions_of_pictures(draw: st.DrawFn) -> tuple[tuple[int, int], list[Region]]:
    width, height = draw(st.integers(8, 400)), draw(st.integers(8, 400))
    regions = []
    for _ in range(draw(st.integers(1, 12))):
        x1, y1 = draw(st.floats(-2, width - 2)), draw(st.floats(-2, height - 2))
        x2, y2 = draw(st.floats(max(x1, 0) + 1, width + 2)), draw(st.floats(max(y1, 0) + 1, height + 2))
        outline = None
        if draw(st.booleans()):
            corner = st.tuples(st.floats(x1, x2), st.floats(y1, y2))
            outline = tuple(
                tuple(draw(st.lists(corner, min_size=3, max_size=6))) for _ in range(draw(st.integers(1, 2)))
            )
        regions.append(Region((x1, y1, x2, y2), outline))
    return (width, height), regions


@settings(max_examples=200, deadline=None)
@given(regions_of_pictures(), st.integers(0, 2**32), st.sets(st.sampled_from(SHAPES), min_size=1))
def test_whatever_the_regions_markers_are_in_the_trained_ranges_distinct_and_on_them(made, seed, kinds):
    size, regions = made
    markers = fresh_markers(rng(seed), regions, size, sorted(kinds, key=SHAPES.index))
    assert len(markers) == len(regions)
    names = [marker.color.name for marker in markers]
    assert set(names) <= set(TRAINED)
    assert not {"yellow", "gold"} <= set(names)
    assert len(set(names[:8])) == len(names[:8])
    for marker, region in zip(markers, regions, strict=True):
        assert type(marker) in kinds or type(marker) is Box, "a box where nothing else can be put"
        if isinstance(marker, Mask):
            assert marker.width is None
            assert 48 / 255 <= marker.alpha <= 128 / 255
        else:
            low, high = WIDTHS[type(marker)]
            assert low <= marker.width <= high
            assert ALPHAS[0] <= marker.alpha <= ALPHAS[1]
        assert region.outline is not None or not isinstance(marker, Contour | Mask)
        on_it(marker, region, size)


def on_it(marker: Marker, region: Region, size: tuple[int, int]) -> None:
    x1, y1, x2, y2 = region.box
    left, top, right, bottom = marker.bounds
    assert left <= x2 + 1
    assert right >= x1 - 1
    assert top <= y2 + 1
    assert bottom >= y1 - 1
    x, y = marker.anchor
    if isinstance(marker, Point | Arrow | Scribble):
        assert x1 - 1 <= x <= x2 + 1
        assert y1 - 1 <= y <= y2 + 1
    if isinstance(marker, Box):
        assert left <= max(0, x1) <= min(size[0], x2) <= right
        assert top <= max(0, y1) <= min(size[1], y2) <= bottom
    assert coverage(marker, size)[0].any()


@settings(max_examples=100, deadline=None)
@given(regions_of_pictures(), st.integers(0, 2**32))
def test_the_same_numbers_draw_the_same_markers(made, seed):
    size, regions = made
    assert fresh_markers(rng(seed), regions, size) == fresh_markers(rng(seed), regions, size)


def test_every_kind_and_colour_is_drawn_and_boxes_get_neither_contour_nor_mask():
    outlined, boxed = Region((20, 10, 70, 60), (L_SHAPE,)), Region((20, 10, 70, 60))
    pairs = [fresh_markers(rng(seed), [outlined, boxed], SIZE) for seed in range(200)]
    assert {type(one) for one, _ in pairs} == set(SHAPES)
    assert {type(other) for _, other in pairs} == set(SHAPES) - {Contour, Mask}
    assert {one.color.name for one, _ in pairs} == set(TRAINED)


def test_points_and_scribbles_begin_inside_an_outline_and_not_only_in_its_box():
    region = Region((20, 10, 70, 60), (L_SHAPE,))
    for seed in range(50):
        (marker,) = fresh_markers(rng(seed), [region], SIZE, [Point])
        x, y = marker.anchor
        assert x <= 31 or y >= 49


def test_nine_of_a_kind_share_a_colour_only_when_none_is_left():
    region = Region((20, 10, 70, 60))
    markers = fresh_markers(rng(), [region] * 20, SIZE, [Box, Ellipse, Point])
    assert len({(marker.kind, marker.color.name) for marker in markers}) == 20
    assert len(fresh_markers(rng(), [region] * 20, SIZE, [Box])) == 20


def test_all_parts_of_an_outline_are_filled():
    other = ((90.0, 10.0), (110.0, 10.0), (110.0, 30.0))
    (marker,) = fresh_markers(rng(), [Region((20, 10, 110, 60), (L_SHAPE, other))], SIZE, [Mask])
    assert marker.bitmap[55, 25]
    assert marker.bitmap[12, 105]
    assert not marker.bitmap[20, 60]


def test_run_lengths_are_an_outline():
    region = Written(from_polygons([L_SHAPE], SIZE)).region(SIZE)
    assert isinstance(region.outline, Rle)
    assert region.box == pytest.approx((20, 10, 70, 60), abs=1)
    assert {type(fresh_markers(rng(seed), [region], SIZE)[0]) for seed in range(80)} == set(SHAPES)
    with pytest.raises(MarkerError, match="the mask is 120 x 80 pixels and the picture 60 x 80"):
        Written(from_polygons([L_SHAPE], SIZE)).region((60, 80))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("20,10,70,60", set(SHAPES) - {Contour, Mask}),
        ("ellipse:20,10,70,60", {Ellipse}),
        ("point:20,10", {Point}),
        ("arrow:5,5,20,10", {Arrow}),
        ("triangle:20,10,70,60,20,60", {Triangle}),
        ("contour:20,10,70,60,20,60", {Contour}),
        ("mask:20,10,70,60,20,60", {Mask}),
        ("scribble:20,10,70,60", {Scribble}),
        ("tag:20,10", {Tag}),
    ],
)
def test_a_written_marker_keeps_its_kind_but_a_box_becomes_any(text, kinds):
    region = Written(text, kept=True).region(SIZE)
    markers = [fresh_markers(rng(seed), [region], SIZE)[0] for seed in range(80)]
    assert {type(marker) for marker in markers} == kinds
    assert len({marker.color.name for marker in markers}) == len(TRAINED), "the style is fresh"
    if kinds <= {Ellipse, Point, Arrow, Triangle, Scribble, Tag}:
        assert {marker.points for marker in markers} == {parse(text, SIZE).points}
        assert kinds == {Tag} or len({marker.width for marker in markers}) == 80


@pytest.mark.parametrize("text", ["ellipse:20,10,70,60", "contour:20,10,70,60,20,60", "mask:20,10,70,60,20,60"])
def test_an_annotated_outline_may_get_any_kind(text):
    region = region_of(parse(text, SIZE))
    assert {type(fresh_markers(rng(seed), [region], SIZE)[0]) for seed in range(80)} == set(SHAPES)


def test_a_mask_of_pixels_stays_a_mask_where_it_is_kept():
    bitmap = np.zeros(SIZE[::-1], bool)
    bitmap[10:20, 30:50] = True
    region = region_of(Mask(bitmap=bitmap), kept=True)
    (marker,) = fresh_markers(rng(), [region], SIZE)
    assert (marker.bitmap == bitmap).all()
    assert region.box == (30, 10, 50, 20)


def test_what_is_too_thin_for_its_kind_gets_a_box():
    region = Region((20, 10, 21, 60), (((20.0, 10.0), (20.0, 60.0), (20.0, 30.0)),))
    (marker,) = fresh_markers(rng(), [region], SIZE, [Contour])
    assert isinstance(marker, Box | Contour)
    (marker,) = fresh_markers(rng(), [Region((20, 10, 70, 60), kind=Mask)], SIZE)
    assert isinstance(marker, Box)
