"""`vipcli.markers.spec`: text to marker and back, every unit, and what a wrong marker is told."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from vipcli.errors import MarkerError, VipWarning
from vipcli.images import save_picture
from vipcli.markers import (
    KINDS,
    TRAINED,
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
    named,
    parse,
    render,
    written,
)

SIZE = (400, 300)

xs, ys = st.floats(0, 400, allow_subnormal=False), st.floats(0, 300, allow_subnormal=False)
corners = st.lists(st.tuples(xs, ys), min_size=3, max_size=8).map(tuple)
colors = st.one_of(
    st.sampled_from([*TRAINED, *ImageColor.colormap]),
    st.tuples(*[st.integers(0, 255)] * 3),
).map(Color.of)
styles = st.fixed_dictionaries(
    {},
    optional={
        "name": st.from_regex(r"\w[\w-]{0,63}", fullmatch=True),
        "color": colors,
        "width": st.one_of(st.floats(1e-3, 10_000), st.floats(1e-3, 10_000).map(Pixels)),
        "alpha": st.floats(1e-3, 1),
    },
)


@st.composite
def markers(draw: st.DrawFn) -> Marker:
    """Any marker of any kind that lies on a picture of `SIZE`."""
    kind, style = KINDS[draw(st.sampled_from(list(KINDS)))], draw(styles)
    numbers: tuple[Any, ...]
    if kind in (Box, Ellipse):
        (x1, x2), (y1, y2) = sorted(draw(st.tuples(xs, xs))), sorted(draw(st.tuples(ys, ys)))
        numbers = x1, y1, x2, y2
    elif kind in (Point, Tag, Arrow):
        numbers = draw(st.tuples(xs, ys, xs, ys))[: 4 if kind is Arrow else 2]
    else:
        numbers = (draw(corners)[: 3 if kind is Triangle else None],)
    names = {Mask: ["corners"], Box: ["x1", "y1", "x2", "y2"], Point: ["x", "y"], Arrow: ["x1", "y1", "x2", "y2"]}
    fields = names.get(kind) or {4: names[Box], 2: names[Point], 1: names[Mask]}[len(numbers)]
    try:
        return kind(**dict(zip(fields, numbers, strict=True)), **style)
    except MarkerError:  # no area, no length
        assume(False)
        raise


@pytest.mark.filterwarnings("ignore:.*lies within one pixel")  # some are that small
@given(markers())
@settings(max_examples=400, deadline=None)
def test_what_is_written_reads_back_as_the_same_marker(marker: Marker) -> None:
    again = parse(render(marker), SIZE)
    assert again == marker
    assert type(again.width) is type(marker.width)


@pytest.mark.filterwarnings("ignore:.*lies within one pixel")
@given(markers())
@settings(deadline=None)
def test_for_people_it_is_written_to_a_thousandth_of_a_pixel(marker: Marker) -> None:
    text = written(marker)
    again = parse(text, SIZE)
    assert np.allclose(again.points, marker.points, rtol=0, atol=0.0005 + 1e-9)
    assert len(text) <= len(render(marker))


def test_a_mask_without_text_is_written_as_where_it_lies() -> None:
    pixels = np.zeros((300, 400), bool)
    pixels[20:60, 30:90] = True
    assert written(Mask(bitmap=pixels)) == "mask:within 30,20,90,60"
    assert written(Mask(bitmap=pixels, file="cat.png")) == "mask:cat.png"


def test_a_marker_reads_as_it_is_written_in_the_manual() -> None:
    assert parse("40,30,200,180", SIZE) == Box(40, 30, 200, 180)
    assert parse("dog=40,30,200,180@blue", SIZE) == Box(40, 30, 200, 180, name="dog", color=Color.of("blue"))
    assert parse("10%,20%,50%,60%@red,width=4,alpha=0.8", SIZE) == Box(
        40, 60, 200, 180, color=Color.of("red"), width=4, alpha=0.8
    )
    assert parse("arrow:dog=20,20,120,80@blue", SIZE) == Arrow(20, 20, 120, 80, name="dog", color=Color.of("blue"))
    assert parse("120,80", SIZE, kind="point") == Point(120, 80)
    assert parse("7=120,80", SIZE, kind="tag") == Tag(120, 80, name="7")
    assert parse("ellipse: 1, 2, 30, 40 @width=4px", SIZE) == Ellipse(1, 2, 30, 40, width=Pixels(4))
    assert parse("0,0,9,0,9,9", SIZE, kind="triangle") == Triangle(((0, 0), (9, 0), (9, 9)))
    assert parse("0,0,9,0,9,9,0,9", SIZE, kind="contour") == Contour(((0, 0), (9, 0), (9, 9), (0, 9)))
    assert parse("0,0,9,0,9,9", SIZE, kind="mask") == Mask(((0, 0), (9, 0), (9, 9)))
    assert parse("0,0,9,0", SIZE, kind="scribble") == Scribble(((0, 0), (9, 0)))


def test_names_may_be_in_any_script() -> None:
    for name in ("собака", "犬", "chien-loup", "größe_2", "7"):
        assert parse(f"{name}=1,2,3,4", SIZE).name == name


def test_a_colour_can_be_a_name_or_a_number() -> None:
    assert parse("1,2,3,4@#fe0000", SIZE).color == Color("red", (254, 0, 0))
    assert parse("1,2,3,4@#F00", SIZE).color == Color.of("red")
    assert parse("1,2,3,4@Navy", SIZE).color == Color("navy", (0, 0, 128))
    assert parse("1,2,3,4@color=navy", SIZE).color == Color("navy", (0, 0, 128))


fractions = st.floats(0.01, 0.99)


@given(*[fractions] * 4)
@settings(deadline=None)
def test_all_units_say_the_same(a: float, b: float, c: float, d: float) -> None:
    assume(abs(a - c) > 1e-3 and abs(b - d) > 1e-3)
    (a, c), (b, d) = sorted((a, c)), sorted((b, d))
    wanted = pytest.approx((a * 400, b * 300, c * 400, d * 300))
    relative = ",".join(map(repr, (a, b, c, d)))
    thousandths = ",".join(repr(1000 * part) for part in (a, b, c, d))
    percent = ",".join(f"{100 * part!r}%" for part in (a, b, c, d))
    assert parse(relative, SIZE, coords="relative").bounds == wanted
    assert parse(thousandths, SIZE, coords="thousandths").bounds == wanted
    assert parse(percent, SIZE).bounds == wanted
    assert parse(percent, SIZE, coords="relative").bounds == wanted, "per cent is per cent whatever plain numbers are"


@given(*[st.integers(1, 149)] * 4)
@settings(deadline=None)
def test_a_box_is_two_corners_or_corner_and_size_or_centre_and_size(x: int, y: int, w: int, h: int) -> None:
    box = Box(x, y, x + w, y + h)
    assert parse(f"{x},{y},{x + w},{y + h}", SIZE) == box
    assert parse(f"{x},{y},{w},{h}", SIZE, box_format="xywh") == box
    assert parse(f"{x + w / 2},{y + h / 2},{w},{h}", SIZE, box_format="cxcywh") == box
    assert parse(f"ellipse:{x},{y},{w},{h}", SIZE, box_format="xywh") == Ellipse(*box.bounds)


def test_corner_and_size_count_in_the_unit_of_their_axis() -> None:
    assert parse("10%,10%,50%,50%", SIZE, box_format="xywh") == Box(40, 30, 240, 180)
    assert parse(".5,.5,.5,.5", SIZE, coords="relative", box_format="cxcywh") == Box(100, 75, 300, 225)


BAD = {
    "500,10,600,20": "it lies outside the picture, which is 400 x 300 pixels",
    "point:10,301": "it lies outside the picture, which is 400 x 300 pixels",
    "arrow:10,10,500,20": "its tip lies outside the picture, which is 400 x 300 pixels",
    "200,180,40,30": "corners are swapped: x1,y1 is the top left one and x2,y2 the bottom right one; "
    "did you mean 40,30,200,180?",
    "nan,1,2,3": "a coordinate must be a finite number, got 'nan'",
    "1,2,-Infinity,3": "a coordinate must be a finite number, got '-Infinity'",
    "1,2,1e999,3": "a coordinate must be a finite number, got inf",
    "1,2,1e9,3": "the coordinate 1e+09 is out of any picture",
    "10,10,10,20": "it has no area: x2 must be greater than x1 and y2 greater than y1",
    "triangle:0,0,10,10,20,20": "it has no area: its points lie on one line",
    "contour:0,0,10,10,20,20,5,5": "it has no area: its points lie on one line",
    "scribble:5,5,5,5": "it has no length: all its points are the same spot",
    "arrow:5,5,5,5": "it has no length: the tail and the tip are the same spot",
    "40,30,200": "a box needs 4 numbers (x1,y1,x2,y2), got 3",
    "": "a box needs 4 numbers (x1,y1,x2,y2), got 0",
    "ellipse:1,2,3,4,5": "an ellipse needs 4 numbers (x1,y1,x2,y2 of the box around it), got 5 (an odd count)",
    "arrow:1,2": "an arrow needs 4 numbers (tail x,y, then tip x,y), got 2",
    "point:1": "a point needs 2 numbers (x,y), got 1",
    "contour:1,2,3,4,5,6,7": "a contour needs at least 6 numbers (x,y of each corner), got 7 (an odd count)",
    "scribble:1,2": "a scribble needs at least 4 numbers (x,y of each point), got 2",
    "1,2,x,4": "a box needs 4 numbers (x1,y1,x2,y2), and 'x' is not a number",
    "1,2,,4": "a box needs 4 numbers (x1,y1,x2,y2), and '' is not a number",
    "1,2,3,４": "a box needs 4 numbers (x1,y1,x2,y2), and '４' is not a number",
    "1,2,3,10%%": "a box needs 4 numbers (x1,y1,x2,y2), and '10%%' is not a number",
    "1;2": "a box needs 4 numbers (x1,y1,x2,y2), and '1;2' is not a number",
    "the dog=1,2,3,4": "'the dog' is no name: use letters, digits, _ and -, at most 64 of them",
    "circle:1,2,3": "there is no shape 'circle'; use one of box, ellipse, point, arrow, triangle, contour, mask, "
    "scribble, tag",
    "1,2,3,4@blurple": "'blurple' is no colour: use one of red, lime, blue, yellow, fuchsia, aqua, orange, purple, "
    "gold, a CSS colour name or #rrggbb",
    "1,2,3,4@#12345": "'#12345' is no colour: use one of red, lime, blue, yellow, fuchsia, aqua, orange, purple, "
    "gold, a CSS colour name or #rrggbb",
    "1,2,3,4@5": "'5' is no style: write @COLOUR, @width=4 or @red,width=4,alpha=0.8",
    "1,2,3,4@": "'' is no style: write @COLOUR, @width=4 or @red,width=4,alpha=0.8",
    "1,2,3,4@red,blue": "it has two values for color",
    "1,2,3,4@dash=3": "there is no style 'dash'; use a colour, width=N, width=Npx or alpha=N",
    "1,2,3,4@width=wide": "width must be a number, got 'wide'",
    "1,2,3,4@width=0": "width must be above 0 and at most 10000, got 0",
    "1,2,3,4@alpha=2": "alpha must be above 0 and at most 1, got 2",
    "mask:1,2,3,4": "a mask needs at least 6 numbers (x,y of each corner) or a picture file, got 4",
    "mask:dog": "a mask needs at least 6 numbers (x,y of each corner) or a picture file, got 'dog'",
    "mask:missing.png": "the mask can't be read: missing.png: no such file",
    "mask:small.png": "the mask is 20 x 10 pixels and the picture 400 x 300; they must be the same size",
    "mask:black.png": "the mask is empty: no pixel of it is set",
}


@pytest.fixture
def masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with masks: ``cat.png`` has a spot, ``black.png`` has none, ``small.png`` is 20 x 10."""
    monkeypatch.chdir(tmp_path)
    spot = np.zeros((300, 400), np.uint8)
    Image.fromarray(spot).save("black.png")
    Image.fromarray(spot[:10, :20] + 255).save("small.png")
    spot[30:60, 100:140] = 200
    Image.fromarray(spot).save("cat.png")
    return tmp_path


