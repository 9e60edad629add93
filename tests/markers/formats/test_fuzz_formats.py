"""Whatever becomes of an annotation file, it ends in pictures, problems and sentences; 2,000 damaged ones."""

from __future__ import annotations

import json
import os
import random
import re
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markers.formats.samples import (
    BRUSH_RLE,
    COCO_INSTANCES,
    CVAT_DATUMARO,
    CVAT_IMAGES,
    LABEL_STUDIO,
    LABELME,
    SIZE,
    VOC_OBJECT,
    VOC_PERSON,
    read,
    write,
)

from vipcli.errors import MarkerError, UsageError, VipWarning, plain
from vipcli.markers import parse
from vipcli.markers.formats import FORMATS, AnnotatedPicture, Rle, recognise

SAMPLES = {
    "coco": ("a.json", [COCO_INSTANCES]),
    "labelme": ("a.json", [LABELME]),
    "label-studio": ("a.json", [LABEL_STUDIO]),
    "voc": ("a.xml", [VOC_OBJECT, VOC_PERSON]),
    "cvat": ("a.xml", [CVAT_IMAGES, CVAT_DATUMARO]),
    "yolo": ("labels/a.txt", ["0 0.5 0.5 0.2 0.4\n1 0.1 0.1 0.5 0.1 0.5 0.5\n0 .5 .5 .2 .4 .9\n"]),
}
JUNK = [
    *(None, True, 0, -1, 1.5, 10**400, 10**9, float("nan"), float("inf"), 1e300, "", "a", "1", "nan", "\ud800", "\0"),
    *("../../x", "/", "http://[", "a" * 3000, [], {}, [[]], [None], [[1, 2]], {"": {}}, [1, 2, 3, 4], BRUSH_RLE[:20]),
    *({"size": [30, 40], "counts": "~"}, {"size": [30, 40], "counts": [1]}, {"text": 3}, "/data/upload/", "?d="),
]
PIECES = [
    "<",
    ">",
    "/>",
    '"',
    "&",
    "&#0;",
    "<!DOCTYPE a>",
    "]]>",
    "<!--",
    "nan",
    "-",
    "9" * 400,
    ";",
    ",",
    "\0",
    "\ufffe",
]
SYNTAX = re.compile(r"needs|not a number|there is no|no style|no name|finite|too many|two values|got '")


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def damaged_value(content: object, chance: random.Random) -> object:
    """A JSON value with one of what is in it replaced, lost, doubled or renamed."""
    places = []

    def visit(value: object) -> None:
        for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            visit(value[key])

    visit(content)
    parent, key = chance.choice(places)
    accident = chance.randrange(6)
    if accident == 0:
        del parent[key]
    elif accident == 1 and isinstance(parent, list):
        parent.append(parent[key])
    elif accident == 2 and isinstance(parent, dict):
        parent[chance.choice(["x", "", "id", "type"])] = parent.pop(key)
    else:
        parent[key] = chance.choice(JUNK)
    return content


def damaged_text(text: str, chance: random.Random) -> bytes:
    """A text after one to three accidents with its characters or bytes."""
    data = text.encode()
    for _ in range(chance.randint(1, 3)):
        at, to = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        piece = chance.choice(PIECES).encode() if chance.random() < 0.8 else chance.randbytes(3)
        rest = chance.choice([piece + data[at:], piece + data[at + len(piece) :], data[to:], b""])
        data = data[:at] + rest
        numbers = list(re.finditer(rb"[\d.]+", data))
        if numbers and chance.random() < 0.5:
            spot = chance.choice(numbers)
            data = data[: spot.start()] + piece + data[spot.end() :]
    return data


@pytest.mark.parametrize("name", SAMPLES)
@settings(
    max_examples=334,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
def test_a_damaged_file_ends_in_problems_or_a_sentence(tmp_path, name, seed):
    chance = random.Random(seed)
    file, samples = SAMPLES[name]
    text = chance.choice(samples)
    if file == "a.json" and chance.random() < 0.75:
        data = json.dumps(damaged_value(json.loads(text), chance)).encode()
    else:
        data = damaged_text(text, chance)
    path = write(tmp_path, {file: data, "data.yaml": "names: [a, b]\n"}) / file
    if name == "yolo":
        path = tmp_path
    recognise(path)
    said, pictures = outcome(name, path)
    assert plain(said) == said
    for picture in pictures:
        for region in picture.regions:
            check(region.marker)
    annotate = FORMATS[name].annotate
    if annotate is not None and not said:
        annotate(path, lambda *key: f"{key} \x1b\ud800 & <b>", tmp_path / f"out{path.suffix}")
        again, _ = read(name, tmp_path / f"out{path.suffix}")
        markers = [[region.marker for region in picture.regions] for picture in pictures]
        assert [[region.marker for region in picture.regions] for picture in again] == markers


def outcome(name: str, path: Path) -> tuple[str, list[AnnotatedPicture]]:
    """The sentence that reading ends in, "" where it doesn't, and the pictures."""
    try:
        return "", read(name, path)[0]
    except UsageError as error:
        return str(error), []


def check(marker: str | Rle) -> None:
    """A marker is grammar; whether it is one of a picture, `parse` says later."""
    doubt = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VipWarning)
        try:
            if isinstance(marker, Rle):
                marker.mask(SIZE)
            else:
                parse(marker, SIZE)
        except MarkerError as error:
            doubt = str(error).partition(": ")[2]
    assert isinstance(marker, Rle) or not SYNTAX.search(doubt)


CONFIG = "path: .\ntrain: images\nval: [x.txt]\nnames:\n  0: a\n  1: b\nkpt_shape: [2, 3]\n"


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_a_damaged_data_yaml_ends_in_problems_or_a_sentence(tmp_path, seed):
    chance = random.Random(seed)
    files = {"data.yaml": damaged_text(CONFIG, chance), "x.txt": damaged_text("./images/a.jpg\n../b.jpg\n", chance)}
    write(tmp_path, {**files, "labels/a.txt": "0 0.5 0.5 0.2 0.4\n"})
    recognise(tmp_path)
    said, _ = outcome("yolo", tmp_path / "data.yaml")
    assert plain(said) == said
