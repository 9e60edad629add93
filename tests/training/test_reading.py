"""A ``[[data]]`` becomes sources, and everything bad in it is said before any training."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markers.formats.samples import COCO_INSTANCES, write
from PIL import Image, features

from vipcli.errors import PictureError, UsageError
from vipcli.markers import Box, Point
from vipcli.markers.formats.rle import from_polygons
from vipcli.training.reading import read_sources, upright_size
from vipcli.training.regions import Bad, Regions
from vipcli.training.settings import Data

TALK = [{"from": "human", "value": "What is <bbox0>?"}, {"from": "gpt", "value": "A cat."}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the pictures a.png (40 x 30) and b.jpg (30 x 40, turned by its EXIF)."""
    Image.new("RGB", (40, 30), (90, 90, 90)).save(tmp_path / "a.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (40, 30), (90, 90, 90)).save(tmp_path / "b.jpg", exif=turned)
    return tmp_path


def instruct(
    folder: Path, *rows: dict[str, Any], held_out: float = 0.0, **more: Any
) -> tuple[Regions, Regions | None, list[Bad]]:
    rows = tuple({"image": "a.png", "bboxes": [[5, 5, 20, 20]], "conversations": TALK, **row} for row in rows)
    write(folder, {"s.json": json.dumps(rows)})
    return read_sources(Data("s.json", held_out=held_out, **more), 32, folder)


def jsonl(folder: Path, *rows: dict[str, Any]) -> tuple[Regions, Regions | None, list[Bad]]:
    write(
        folder,
        {
            "s.jsonl": "\n".join(
                json.dumps({"image": "a.png", "question": "What?", "answer": "That.", **row}) for row in rows
            )
        },
    )
    return read_sources(Data("s.jsonl", held_out=0), 32, folder)


def learnt(source: Regions, entry: int = 0, seed: int = 0) -> list[str]:
    sample = source.sample(entry, np.random.default_rng(seed))
    return [f"{turn.question} {turn.answer}" for turns in sample.conversations for turn in turns]


# What is read as what


def test_a_json_list_is_read_as_the_instruct_format(folder):
    source, held, bad = instruct(folder, {}, {"image": "b.jpg"}, weight=2.0)
    assert (source.count, source.weight, source.side, held, bad) == (2, 2.0, 32, None, [])
    assert learnt(source)[0].startswith("What is the object ")


def test_instruct_lists_are_told_from_others_even_where_they_begin_without_boxes(folder):
    write(
        folder,
        {
            "s.json": json.dumps(
                [
                    {"id": "x" * 70_000},
                    {"conversations": TALK[:0]},
                    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
                ]
            )
        },
    )
    source, _, bad = read_sources(Data("s.json"), 32, folder)
    assert source.count == 1
    assert len(bad) == 2


def test_json_lines_are_read_with_pictures_beside_them_or_where_images_says(folder):
    source, _, bad = jsonl(folder, {"markers": ["cat=5,5,20,20"], "question": "Is @cat grey?"})
    assert not bad
    assert learnt(source)[0].startswith("Is the cat ")
    (folder / "sets").mkdir()
    os.rename(folder / "s.jsonl", folder / "sets/s.jsonl")
    source, _, bad = read_sources(Data("sets/s.jsonl", images="."), 32, folder)
    assert (source.count, bad) == (1, [])


def test_annotations_are_read_in_any_format_with_templates(folder):
    Image.new("RGB", (40, 30)).save(folder / "a.jpg")
    write(folder, {"c.json": COCO_INSTANCES})
    source, _, bad = read_sources(Data("c.json", question="Name {it}", answer="a {label}", regions=2), 32, folder)
    assert bad == []
    assert source.count == 1
    seen = [learnt(source, seed=seed) for seed in range(30)]
    assert {len(texts) for texts in seen} == {1, 2}
    assert {text.split()[-1] for texts in seen for text in texts} == {"cat", "犬"}


def test_only_the_wanted_markers_are_drawn(folder):
    source, _, _ = instruct(folder, {}, markers=("point", "box"))
    assert source.kinds == (Point, Box)
    assert {"point" in text or "rectangle" in text for seed in range(20) for text in learnt(source, seed=seed)} == {
        True
    }


# What is bad


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image": "gone.png"}, "its picture can't be opened: {folder}/gone.png: no such file"),
        ({"image": "s.json"}, "its picture can't be opened: {folder}/s.json: "),
        ({"image": "."}, "its picture can't be opened: {folder}/.: "),
        ({"image": None}, "it has 1 regions and no image"),
        ({"bboxes": [[5, 5, 5, 20]]}, "region 0: its box 5,5,5,20 is empty: it is less than a pixel wide or high"),
        ({"bboxes": [[0.1, 0.1, 0.5, 0.6]]}, "numbers are pixels, not shares"),
        ({"bboxes": [[20, 5, 5, 20]]}, "region 0: its box 20,5,5,20 has swapped corners"),
        ({"bboxes": [[5, 5, 80, 20]]}, "region 0: its box 5,5,80,20 lies outside the picture, which is 40 x 30 pixels"),
        ({"bboxes": [[-9, 5, 8, 20]]}, "region 0: its box -9,5,8,20 lies outside the picture"),
        ({"bboxes": [[39.5, 5, 41, 20]]}, "lies outside the picture"),
        ({"segmentations": [[[30, 5, 35, 5, 35, 9]]]}, "its box 5,5,20,20 and its segmentation don't overlap"),
        (
            {"segmentations": [[[5, 5, 20, 5, 3e9, 20]]]},
            "region 0: its segmentation has a corner at 3e+09,20, far outside the picture",
        ),
        (
            {"segmentations": [{"size": [9, 9], "counts": [0, 81]}]},
            "region 0: the mask is 9 x 9 pixels and the picture",
        ),
        ({"bboxes": []}, "its text names <bbox0>, which is no region: it has none"),
        (
            {"conversations": [TALK[0], {"from": "gpt", "value": "<bbox3>"}]},
            "its text names <bbox3>, which is no region: the last of its 1 is <bbox0>",
        ),
        ({"conversations": TALK[:1]}, "its last question has no answer"),
        ({"bboxes": [[1, 2, 3, 4]], "segmentations": []}, "it has 1 boxes and 0 segmentations"),
    ],
)
def test_what_is_bad_is_said_with_its_place_and_the_rest_is_learnt(folder, change, sentence):
    source, _, bad = instruct(folder, {}, {"id": "x", **change}, {})
    (one,) = bad
    assert one.where == "s.json, entry 2 (id 'x')"
    assert sentence.format(folder=folder) in one.sentence
    assert "\n" not in one.sentence
    assert source.count == 2


