"""`vipcli.markers.drawing`: the geometry of every kind against an independent drawing by Pillow, and the blend."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from vipcli.markers import (
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
    coverage,
    draw,
)

Size = tuple[int, int]
Points = list[tuple[float, float]]

SIDES = (20, 35, 64, 120, 336, 500, 900, 1500)


def ours(marker: Marker, size: Size) -> np.ndarray:
    """What a marker covers of a picture of `size`, as (height, width) uint8."""
    mask, x, y = coverage(marker, size)
    whole = np.zeros((size[1], size[0]), np.uint8)
    whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return whole


def disc(x: float, y: float, radius: float) -> Points:
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 90)]


def stroke(points: Points, width: float) -> list[Points]:
    """A line with round ends and corners: a rectangle for each of its parts, a disc at each of its points."""
    width += width % 2  # OpenCV draws odd widths a pixel wider
    polygons = [disc(x, y, width / 2) for x, y in points]
    for (x1, y1), (x2, y2) in pairwise(points):
        length = math.hypot(x2 - x1, y2 - y1) or 1
        dx, dy = (y1 - y2) / length * width / 2, (x2 - x1) / length * width / 2
        polygons.append([(x1 + dx, y1 + dy), (x2 + dx, y2 + dy), (x2 - dx, y2 - dy), (x1 - dx, y1 - dy)])
    return polygons


def box(marker: Box, width: float) -> list[Points]:
    x1, y1, x2, y2 = marker.bounds
    return stroke([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)], width)


def ellipse(marker: Ellipse, width: float) -> list[Points]:
    x1, y1, x2, y2 = marker.bounds
    around = np.linspace(0, 2 * math.pi, 600)
    xs, ys = (x1 + x2 + (x2 - x1) * np.cos(around)) / 2, (y1 + y2 + (y2 - y1) * np.sin(around)) / 2
    return stroke(list(zip(xs.tolist(), ys.tolist(), strict=True)), width)


def arrow(marker: Arrow, width: float) -> list[Points]:
    """A head as long as a third of the arrow, but 2.5 to 6 widths, and as wide as long; a shaft up to it."""
    length = math.hypot(marker.x2 - marker.x1, marker.y2 - marker.y1)
    head = min(length, max(2.5 * width, min(length / 3, 6 * width)))
    dx, dy = (marker.x2 - marker.x1) / length, (marker.y2 - marker.y1) / length
    x, y = marker.x2 - dx * head, marker.y2 - dy * head
    half = max(head / 2, min(width, head))
    triangle = [(marker.x2, marker.y2), (x - dy * half, y + dx * half), (x + dy * half, y - dx * half)]
    return [*stroke([(marker.x1, marker.y1), (x, y)], width), triangle]


POLYGONS: dict[type[Marker], Callable[[Any, float], list[Points]]] = {
    Box: box,
    Ellipse: ellipse,
    Triangle: lambda marker, width: stroke([*marker.corners, marker.corners[0]], width),
    Contour: lambda marker, width: stroke([*marker.corners, marker.corners[0]], width),
    Scribble: lambda marker, width: stroke(list(marker.corners), width),
    Mask: lambda marker, _width: [list(marker.corners)],
    Point: lambda marker, width: [disc(marker.x, marker.y, width)],
    Arrow: arrow,
}
"""What each kind looks like, written a second time: the polygons that a marker of a line width fills."""


def by_pillow(polygons: list[Points], size: Size, margin: int) -> np.ndarray:
    """The polygons' coverage, drawn by Pillow at a multiple of the size: a picture of `size` with `margin` around it.

    A pixel's middle lies at whole numbers, as in OpenCV.
    """
    times = 8 if max(size) < 200 else 4
    width, height = size[0] + 2 * margin, size[1] + 2 * margin
    image = Image.new("L", (width * times, height * times))
    for polygon in polygons:
        place = [((x + 0.5 + margin) * times - 0.5, (y + 0.5 + margin) * times - 0.5) for x, y in polygon]
        ImageDraw.Draw(image).polygon(place, 255)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def random_marker(rng: np.random.Generator, kind: type[Marker], size: Size, beyond: float = 0.0) -> Marker:
    """A marker of `kind` anywhere on a picture of `size`, or `beyond` it by that share of its sides."""
    low, high = np.array(size) * -beyond, np.array(size) * (1 + beyond) - 1
    spots = [tuple(spot) for spot in rng.uniform(low, high, (8, 2)).tolist()]
    width = Pixels(rng.integers(2, max(3, max(size) // 25)))
    (x1, y1), (x2, y2) = spots[:2]
    if kind in (Box, Ellipse):
        x1, x2, y1, y2 = min(x1, x2), max(x1, x2) + 2, min(y1, y2), max(y1, y2) + 2
    if kind in (Box, Ellipse, Arrow):
        return kind(x1=x1, y1=y1, x2=x2, y2=y2, width=width)  # type: ignore[call-arg]
    if kind is Point:
        return Point(x1, y1, width=width)
    if kind is not Scribble:  # a star-shaped polygon around the first spot
        count = 3 if kind is Triangle else 7
        around = (np.arange(count) + rng.uniform(0, 0.8, count)) * 2 * np.pi / count
        reach = rng.uniform(0.1, 0.45, count) * min(size)
        spots = [(x1 + r * math.cos(a), y1 + r * math.sin(a)) for a, r in zip(around, reach, strict=True)]
    return kind(corners=tuple(spots), width=width)  # type: ignore[call-arg]


def grown(mask: np.ndarray) -> np.ndarray:
    """`mask` and every pixel beside it."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


