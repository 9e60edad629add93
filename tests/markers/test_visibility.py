"""`vipcli.markers.visibility`: what the model can't see of a marker, in generated cases whose truth is known."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise

import numpy as np
import pytest

from vipcli.errors import MarkerError, VipWarning
from vipcli.images import Fit, fit
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
    warn_if_unseen,
)

SIDE, PATCH = 336, 14
RED, BLUE = Color.of("red"), Color.of("blue")
Size = tuple[int, int]


def warned(markers: list[Marker], size: Size, mode: Fit = "pad") -> list[str]:
    """What is said of `markers` on a picture of `size` when the model gets it fitted by `mode`."""
    fitted = fit(np.zeros((size[1], size[0], 3), np.uint8), SIDE, mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # what the collector says of other tests' files
        warnings.simplefilter("always", VipWarning)
        warn_if_unseen(markers, size, fitted, PATCH)
    return [str(warning.message) for warning in caught]


def around(x: float, y: float, reach: float) -> list[Marker]:
    """One of each kind, about the spot x, y and within `reach` of it."""
    a, b, c, d = x - reach, y - reach, x + reach, y + reach
    corners = ((a, b), (c, b), (c, d), (a, d))
    return [
        Box(a, b, c, d),
        Ellipse(a, b, c, d),
        Point(x, y),
        Arrow(a, b, x, y),
        Triangle(((a, b), (c, b), (a, d))),
        Contour(corners),
        Mask(corners),
        Scribble(corners),
        Tag(x, y),
    ]


def random_sizes(count: int) -> list[Size]:
    return [tuple(size) for size in np.random.default_rng(5).integers(200, 1500, (count, 2)).tolist()]


@pytest.mark.parametrize("mode", ["pad", "stretch"])
def test_what_is_large_enough_and_inside_is_seen(mode: Fit) -> None:
    rng = np.random.default_rng(0)
    for width, height in random_sizes(8):
        reach = max(width, height) / 25  # twice that is 27 of the 336 pixels: two patches
        x, y = rng.uniform(reach, width - reach), rng.uniform(reach, height - reach)
        assert warned(around(x, y, reach), (width, height), mode) == []


def test_what_a_crop_cuts_away_is_warned_of() -> None:
    rng = np.random.default_rng(1)
    for long, short in ((900, 300), (1200, 700), (640, 480)):
        band, reach = (long - short) / 2, short / 20  # cut away on either side; the square is between them
        for _ in range(3):
            across = rng.uniform(reach, short - reach)
            kept = rng.uniform(band + reach, long - band - reach)
            lost = rng.choice([rng.uniform(reach, band - reach), long - rng.uniform(reach, band - reach)])
            for turn in (1, -1):  # wide pictures, and tall ones
                size = (long, short)[::turn]
                assert warned(around(*(kept, across)[::turn], reach), size, "crop") == []
                said = warned(around(*(lost, across)[::turn], reach), size, "crop")
                assert len(said) == 9
                assert all(
                    line.endswith("is cut away before the model sees the picture: use --fit pad") for line in said
                )
                assert warned(around(*(lost, across)[::turn], reach), size, "pad") == []


def test_a_marker_on_the_very_edge_is_not_cut_away() -> None:
    for width, height in [*random_sizes(20), (401, 300), (300, 401)]:
        spots = [(0, 0), (width, 0), (width, height), (0, height)]
        edge: list[Marker] = [Point(x, y) for x, y in spots]
        edge += [Scribble((a, b)) for a, b in pairwise(spots)]
        for mode in ("pad", "stretch"):
            assert warned(edge, (width, height), mode) == []


def test_a_line_that_becomes_thinner_than_half_a_pixel_is_warned_of() -> None:
    for longest in (1000, 2000, 4000):
        size, scale = (longest, longest // 2), SIDE / longest
        for pixels in (1, 2, 3, 4, 5, 8):
            markers = around(longest / 2, longest / 4, longest / 8)
            said = warned([type(m)(**{**vars(m), "width": Pixels(pixels)}) for m in markers], size)
            thin = pixels * scale < 0.5
            assert len(said) == (6 if thin else 0), "all but the point, the mask and the tag"
            assert all("thin in what the model sees: give it a greater width" in line for line in said)
    (line,) = warned([Box(100, 100, 900, 900, width=Pixels(2))], (4000, 3000))
    assert line == "box 100,100,900,900 is 0.17 pixels thin in what the model sees: give it a greater width"


def test_a_thing_smaller_than_half_a_patch_is_warned_of() -> None:
    for longest in (336, 1000, 3360):
        pixel = longest / SIDE  # one of what the model sees
        for across in (2, 5, 6.9, 7.1, 10, 30):
            said = warned(around(longest / 2, longest / 4, across * pixel / 2), (longest, longest // 2))
            kinds = {line.split()[0] for line in said}
            assert kinds == ({"box", "ellipse", "triangle", "contour", "mask"} if across < 7 else set())
    (line,) = warned([Box(100, 100, 150, 700, name="pole")], (3360, 3360))
    assert line == (
        "marker pole marks 5 x 60 pixels of what the model sees, less than half of one of its 14-pixel patches: "
        "cut the picture out around it first"
    )


def test_a_marker_that_covers_no_pixel_is_warned_of() -> None:
    frame = ((-50, -50), (450, -50), (450, 350), (440, 350), (440, -40), (-40, -40), (-40, 350), (-50, 350))
    assert warned([Mask(frame)], (400, 300)) == ["mask -50,-50,450,-50,… covers nothing of the picture"]


def test_two_of_one_shape_and_colour_look_alike() -> None:
    here, there = Box(10, 10, 100, 100, color=RED), Box(200, 10, 300, 100, color=RED)
    assert warned([here, there], (400, 300)) == [
        "markers 1 and 2 look alike (red box): give one another colour",
    ]
    reddish = Box(200, 10, 300, 100, name="cat", color=Color.of("#fe0000"))
    assert warned([here, reddish], (400, 300)) == ["markers 1 and cat look alike (red box): give one another colour"]
    assert warned([here, Box(200, 10, 300, 100, color=BLUE), Point(50, 50, color=RED)], (400, 300)) == []


def test_where_a_model_takes_any_shape_all_is_seen_and_what_looks_alike_is_still_said() -> None:
    tiny = Box(10, 10, 11, 11, color=RED)
    with pytest.warns(VipWarning, match="look alike") as caught:
        warn_if_unseen([tiny, Box(200, 10, 201, 11, color=RED)], (4000, 3000), None, PATCH)
    assert len(caught) == 1


def test_tags_look_alike_only_where_they_show_the_same() -> None:
    assert warned([Tag(50, 50, color=RED), Tag(90, 90, color=RED)], (400, 300)) == []


def test_random_sets_of_markers_are_warned_of_once_for_each_that_looks_like_another() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        picks = [(int(kind), int(color)) for kind, color in rng.integers(0, (4, 3), (rng.integers(1, 9), 2))]
        markers = []
        for number, (kind, color) in enumerate(picks):
            one = [Box, Ellipse, Point, Scribble][kind]
            place = {Point: (50, 50), Scribble: (((10, 10), (90, 90)),)}.get(one, (10, 10, 200, 200))  # type: ignore[call-overload]
            markers.append(one(*place, color=[RED, BLUE, Color.of("lime")][color], name=f"m{number}"))  # type: ignore[operator]
        assert len(warned(markers, (400, 300))) == len(picks) - len(set(picks))


def test_names_that_two_markers_share_are_an_error() -> None:
    with pytest.raises(MarkerError, match=re.escape("two markers are called 'dog'")):
        warned([Point(50, 50, name="dog"), Point(90, 90, name="dog")], (400, 300))
