"""`vipcli.markers.palette`: names and numbers of colours, and the choice where none is given."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageColor

from vipcli.errors import MarkerError
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
    assign,
)

rgb = st.tuples(*[st.integers(0, 255)] * 3)

ONE_OF_EACH: list[Marker] = [
    Box(10, 10, 60, 50),
    Ellipse(20, 10, 90, 50),
    Point(50, 40),
    Arrow(5, 5, 80, 60),
    Triangle(((5, 5), (80, 10), (40, 60))),
    Contour(((5, 5), (80, 10), (40, 60))),
    Mask(((5, 5), (80, 10), (40, 60))),
    Scribble(((5, 5), (80, 60))),
    Tag(30, 30),
]


def flat(color: tuple[int, ...]) -> np.ndarray:
    return np.full((75, 100, 3), color, np.uint8)


def apart(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    return math.dist(one, other)


def colors_of(markers: tuple[Marker, ...]) -> list[Color]:
    return [marker.color for marker in markers if marker.color]


@given(rgb)
@settings(deadline=None)
def test_the_colour_of_a_flat_background_is_never_chosen(background: tuple[int, ...]) -> None:
    for color in colors_of(assign(flat(background), ONE_OF_EACH)):
        assert apart(color.rgb, background) > 40, color


@pytest.mark.parametrize("background", [*TRAINED, "white", "black", "gray"])
def test_nor_when_it_is_a_colour_of_the_palette_and_twenty_are_wanted(background: str) -> None:
    ground = ImageColor.getrgb(background)
    for kind in ONE_OF_EACH:
        colors = colors_of(assign(flat(ground), [kind] * 20))
        assert min(apart(color.rgb, ground) for color in colors) > 40
        assert len({color.name for color in colors}) == 20, "never two alike of one shape"
        assert min(apart(one.rgb, other.rgb) for one, other in itertools.combinations(colors, 2)) > 35


def test_where_all_colours_are_used_those_that_were_least_come_again() -> None:
    grey = flat((128, 128, 128))
    colors = [color.name for color in colors_of(assign(grey, [ONE_OF_EACH[0]] * 60))]
    counts = Counter(colors)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_trained_colours_come_first() -> None:
    grey = flat((128, 128, 128))
    assert {color.name for color in colors_of(assign(grey, ONE_OF_EACH))} == set(TRAINED)
    assert all(color.name in TRAINED for color in colors_of(assign(grey, ONE_OF_EACH * 9))), "nine of each kind"


def test_on_a_dark_picture_the_first_marker_is_bright_and_on_a_bright_one_dark() -> None:
    (on_dark,), (on_bright,) = (
        colors_of(assign(flat(ground), [Box(10, 10, 60, 50)])) for ground in ((9, 9, 9), (240,) * 3)
    )
    assert np.dot(on_dark.rgb, (0.3, 0.6, 0.1)) > 125 > np.dot(on_bright.rgb, (0.3, 0.6, 0.1))


def test_colours_that_were_given_stay_and_are_not_given_again() -> None:
    red = Box(10, 10, 60, 50, color=Color.of("red"))
    plain = Box(20, 20, 70, 60)
    for markers in ([red, *[plain] * 8], [*[plain] * 8, red]):  # whichever comes first
        assigned = assign(flat((128, 128, 128)), markers)
        assert [color.name for color in colors_of(assigned)].count("red") == 1
        assert assigned[markers.index(red)] == red


def test_only_the_colour_of_a_marker_changes() -> None:
    dog = Box(10, 10, 60, 50, name="dog", width=5, alpha=0.3)
    (marked,) = assign(flat((0, 0, 0)), [dog])
    assert marked == Box(10, 10, 60, 50, name="dog", width=5, alpha=0.3, color=marked.color)
    assert assign(flat((0, 0, 0)), []) == ()


def test_the_choice_looks_under_the_marker_and_nowhere_else() -> None:
    picture = flat((255, 0, 0))
    picture[:, 50:] = (0, 0, 255)
    (left, right) = (assign(picture, [Box(x, 10, x + 30, 60)])[0].color for x in (5, 60))
    assert left == assign(flat((255, 0, 0)), [Box(5, 10, 35, 60)])[0].color
    assert right == assign(flat((0, 0, 255)), [Box(5, 10, 35, 60)])[0].color


def test_a_marker_outside_or_on_a_picture_of_one_pixel_gets_a_colour() -> None:
    for marker in ONE_OF_EACH:
        assert colors_of(assign(flat((0, 0, 0)), [marker.moved(5000, -3000)]))
        assert colors_of(assign(np.zeros((1, 1, 3), np.uint8), [marker]))


def test_every_css_name_is_a_colour() -> None:
    for name in ImageColor.colormap:
        color = Color.of(name.title())
        assert color.name == name
        assert color.rgb == TRAINED.get(name, ImageColor.getrgb(name))


@given(rgb)
def test_a_number_is_called_by_the_nearest_trained_name(triple: tuple[int, int, int]) -> None:
    color = Color.of("#{:02x}{:02X}{:02x}".format(*triple))
    assert color == Color.of(triple) == Color.of(list(triple)) == Color.of(color)
    assert color.rgb == triple
    assert apart(TRAINED[color.name], triple) == min(apart(other, triple) for other in TRAINED.values())


@pytest.mark.parametrize("wrong", ["", "rot", "#12", "#12345g", "#1234567", "rgb(1,2,3)", "\x1b[31mred", "red\n\nblue"])
def test_what_is_no_colour_is_told_which_there_are(wrong: str) -> None:
    with pytest.raises(
        MarkerError, match=r"is no colour: use one of red, lime, .* a CSS colour name or #rrggbb"
    ) as caught:
        Color.of(wrong)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "wrong", [(1, 2), (1, 2, 3, 4), (0, 0, 256), (-1, 0, 0), ("a", 0, 0), 7, None, (math.nan, 0, 0)]
)
def test_three_numbers_from_0_to_255_make_a_colour(wrong: object) -> None:
    with pytest.raises(MarkerError, match="a colour needs 3 numbers from 0 to 255, got "):
        Color.of(wrong)  # type: ignore[arg-type]