@pytest.mark.parametrize("beyond", [0.0, 0.3], ids=["inside", "partly outside"])
@pytest.mark.parametrize("kind", POLYGONS, ids=lambda kind: kind.kind)
def test_every_kind_is_drawn_where_pillow_draws_it(kind: type[Marker], beyond: float) -> None:
    """What we cover by half lies within a pixel of what Pillow touches, and what it covers by half, of ours."""
    rng = np.random.default_rng(7)
    for side in SIDES:
        for _ in range(8 if side < 600 else 2):
            size = (side, max(20, int(side * rng.uniform(0.5, 1))))
            marker = random_marker(rng, kind, size, beyond)
            drawn = ours(marker, size) > 127
            pillow = by_pillow(POLYGONS[kind](marker, marker.line_width(size)), size, margin=2)
            touched, wanted = grown(pillow > 0)[2:-2, 2:-2], (pillow > 127)[2:-2, 2:-2]
            assert not (drawn & ~touched).any(), f"{marker} on {size} paints too much"
            missing = wanted & ~grown(drawn)  # at the very edge, what it is next to may lie outside
            assert not missing[1:-1, 1:-1].any(), f"{marker} on {size} paints too little"


def test_a_mask_covers_exactly_the_pixels_of_its_bitmap() -> None:
    rng = np.random.default_rng(3)
    for size in ((1, 1), (20, 13), (336, 200), (901, 640)):
        bitmap = rng.random((size[1], size[0])) < 0.3
        bitmap[0, 0] = True
        assert np.array_equal(ours(Mask(bitmap=bitmap), size) > 0, bitmap)
        picture = draw(np.zeros((*bitmap.shape, 3), np.uint8), [Mask(bitmap=bitmap, color=Color.of("lime"), alpha=1)])
        assert np.array_equal(picture[..., 1] == 255, bitmap)
        assert not picture[..., 0].any()


def test_edges_are_anti_aliased() -> None:
    for marker in (
        Ellipse(20, 20, 180, 130),
        Point(100, 80),
        Arrow(10, 20, 170, 110),
        Mask(((5, 9), (190, 50), (40, 140))),
    ):
        shades = np.unique(ours(marker, (200, 150)))
        assert len(shades) > 20, marker.kind
        assert shades[-1] == 255, marker.kind


