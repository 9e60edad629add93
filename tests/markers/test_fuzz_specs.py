"""Whatever is typed as a marker ends in a marker, or in one printable line that says what is wrong."""

from __future__ import annotations

import random
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vipcli.errors import MarkerError, VipWarning, plain
from vipcli.markers import Marker, parse, render

SIZE = (400, 300)

VALID = [
    "40,30,200,180",
    "dog=40,30,200,180@blue",
    "box:10%,20%,50%,60%@red,width=4,alpha=0.8",
    "ellipse:größe=1.5,2.5,30,40@#ff8800,width=4px",
    "point:120,80",
    "arrow:dog-2=20,20,120,80@color=navy",
    "triangle:1,2,30,4,5,60@alpha=.5",
    "contour:1,2,30,4,5,60,2,30@gold",
    "mask:cat=cat.png@lime",
    "mask:cat@home.png",
    "mask:1e1,2e0,+30,4,5,60",
    "scribble:1,2,30,4,5,60,200,10",
    "tag:7=120,80",
]

PIECES = [
    *("", " ", "\0", "\n", "\r", "\t", "\x1b[2J", "\x7f", "\x9b", "\u2028", "\u202e", "\u200b", "\ufeff"),
    *("\ud800", "\udcff", "é", "e\u0301", "犬", "😀", "١", "１", "²", "−", "ﬁ", "İ", "\U0010ffff"),
    *(",", ",,", "=", "==", "@", "@@", ":", "%", "%%", ".", "..", "-", "+", "--", "#", "/", "\\", "'", '"', "(", "{}"),
    *(
        "nan",
        "-inf",
        "infinity",
        "1e999",
        "1e-999",
        "1e6",
        "-1e7",
        "0x1f",
        "1_0",
        "None",
        "1.",
        ".5",
        "0",
        "-0",
        "9" * 30,
    ),
    *(
        "box:",
        "mask:",
        "mask:.",
        "mask:..",
        "mask:/",
        "tag:",
        "circle:",
        "@red",
        "@width=",
        "@alpha=nan",
        "px",
        "@#",
        "%s",
    ),
]


def mutated(rng: random.Random) -> str:
    """A valid marker after one to four accidents."""
    text = rng.choice(VALID)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        accident = rng.randrange(7)
        if accident == 0 and text:  # a bit flips
            at = min(at, len(text) - 1)
            text = text[:at] + chr(ord(text[at]) ^ 1 << rng.randrange(7)) + text[at + 1 :]
        elif accident == 1:  # something slips in
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif accident == 2:  # something is lost
            text = text[:at] + text[to:]
        elif accident == 3:  # the end of another one
            other = rng.choice(VALID)
            text = text[:at] + other[rng.randint(0, len(other)) :]
        elif accident == 4:  # a stuck key
            text = text[:at] + text[at:to] * rng.choice((2, 3, 50, 500)) + text[to:]
        elif accident == 5:  # any character at all
            text = (
                text[:at]
                + chr(rng.choice((rng.randrange(0x20), rng.randrange(0x250), rng.randrange(0x110000))))
                + text[at:]
            )
        else:  # back to front
            text = text[:at] + text[at:to][::-1] + text[to:]
    return text


@pytest.fixture(autouse=True)
def masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spot = np.zeros((300, 400), np.uint8)
    spot[30:60, 100:140] = 255
    Image.fromarray(spot).save("cat.png")
    Image.fromarray(spot).save("cat@home.png")


def outcome(text: str, **options: str) -> Marker | str:
    """The marker that `text` is, or the sentence that it ends in; whatever is said is fit for a terminal."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result: Marker | str = parse(text, SIZE, **options)  # type: ignore[arg-type]
        except MarkerError as error:
            result = str(error)
            assert len(result) < 1000
    for said in [str(warning.message) for warning in caught] + [
        result for result in [result] if isinstance(result, str)
    ]:
        assert plain(said) == said, ascii(text)
        assert "\n" not in said
    assert all(warning.category is VipWarning for warning in caught), ascii(text)
    return result


def test_the_markers_to_start_from_are_good() -> None:
    assert all(isinstance(outcome(text), Marker) for text in VALID)


def test_three_thousand_damaged_markers_end_in_a_marker_or_a_sentence() -> None:
    rng = random.Random(20240917)
    began, good = time.process_time(), 0
    for _ in range(3000):
        text = mutated(rng)
        options = {} if rng.random() < 0.7 else {"kind": rng.choice(("box", "mask", "tag", "scribble", "contour"))}
        if rng.random() < 0.3:
            options |= {"coords": rng.choice(("relative", "thousandths")), "box_format": rng.choice(("xywh", "cxcywh"))}
        result = outcome(text, **options)
        if isinstance(result, Marker):
            good += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", VipWarning)
                again = parse(render(result), SIZE)
            if not (result.kind == "mask" and len(result.points) == 2):  # a file's mask is written as a rectangle
                assert again == result, ascii(text)
    assert 150 < good < 2700, "some of each"
    assert time.process_time() - began < 10


MEGABYTE = 1_000_000

HUGE = {
    "a number": "1" * MEGABYTE,
    "a number that ends in a letter": "1" * MEGABYTE + "x",
    "a fraction that ends in a letter": "0." + "1" * MEGABYTE + "x",
    "numbers": "1," * (MEGABYTE // 2),
    "not numbers": "+nan" * (MEGABYTE // 4) + "x",
    "a mask of not numbers": "mask:" + "+nan" * (MEGABYTE // 4) + "x",
    "a mask file": "mask:" + "a" * MEGABYTE + ".png",
    "a shape": "a" * MEGABYTE + ":1,2,3,4",
    "a name": "a" * MEGABYTE + "=1,2,3,4",
    "a colour": "1,2,3,4@" + "a" * MEGABYTE,
    "a width": "1,2,3,4@width=" + "1" * MEGABYTE,
    "styles": "1,2,3,4" + "@red" * (MEGABYTE // 4),
    "half styles": "@a=" * (MEGABYTE // 3),
    "commas behind an @": "1,2,3,4@" + "," * MEGABYTE,
    "at signs": "@" * MEGABYTE,
    "equals signs": "=," * (MEGABYTE // 2),
    "per cent": "%" * MEGABYTE,
    "blanks": " " * MEGABYTE + "1,2,3,4" + " " * MEGABYTE + "x",
    "accents": "e\u0301" * (MEGABYTE // 2),
    "surrogates": "\udcff" * MEGABYTE,
    "escapes": "\x1b[2J" * (MEGABYTE // 4),
    "points on a line": "contour:" + ",".join(f"{i},{i}" for i in range(90_000)),
    "one point again and again": "scribble:" + "5,5," * 99_000 + "5,5",
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_a_megabyte_of_it_ends_in_a_sentence_at_once(text: str) -> None:
    began = time.process_time()
    assert isinstance(outcome(text), str)
    assert time.process_time() - began < 3


def test_a_megabyte_that_is_a_marker_is_one() -> None:
    text = "scribble:" + ",".join(f"{i % 400}.25,{i % 300}.5" for i in range(80_000)) + "@red,width=2"
    scribble = outcome(text)
    assert isinstance(scribble, Marker)
    assert len(scribble.points) == 80_000
    assert scribble.color is not None, "a style may follow however many points"