@pytest.mark.parametrize(("text", "sentence"), BAD.items(), ids=[text or "(empty)" for text in BAD])
def test_a_wrong_marker_is_told_what_was_expected(text: str, sentence: str, masks: Path) -> None:
    with pytest.raises(MarkerError) as caught:
        parse(text, SIZE)
    assert str(caught.value) == f"marker {text}: {sentence}"


def test_the_sentence_names_the_flag_that_was_used() -> None:
    with pytest.raises(MarkerError, match=r"^--box 40,30,200: a box needs 4 numbers \(x1,y1,x2,y2\), got 3$"):
        parse("40,30,200", SIZE, kind="box")


def test_size_in_place_of_corners_must_be_positive() -> None:
    with pytest.raises(MarkerError, match="its width and height must be above 0, got 0 and 5"):
        parse("1,2,0,5", SIZE, box_format="xywh")


def test_an_unknown_unit_or_box_format_is_an_error() -> None:
    with pytest.raises(MarkerError, match="there is no unit of coordinates 'inches'"):
        parse("1,2,3,4", SIZE, coords="inches")  # type: ignore[arg-type]
    with pytest.raises(MarkerError, match="there is no box format 'yolo'"):
        parse("1,2,3,4", SIZE, box_format="yolo")  # type: ignore[arg-type]
    with pytest.raises(MarkerError, match="there is no shape 'blob'"):
        parse("1,2,3,4", SIZE, kind="blob")