@pytest.mark.parametrize("kind", POLYGONS, ids=lambda kind: kind.kind)
def test_each_marker_is_blended_once(kind: type[Marker]) -> None:
    """A covered pixel is (1 - alpha) * under + alpha * colour, even where a line crosses itself; others stay."""
    rng = np.random.default_rng(11)
    for size in ((60, 45), (336, 336), (1200, 900)):  # small ones are blended whole, large ones strip by strip
        for _ in range(6):
            alpha = float(rng.uniform(0.05, 1))
            color = Color.of(rng.integers(0, 256, 3).tolist())
            marker = replace(random_marker(rng, kind, size, 0.2), color=color, alpha=alpha)
            under = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            drawn, mask = draw(under, [marker]), ours(marker, size)
            share = mask[..., None] / 255 * alpha
            wanted = np.rint((1 - share) * under + share * np.array(color.rgb))
            difference = np.abs(drawn - wanted)
            assert difference[mask == 0].max(initial=0) == 0, "outside the marker nothing changes"
            assert difference[mask == 255].max(initial=0) <= 1, "where it covers a pixel, the blend is exact"
            # Where OpenCV's round joints overlap half covered pixels, its 8-bit steps differ by colour.
            assert np.percentile(difference[mask > 0], 99.9) <= 3 if mask.any() else True
            assert difference.max() <= 16


def test_later_markers_lie_on_top() -> None:
    red = Mask(((0, 0), (99, 0), (99, 99), (0, 99)), color=Color.of("red"), alpha=1)
    lime = replace(red, color=Color.of("lime"))
    black = np.zeros((100, 100, 3), np.uint8)
    assert draw(black, [red, lime])[50, 50].tolist() == [0, 255, 0]
    assert draw(black, [lime, red])[50, 50].tolist() == [255, 0, 0]


def test_the_picture_itself_stays_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    turned = picture.transpose(1, 0, 2)[::-1]  # neither contiguous nor writeable
    turned.flags.writeable = False
    before = turned.copy()
    drawn = draw(turned, [Box(10, 10, 60, 90), Tag(20, 20)])
    assert np.array_equal(turned, before)
    assert drawn.flags.c_contiguous
    assert (drawn.dtype, drawn.shape) == (np.uint8, turned.shape)
    assert np.array_equal(draw(turned, []), turned)


def any_marker(kind: type[Marker], size: Size) -> Marker:
    return (
        Tag(size[0] / 2, size[1] / 2, name="7") if kind is Tag else random_marker(np.random.default_rng(1), kind, size)
    )


@pytest.mark.parametrize("kind", [*POLYGONS, Tag], ids=lambda kind: kind.kind)
def test_on_a_thumbnail_every_marker_is_at_least_a_pixel_thin(kind: type[Marker]) -> None:
    size = (20, 15)
    marker = replace(any_marker(kind, size), width=0.1)  # a 170th of a pixel
    assert marker.line_width(size) == 1
    mask = ours(marker, size)
    assert mask.max() > 127
    assert (mask > 0).sum() >= 4


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (5, 3)])
@pytest.mark.parametrize("kind", [*POLYGONS, Tag], ids=lambda kind: kind.kind)
def test_the_smallest_pictures_can_be_marked(kind: type[Marker], size: Size) -> None:
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    marker = Tag(0, 0, name="a_long_name") if kind is Tag else random_marker(np.random.default_rng(1), kind, (9, 9))
    assert draw(picture, [marker]).shape == picture.shape
    mask, x, y = coverage(marker, size)
    assert x + mask.shape[1] <= max(x, size[0])
    assert y + mask.shape[0] <= max(y, size[1])


FAR = 1_000_000.0


def test_coordinates_far_outside_do_not_wrap_around() -> None:
    size = (300, 300)
    assert (ours(Mask(((-FAR, -FAR), (FAR, -FAR), (FAR, FAR), (-FAR, FAR))), size) == 255).all()
    assert not ours(Box(-FAR, -FAR, FAR, FAR), size).any()
    assert not ours(Ellipse(-FAR, -FAR, FAR, FAR), size).any()
    diagonal = ours(Scribble(((-FAR, -FAR), (FAR, FAR)), width=Pixels(3)), size)
    rows, columns = np.nonzero(diagonal)
    assert np.abs(rows - columns).max() <= 4
    assert (diagonal.diagonal() == 255).all()
    shaft = ours(Arrow(-FAR, 150, 250, 150, width=Pixels(3)), size)
    assert shaft[150, :230].min() == 255


