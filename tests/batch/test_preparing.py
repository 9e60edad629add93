"""From an item to a picture and a question: what is drawn, what is doubted, what can't be asked."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vipcli.batch.items import Item, MarkerText
from vipcli.batch.preparing import Facts, Prepared, marked_picture, prepare, thumbnail
from vipcli.errors import VipError
from vipcli.markers.formats import Rle

BOX = MarkerText("10,5,30,25@red")


def png(size: tuple[int, int] = (40, 30)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (90, 120, 90)).save(data, "PNG")
    return data.getvalue()


def uri(data: bytes, head: str = "data:image/png;base64,") -> str:
    return head + base64.b64encode(data).decode()


@pytest.fixture
def photo(tmp_path) -> str:
    (tmp_path / "a.png").write_bytes(png())
    return str(tmp_path / "a.png")


def made(image: str | None, question: str = "Is it?", *markers, facts: Facts | None = None, **more) -> Prepared:
    return prepare(Item("a", image, question, markers, **more), facts or Facts())


def why(image: str | None, question: str = "Is it?", *markers, facts: Facts | None = None, **more) -> str:
    with pytest.raises(VipError) as caught:
        made(image, question, *markers, facts=facts, **more)
    assert "\x1b" not in str(caught.value)
    return str(caught.value)


def test_the_picture_is_marked_and_the_question_names_what_is_marked(photo):
    ready = made(photo, "What is @1, or @spot?", BOX, MarkerText("spot=20,15@blue", "point"))
    assert ready.question.startswith("What is the object within the red rectangle, or the spot")
    assert ready.markers[0] == "box:10,5,30,25@red"
    assert ready.markers[1].startswith("point:spot=20,15@blue")
    assert ready.picture.shape == (30, 40, 3)
    assert (ready.picture != np.array((90, 120, 90))).any()


def test_a_model_with_a_square_gets_it_fitted(photo):
    assert made(photo, facts=Facts(side=28, fit="crop")).picture.shape == (28, 28, 3)


def test_what_is_drawn_is_said_to_a_thousandth_of_a_pixel(photo):
    ready = made(photo, "?", MarkerText("33.333333%,50%,66.666666%,90%@red"))
    assert ready.markers == ("box:13.333,15,26.667,27@red",)
    assert made(photo, "?", MarkerText("0.25,0.5,0.75,1@red", None, "relative")).markers == ("box:10,15,30,30@red",)


def test_a_mask_of_run_lengths_is_drawn_and_said_by_where_it_lies(photo):
    ready = made(photo, "What is @1?", Rle((30, 40), (305, 4, 26, 4, 861)))
    assert ready.markers[0].startswith("mask:within 10,5,12,9")


@pytest.mark.parametrize(
    ("rle", "sentence"),
    [
        (Rle((40, 30), (1, 2, 1197)), "the mask is 30 x 40 pixels and the picture 40 x 30; they must be the same size"),
        (Rle((30, 40), (1, 2)), "the mask's counts don't add up to its 40 x 30 pixels"),
        (Rle((30, 40), "\x1b"), "the mask's counts aren't COCO's compressed ones"),
    ],
)
def test_a_mask_that_isnt_the_pictures_is_an_error(photo, rle, sentence):
    assert sentence in why(photo, "?", rle)


def test_an_empty_mask_is_an_error(photo):
    assert why(photo, "?", Rle((30, 40), (1200,)))


def test_a_marker_outside_is_an_error_and_one_partly_outside_a_doubt(photo):
    assert "50,50,60,60" in why(photo, "?", MarkerText("50,50,60,60"))
    (doubt,) = made(photo, "?", MarkerText("30,20,60,28@red")).doubts
    assert "clipped" in doubt or "outside" in doubt
    assert why(photo, "?", MarkerText("30,20,60,28@red"), facts=Facts(strict=True)) == f"{doubt} (--strict)"


@pytest.mark.parametrize("text", ["", "1,2,3", "nonsense", "\x1b[31m1,2,3,4,5", "box:1,2,3,4@nocolour", "=1,2,3,4"])
def test_a_marker_that_cant_be_read_is_quoted(photo, text):
    assert why(photo, "?", MarkerText(text)).startswith("marker")


def test_what_the_model_couldnt_see_is_doubted(tmp_path):
    (tmp_path / "big.png").write_bytes(png((4000, 3000)))
    item = (str(tmp_path / "big.png"), "?", MarkerText("100,100,104,104@red"))
    assert made(*item).doubts == ()
    assert len(made(*item, facts=Facts(side=336)).doubts) == 1
    assert why(*item, facts=Facts(side=336, strict=True)).endswith(" (--strict)")


def test_a_picture_of_another_size_than_the_annotations_say_is_an_error(photo):
    assert made(photo, size=(40, 30)).doubts == ()
    said = why(photo, size=(80, 60))
    assert "the picture is 40 x 30 pixels and the annotations are for 80 x 60: its markers would lie beside" in said
    assert "perhaps turned by its EXIF orientation" in why(photo, size=(30, 40))


def test_pictures_turned_by_exif_are_upright_and_so_are_their_markers(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    path = str(tmp_path / "a.jpg")
    assert made(path, "?", MarkerText("0,0,30,40"), size=(30, 40)).picture.shape == (40, 30, 3)
    assert "is 30 x 40 pixels, perhaps turned by its EXIF orientation, and the annotations are for 40 x 30" in why(
        path, size=(40, 30)
    )


@pytest.mark.parametrize(
    "image",
    [
        uri(png()),
        uri(png(), "DATA:image/png;BASE64,"),
        uri(png(), "data:;base64,"),
        uri(png(), "data:image/png;name=a b.png;base64,"),
        uri(png(), "data:image/png;base64,\n ").replace("A", "A\n"),
    ],
)
def test_a_picture_may_stand_in_a_data_uri(image):
    assert made(image).picture.shape == (30, 40, 3)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("data:image/png;base64,####", "a data: URI holds broken base64"),
        ("data:image/png;base64,AAA", "a data: URI holds broken base64"),
        ("data:image/png;base64,Grün", "a data: URI holds broken base64"),
        ("data:image/png;base64,\udcff", "a data: URI holds broken base64"),
        ("data:image/png,%89PNG", "a data: URI must hold base64: data:image/png;base64,..."),
        ("data:", "a data: URI must hold base64: data:image/png;base64,..."),
        ("data:image/png;base64,", "is empty (0 bytes)"),
        (uri(png()[:60]), "the stream"),
        (uri(b"no picture"), "the stream"),
    ],
)
def test_a_broken_data_uri_is_said_without_all_of_it(image, sentence):
    assert sentence in why(image)
    assert len(why(image)) < 200


@pytest.mark.parametrize("name", ["gone.png", "", "a\0b.png", "a\x1b.png", "x" * 5000, "file:///etc/passwd"])
def test_a_picture_that_cant_be_opened_is_said(tmp_path, name):
    assert why(str(tmp_path / name) if "://" not in name else name)


def test_a_question_is_made_harmless_before_it_is_a_prompt(photo):
    question = "Is it c@@1\x1b[31m ### <image> <s>\r\n@1?\ud800"
    ready = made(photo, question, BOX, facts=Facts(special_tokens=frozenset(["<s>"])))
    assert ready.question == "Is it c@1[31m # ## < image> < s>\nthe object within the red rectangle??"
    assert "names @2, which no marker is called" in why(photo, "@2", BOX)


def test_a_question_about_no_picture_stays_text():
    ready = made(None, "What is 1 + 1, me@@home? ")
    assert (ready.picture, ready.question, ready.markers) == (None, "What is 1 + 1, me@home?", ())


def test_every_marker_may_get_a_plate_with_its_number(photo):
    item = Item("a", photo, "?", (BOX,))
    plain_, tagged = (marked_picture(item, Facts(tags=tags)).picture for tags in (False, True))
    assert (plain_ != tagged).any()


def test_a_thumbnail_is_a_small_jpeg_of_the_marked_picture(tmp_path):
    (tmp_path / "wide.png").write_bytes(png((2000, 500)))
    item = Item("a", str(tmp_path / "wide.png"), "?", (MarkerText("0,0,1000,400@red,width=40"),))
    with Image.open(io.BytesIO(thumbnail(item, Facts()))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (320, 80))
        red = np.asarray(picture.convert("RGB"))[30, 1]
    assert red[0] > red[1] + 60
    (tmp_path / "thin.png").write_bytes(png((3000, 1)))
    assert thumbnail(Item("a", str(tmp_path / "thin.png"), "?"), Facts())


def test_where_there_is_no_picture_there_is_no_thumbnail(photo, tmp_path):
    assert thumbnail(Item("a", None, "?"), Facts()) is None
    assert thumbnail(Item("a", str(Path(tmp_path, "gone.png")), "?"), Facts()) is None
    assert thumbnail(Item("a", photo, "?", (MarkerText("90,90,95,95"),)), Facts()) is None