def test_a_box_partly_outside_is_clipped_with_a_warning() -> None:
    with pytest.warns(VipWarning, match=r"^box -10,20,50,400 lies partly outside the picture \(400 x 300 pixels\)"):
        assert parse("-10,20,50,400", SIZE) == Box(0, 20, 50, 300)


@pytest.mark.parametrize("file", ["cat.png", "cat@home.png", "cat@2x.png", "über,alles.png"])
def test_a_mask_file_is_read_whatever_its_name(file: str, masks: Path) -> None:
    Path("cat.png").rename(file)
    for text, color in ((f"mask:cat={file}", None), (f"mask:cat={file}@lime,alpha=.5", Color.of("lime"))):
        mask = parse(text, SIZE)
        assert mask.bounds == (100, 30, 140, 60)
        assert (mask.name, mask.color) == ("cat", color)


def test_markers_are_called_by_their_names_or_numbers() -> None:
    dog, other = Box(1, 2, 3, 4, name="dog"), Point(1, 2)
    assert named([dog, other]) == {"dog": dog, "2": other}
    with pytest.raises(MarkerError, match="two markers are called 'dog'"):
        named([dog, other, dog])
    with pytest.raises(MarkerError, match="two markers are called '2'"):
        named([Box(1, 2, 3, 4, name="2"), other])