@pytest.mark.parametrize("kind", [*POLYGONS, Tag], ids=lambda kind: kind.kind)
def test_the_greatest_width_still_draws(kind: type[Marker]) -> None:
    for width in (10_000, Pixels(10_000)):  # 10,000 of 336 parts of 1,200 pixels are 35,714: more than OpenCV takes
        size = (1200, 300)
        marker = replace(any_marker(kind, size), width=width, color=Color.of("red"), alpha=1)
        picture = draw(np.zeros((300, 1200, 3), np.uint8), [marker])
        if kind not in (Mask, Tag, Arrow):
            assert (picture == (255, 0, 0)).all()


def test_an_arrow_of_almost_no_length_is_a_dot() -> None:
    mask = ours(Arrow(50, 50, 50, 50.001), (100, 100))
    rows, columns = np.nonzero(mask)
    assert len(rows) > 0
    assert np.hypot(rows - 50, columns - 50).max() < 3


def test_a_box_on_a_large_scan_costs_its_line_and_not_its_area() -> None:
    scan = np.zeros((3000, 12_000, 3), np.uint8)
    markers = [Box(100, 100, 11_900, 2900), Ellipse(50, 50, 11_950, 2950), Arrow(100, 2900, 11_000, 200)]
    tracemalloc.start()
    began = time.perf_counter()
    drawn = draw(scan, markers)
    seconds = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert drawn.any()
    assert peak < 1.5 * scan.nbytes, "the copy, and what lies under one marker's line"
    assert seconds < 5


def test_a_tag_shows_its_name_on_a_plate_of_its_colour() -> None:
    picture = np.full((300, 400, 3), 90, np.uint8)
    for color, ink in (("yellow", 0), ("navy", 255)):
        tag = Tag(100, 80, name="12", color=Color.of(color))
        mask, x, y = coverage(tag, (400, 300))
        plate = draw(picture, [tag])[y : y + mask.shape[0], x : x + mask.shape[1]]
        assert abs(x + mask.shape[1] / 2 - 100) <= 1
        assert abs(y + mask.shape[0] / 2 - 80) <= 1
        assert tuple(plate[0, 0]) == Color.of(color).rgb
        assert (plate == ink).all(axis=2).sum() > 10, "the text"
    assert np.array_equal(
        draw(picture, [Tag(100, 80, color=Color.of("red"))]),
        draw(picture, [replace(tag, name="1", color=Color.of("red"))]),
    )


@pytest.mark.parametrize("spot", [(0, 0), (400, 300), (400, 0), (200, 300)])
def test_a_tag_is_kept_inside_the_picture(spot: tuple[int, int]) -> None:
    alone = coverage(Tag(200, 150, name="word"), (400, 300))[0]
    mask, x, y = coverage(Tag(*spot, name="word"), (400, 300))
    assert mask.shape == alone.shape
    assert 0 <= x <= 400 - mask.shape[1]
    assert 0 <= y <= 300 - mask.shape[0]


@pytest.mark.parametrize("width", [14, 10_000])
def test_a_tag_too_wide_for_the_picture_is_set_smaller(width: float) -> None:
    tag = Tag(30, 30, name="a-name-of-sixty-four-letters", width=width, color=Color.of("yellow"))
    mask, x, _ = coverage(tag, (200, 60))
    assert x >= 0
    assert mask.shape[1] <= 200
    text = (draw(np.zeros((60, 200, 3), np.uint8), [tag]) == 0).all(axis=2)
    columns = np.flatnonzero(text[:, x : x + mask.shape[1]].any(axis=0))
    assert columns[-1] - columns[0] > 100, "all of it, not its first letters"