def test_a_box_may_stick_out_by_rounding(folder):
    source, _, bad = instruct(folder, {"bboxes": [[-1, 5, 41.5, 31]]})
    assert not bad
    assert learnt(source)


@pytest.mark.parametrize(
    ("markers", "sentence"),
    [
        (["50,50,60,60"], "marker 50,50,60,60: it lies outside the picture, which is 40 x 30 pixels"),
        (["point:50,50"], "marker point:50,50: it lies outside the picture"),
        (["boxx:1,2"], "there is no shape 'boxx'"),
        (["1,2,3"], "a box needs 4 numbers"),
        (["mask:gone.png"], "the mask can't be read: gone.png: no such file"),
    ],
)
def test_markers_that_cant_be_are_said(folder, markers, sentence):
    source, _, bad = jsonl(
        folder, {}, {"markers": markers}, {"markers": ["10%,10%,50%,50%", "point:5,5", "scribble:1,1,9,9"]}
    )
    (one,) = bad
    assert one.where == "s.jsonl, line 2"
    assert one.sentence.startswith("region 0: ")
    assert sentence in one.sentence
    assert source.count == 2
    assert source.entries[1].regions[0].box == (4, 3, 20, 15)


def test_annotations_for_another_size_are_said_and_exif_is_heeded(folder):
    assert upright_size(str(folder / "b.jpg")) == (30, 40)
    content = json.loads(COCO_INSTANCES)
    for image, name in zip(content["images"], ("b.jpg", "a.png"), strict=True):
        image["file_name"] = name
    write(folder, {"c.json": json.dumps(content)})
    with pytest.raises(
        UsageError, match=r"has nothing to learn from: c.json, image 1: its picture is 30 x 40 pixels, perhaps turned"
    ):
        read_sources(Data("c.json"), 32, folder)
    content["annotations"][1]["image_id"] = 2
    write(folder, {"c.json": json.dumps(content)})
    source, _, bad = read_sources(Data("c.json"), 32, folder)
    assert source.count == 1
    (one,) = bad
    assert one.sentence.endswith("and the annotations are for 40 x 30")


def test_one_bad_region_of_an_annotated_picture_leaves_the_others(folder):
    content = json.loads(COCO_INSTANCES)
    content["images"][0]["file_name"] = "a.png"
    content["annotations"][0]["bbox"] = [3, 4, 0.2, 9]
    content["annotations"][1] |= {"bbox": None, "segmentation": {"size": [9, 9], "counts": [0, 81]}}
    content["categories"][1]["name"] = "dog"
    write(folder, {"c.json": json.dumps(content)})
    source, _, bad = read_sources(Data("c.json"), 32, folder)
    assert [one.where for one in bad] == ["c.json, image 1, region 1", "c.json, image 1, region 2"]
    assert "is empty" in bad[0].sentence
    assert "they must be the same size" in bad[1].sentence
    assert learnt(source)[0].endswith("dog")