def test_reading_a_good_marker_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse("0,0,400,300", SIZE)
        parse("scribble:0,0,0,300", SIZE)


def test_a_mask_file_keeps_its_name_and_its_transparency(tmp_path: Path) -> None:
    cut_out = np.zeros((60, 80, 4), np.uint8)
    cut_out[10:20, 30:50] = (0, 0, 0, 255)
    Image.fromarray(cut_out, "RGBA").save(tmp_path / "cut out.png")
    mask = parse(f"mask:{tmp_path}/cut out.png", (80, 60))
    assert mask.bounds == (30, 10, 50, 20)
    assert parse(render(mask), (80, 60)) == mask
    with pytest.raises(MarkerError, match="has no text form"):
        render(Mask(bitmap=np.ones((60, 80), bool)))


def test_a_mask_that_covers_everything_is_refused(tmp_path: Path) -> None:
    Image.new("L", (80, 60), 255).save(tmp_path / "all.png")
    with pytest.raises(MarkerError, match="covers the whole picture"):
        parse(f"mask:{tmp_path}/all.png", (80, 60))


def test_shares_of_the_picture_without_their_unit_are_doubted() -> None:
    with pytest.warns(VipWarning, match=r"^--box 0.1,0.1,0.5,0.5: all of it .* need --coords relative$"):
        parse("0.1,0.1,0.5,0.5", SIZE, kind="box")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse("0.1,0.1,0.5,0.5", SIZE, kind="box", coords="relative")
        parse("0,0,1,1", SIZE, kind="box")


def test_pixels_in_the_place_of_shares_are_refused() -> None:
    for coords, text, whole in (("relative", "440,118,598,283", 1), ("thousandths", "40,20,2001,1000", 1000)):
        with pytest.raises(MarkerError, match=rf"{coords} coordinates run from 0 to {whole}, .* --coords pixels$"):
            parse(text, SIZE, kind="box", coords=coords)
    with pytest.warns(VipWarning, match="partly outside"):
        parse("0.5,0.5,1.5,1.5", SIZE, kind="box", coords="relative")
    assert parse("0%,0%,50%,50%", SIZE, kind="box", coords="relative").bounds[:2] == (0, 0)


def test_a_photograph_is_doubted_as_a_mask(tmp_path: Path) -> None:
    photo = Path(__file__).parents[2] / "examples" / "meadow.png"
    with pytest.warns(VipWarning, match=r"isn't black and white"):
        parse(str(photo), (640, 480), kind="mask")
    disc = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(disc, (300, 200), 90, (255, 255, 255), -1, cv2.LINE_AA)
    save_picture(disc, tmp_path / "disc.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse(str(tmp_path / "disc.png"), (640, 480), kind="mask")
