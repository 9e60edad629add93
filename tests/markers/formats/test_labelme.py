"""LabelMe: its shapes, and its descriptions as the place for answers."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from markers.formats.samples import LABELME, SIZE, parsed, read, write

from vipcli.errors import UsageError
from vipcli.markers.formats import FORMATS


def test_what_labelme_saved(tmp_path):
    path = write(tmp_path, {"a.json": LABELME, "a.png": "-"}) / "a.json"
    (picture,), (problem,) = read("labelme", path)
    assert (picture.id, picture.path, picture.size) == ("a", str(tmp_path / "a.png"), SIZE)
    assert [(region.id, region.label, region.marker) for region in picture.regions[:-1]] == [
        ("1", "katze — 猫", "contour:2.5,3,20.25,4,12,25"),
        ("2", "box", "box:5,4,30,20"),
        ("3", "turned", "contour:10,5,20,10,15,20,5,15"),
        ("4", "ball", "ellipse:15,10,25,20"),
        ("5", "eye", "point:7,8"),
        ("6", "wire", "scribble:1,1,30,20"),
        ("7", "road", "scribble:1,1,10,9,30,20"),
    ]
    more = {"occluded": True, "blurry": False, "group_id": 3, "description": "by the door"}
    assert picture.regions[0].attributes == more
    tile = np.zeros((5, 7), bool)  # what the mask was made of
    tile[1:4, 2:6] = tile[0, 0] = True
    mask = parsed(picture.regions[-1]).bitmap
    assert (mask[2:7, 3:10] == tile).all()
    assert mask.sum() == tile.sum()
    assert problem.sentence == 'there is no marker for the shape "points"'
    for region in picture.regions:
        parsed(region)


def test_a_folder_is_read_file_by_file(tmp_path):
    write(tmp_path, {"sub/b.json": LABELME, "a.json": "[]", "c.json": '{"shapes": []}', "sub/a.png": "-"})
    (picture,), problems = read("labelme", tmp_path)
    assert (picture.id, picture.path) == ("sub/b", str(tmp_path / "sub/a.png"))
    assert [(problem.id, problem.sentence) for problem in problems[:2]] == [
        ("a", "it isn't LabelMe's: it has no list called 'shapes'"),
        ("c", "its imagePath must be the name of a picture, got nothing"),
    ]


def test_paths_of_windows_lead_somewhere_too(tmp_path):
    files = {"json/a.json": LABELME.replace('"a.png"', r'"..\\shots\\a.png"'), "shots/a.png": "-"}
    (picture,), _ = read("labelme", write(tmp_path, files) / "json/a.json")
    assert (tmp_path / "shots/a.png").samefile(picture.path)
    (picture,), _ = read("labelme", tmp_path / "json/a.json", tmp_path / "shots")
    assert (tmp_path / "shots/a.png").samefile(picture.path)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (7, "a shape must be an object, got 7"),
        ({}, "its points must be a list of [x, y] pairs, got nothing"),
        ({"points": [[1, 2, 3]]}, "a pair of its points must be a list of 2 numbers, got a list of 3"),
        ({"points": [[1, "2a"]]}, 'a pair of its points must be a number, got "2a"'),
        ({"points": [[1, 2], [3, 4]]}, "a polygon needs at least 3 points, got 2"),
        ({"points": [[1, 2]], "shape_type": "line"}, "a line needs at least 2 points, got 1"),
        ({"points": [[1, 2]], "shape_type": "circle"}, "a circle has 2 points, got 1"),
        ({"points": [[1, 2]], "shape_type": ["line"]}, "there is no marker for the shape a list of 1"),
        ({"points": [[1, 2]], "label": 3}, "its label must be a text, got 3"),
        ({"points": [[1, 2], [3, 4]], "shape_type": "mask"}, "its mask must be a PNG in base64, no larger than the"),
        ({"points": [[1, 2], [3, 4]], "shape_type": "mask", "mask": "iVBORw0KGgo="}, "its mask can't be read"),
    ],
)
def test_what_is_wrong_with_a_shape_is_a_problem(tmp_path, shape, said):
    content = {**json.loads(LABELME), "shapes": [shape]}
    (picture,), (problem,) = read("labelme", write(tmp_path, {"a.json": json.dumps(content)}) / "a.json")
    assert picture.regions == ()
    assert problem.sentence.startswith(said)
    assert (problem.id, problem.where) == ("a/shape 1", "a.json, shape 1")


def test_a_mask_larger_than_the_picture_is_not_decoded(tmp_path):
    content = json.loads(LABELME) | {"imageWidth": 6}
    _, problems = read("labelme", write(tmp_path, {"a.json": json.dumps(content)}) / "a.json")
    assert problems[-1].sentence == "its mask must be a PNG in base64, no larger than the picture"


def test_answers_end_the_descriptions(tmp_path):
    path = write(tmp_path, {"a.json": LABELME}) / "a.json"
    answers = {None: "three — 猫", "1": "a door", "2": "a box"}
    FORMATS["labelme"].annotate(path, lambda _, region: answers.get(region), tmp_path / "b.json")
    expected = json.loads(LABELME)
    expected["answer"] = "three — 猫"
    expected["shapes"][0]["description"] = "by the door\na door"
    expected["shapes"][1]["description"] = "a box"
    assert (tmp_path / "b.json").read_text() == json.dumps(expected, ensure_ascii=False, indent=2), "as LabelMe writes"


def test_a_folder_is_copied_into_a_new_one(tmp_path):
    source = write(tmp_path / "in", {"sub/a.json": LABELME, "b.json": "{", "sub/a.png": "-"})
    FORMATS["labelme"].annotate(source, lambda picture, region: f"{picture} {region}", source / "out")
    assert sorted(str(file.relative_to(source / "out")) for file in (source / "out").rglob("*.*")) == [
        "b.json",
        "sub/a.json",
    ]
    assert json.loads((source / "out/sub/a.json").read_text())["shapes"][1]["description"] == "sub/a 2"


def test_what_is_no_labelme_file_is_said_in_a_sentence(tmp_path):
    path = write(tmp_path, {"a.json": "[]"}) / "a.json"
    said = f"{path}: isn't LabelMe's: it has no list called 'shapes'"
    with pytest.raises(UsageError, match=re.escape(said)):
        list(FORMATS["labelme"].read(path, None))
    with pytest.raises(UsageError, match=re.escape(said)):
        FORMATS["labelme"].annotate(path, lambda *_: None, tmp_path / "b.json")