def test_a_label_that_looks_like_a_placeholder_is_said(folder):
    content = json.loads(COCO_INSTANCES)
    content["images"][0]["file_name"] = "a.png"
    content["categories"][0]["name"] = "<bbox2>"
    write(folder, {"c.json": json.dumps(content)})
    _, _, (one,) = read_sources(Data("c.json"), 32, folder)
    assert one.sentence == "its text names <bbox2>, which is no region: the last of its 1 is <bbox0>"


def test_outlines_are_needed_where_only_contours_and_masks_are_wanted(folder):
    outlined = {"segmentations": [[[5, 5, 20, 5, 20, 20]]]}
    source, _, (one,) = instruct(folder, outlined, {}, markers=("contour", "mask"))
    assert one.sentence == "region 0: only its box is known, and the markers contour and mask need an outline"
    assert {"mask" in text for seed in range(20) for text in learnt(source, seed=seed)} == {True}


def test_run_lengths_are_learnt_from(folder):
    rle = from_polygons([[(5, 5), (20, 5), (20, 20)]], (40, 30))
    source, _, bad = instruct(folder, {"segmentations": [{"size": list(rle.size), "counts": list(rle.counts)}]})
    assert not bad
    assert any("mask" in learnt(source, seed=seed)[0] for seed in range(40))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (Data("gone.json"), "there is no .*gone.json: source is scenes, a file or a folder of annotations"),
        (Data("s.json", images="gone"), "there is no folder .*gone for its images"),
        (Data("s.json", markers=("tag",)), "there is no marker 'tag'; use box, ellipse, point"),
        (Data("s.json", question="{label}?"), "s.json: question is for annotations, and this file says itself what is"),
        (Data("s.jsonl", regions=2), "s.jsonl: regions is for annotations"),
        (Data("a.png"), "is nothing that vip can train on"),
        (Data("."), "is nothing that vip can train on"),
        (Data("broken.json"), "broken.json: isn't whole JSON"),
        (Data("empty.json"), "empty.json has nothing to learn from$"),
        (Data("bad.json"), "has nothing to learn from: bad.json, entry 1: it has no conversations"),
    ],
)
def test_what_cant_be_read_at_all_is_an_error(folder, data, sentence):
    write(
        folder,
        {
            "s.json": json.dumps([{"conversations": TALK}]),
            "s.jsonl": "{}",
            "broken.json": "[{",
            "empty.json": "[]",
            "bad.json": "[{}]",
        },
    )
    with pytest.raises(UsageError, match=sentence):
        read_sources(data, 32, folder)


# Held out


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
    write(folder, {"s.json": json.dumps([{"image": "a.png", "bboxes": [[5, 5, 20, 20]], "conversations": TALK}])})
    monkeypatch.setenv("HOME", str(folder))
    source, _, _ = read_sources(Data("~/s.json", images="~", held_out=0), 32, folder / "elsewhere")
    assert source.count == 1


def test_held_out_entries_depend_on_their_ids_alone(folder):
    rows = [{"id": f"n{i}"} for i in range(400)]
    train, held, _ = instruct(folder, *rows, held_out=0.1)
    assert held is not None
    first = {entry.id for entry in held.entries}
    assert 20 < len(first) < 60
    assert first.isdisjoint(entry.id for entry in train.entries)
    assert train.count + held.count == 400
    train, held, _ = instruct(folder, *rows[::-1][:200], held_out=0.1)
    assert {entry.id for entry in held.entries} == first & {row["id"] for row in rows[::-1][:200]}
    assert instruct(folder, *rows, held_out=0.0)[1] is None


def test_there_is_always_something_to_train_on(folder):
    train, held, _ = instruct(folder, {"id": "a"}, held_out=0.999999)
    assert (train.count, held) == (1, None)


# Sizes


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.gif", "x.webp", "x.bmp", "x.tiff", "x.ppm", "x.ico", "x.avif"])
@pytest.mark.parametrize("turn", [None, 3, 6])
def test_headers_say_what_the_opened_picture_is(tmp_path, name, turn):
    from vipcli.images import open_picture

    path = str(tmp_path / name)
    if name == "x.avif" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    exif = Image.Exif()
    if turn is not None:
        exif[0x0112] = turn
    Image.new("RGB", (48, 32), (9, 9, 9)).save(path, exif=exif)
    height, width = open_picture(path).shape[:2]
    assert upright_size(path) == (width, height)


def test_what_is_no_picture_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for name, content in (
        ("text.png", b"hello"),
        ("empty.png", b""),
        ("eps.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PictureError):
            upright_size(str(tmp_path / name))
    with pytest.raises(PictureError, match="pipe"):
        upright_size(str(tmp_path / "pipe.png"))


def test_thousands_of_entries_are_checked_in_a_moment(folder):
    data = (folder / "a.png").read_bytes()
    write(folder, {f"many/{i}.png": data for i in range(1000)})
    began = time.monotonic()
    source, _, bad = instruct(folder, *({"id": str(i), "image": f"many/{i % 1000}.png"} for i in range(5000)))
    assert (source.count, bad) == (5000, [])
    assert time.monotonic() - began < 20
