"""Label Studio: its regions, its addresses, and its meta text as the place for answers."""

from __future__ import annotations

import json

import pytest
from markers.formats.samples import BRUSH, LABEL_STUDIO, parsed, read, write

from vipcli.errors import UsageError
from vipcli.markers.formats import FORMATS


def export(folder, *results, **task):
    """A file of one task with one annotation."""
    value = {"id": 1, "annotations": [{"result": list(results)}], "data": {"image": "a.jpg"}, **task}
    return write(folder, {"a.json": json.dumps([value])}) / "a.json"


def test_an_export(tmp_path):
    path = write(tmp_path, {"a.json": LABEL_STUDIO, "a.jpg": "-", "shots/b.jpg": "-"}) / "a.json"
    (first, second), problems = read("label-studio", path)
    assert not problems
    assert (first.id, first.path, first.size) == ("12", str(tmp_path / "a.jpg"), (40, 30))
    assert [(region.id, region.marker) for region in first.regions[:-1]] == [
        ("aB1", "box:25%,10%,75%,30%"),
        ("turned", "contour:50%,20%,50%,53.333333%,42.5%,53.333333%,42.5%,20%"),
        ("oval", "ellipse:40%,30%,60%,70%"),
        ("poly", "contour:2%,2%,30.5%,4%,10%,40%"),
        ("key", "point:12.5%,40%"),
        ("way", "scribble:1%,2%,30%,40%"),
    ]
    plate, leaning = first.regions[:2]
    assert (plate.label, plate.attributes) == ("Plate — 板", {"state": "worn, old", "reads": "B 42"})
    assert leaning.attributes == {"text": "leans"}
    assert (parsed(first.regions[-1], (8, 6)).bitmap == BRUSH).all()
    assert (second.id, second.path) == ("13", str(tmp_path / "shots/b.jpg"))
    assert [(region.label, region.attributes) for region in second.regions] == [("guess", {"score": 0.5})]
    for region in (*first.regions[:-1], *second.regions):
        parsed(region)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("/data/upload/3/0a1b2c3d-a%20b.jpg", "0a1b2c3d-a b.jpg"),
        ("/data/upload/3/0a1b2c3d-a.jpg", "a.jpg"),
        ("/data/upload/3/0a1b2c3d-a.jpg", "images/0a1b2c3d-a.jpg"),
        ("/data/upload/3/0a1b2c3d-a.jpg", "upload/3/0a1b2c3d-a.jpg"),
        ("/data/local-files/?d=x/a.jpg", "x/a.jpg"),
        ("/data/local-files/?d=x/a.jpg", "a.jpg"),
        ("https://host/x/a.jpg?size=3", "a.jpg"),
        ("s3://bucket/x/a.jpg", "a.jpg"),
        ("a.jpg", "images/a.jpg"),
    ],
)
def test_addresses_lead_to_the_pictures_that_are_here(tmp_path, address, place):
    path = write(export(tmp_path, data={"image": address}).parent, {place: "-"}) / "a.json"
    (picture,), _ = read("label-studio", path)
    assert picture.path == str(tmp_path / place)


def test_an_address_without_a_picture_here_stays_one(tmp_path):
    for address in ("https://host/x/a.jpg?size=3", "s3://bucket/a.jpg"):
        assert read("label-studio", export(tmp_path, data={"image": address}))[0][0].path == address
    (picture,), _ = read("label-studio", export(tmp_path, data={"page": "/data/upload/3/0a1b2c3d-a.jpg"}))
    assert picture.path == str(tmp_path / "a.jpg")


BOX = {"x": 1, "y": 2, "width": 3, "height": 4}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"type": "rectangle"}, "its value must be an object, got nothing"),
        ({"type": "rectangle", "value": {**BOX, "x": "a"}}, 'its x must be a number, got "a"'),
        ({"type": "rectangle", "value": {**BOX, "rotation": 5}}, "it is turned, and its original_width and original_h"),
        ({"type": "ellipse", "value": BOX}, "its radiusX must be a number, got nothing"),
        ({"type": "polygon", "value": {"points": [[1, 2]]}}, "a polygon needs at least 3 points, got 1"),
        ({"type": "vector", "value": {"vertices": [3]}}, "its vertices must be a list of objects, got a list of 1"),
        ({"type": "brush", "value": {"rle": [1]}}, "its brush needs the original_width and original_height of the"),
        ({"type": "brush", "value": {"rle": [300]}, "original_width": 8, "original_height": 6}, "the brush must be"),
        ({"type": "brush", "value": {}, "original_width": 8, "original_height": 6}, "its rle must be a list of bytes,"),
        ({"type": "bitmask", "value": {"imageDataURL": ""}}, "there is no marker for a bitmask"),
    ],
)
def test_what_is_wrong_with_a_region_is_a_problem(tmp_path, result, said):
    (picture,), (problem,) = read("label-studio", export(tmp_path, {"id": "r", **result}))
    assert picture.regions == ()
    assert problem.sentence.startswith(said)
    assert (problem.id, problem.where) == ("1/region 1", "a.json, task 1, region 1 (id r)")


def test_what_is_no_task_is_a_problem(tmp_path):
    image = {"image": "a.jpg"}
    tasks = [3, {"id": 1, "data": {"text": "no picture"}}, {"id": 1, "data": image}, {"data": image}]
    (picture,), problems = read("label-studio", write(tmp_path, {"a.json": json.dumps(tasks)}) / "a.json")
    assert (picture.id, picture.regions) == ("#4", ())
    assert [problem.sentence for problem in problems] == [
        "a task must be an object, got 3",
        "its data names no picture",
        "its id 1 is task 2's already",
    ]


def test_a_region_in_two_annotations_is_two(tmp_path):
    result = {"id": "r", "type": "rectangle", "value": BOX}
    path = export(tmp_path, annotations=[{"result": [result]}, {"result": [result]}])
    (picture,), problems = read("label-studio", path)
    assert not problems
    assert [region.id for region in picture.regions] == ["r", "2:r"]


def test_what_is_no_export_is_said_in_a_sentence(tmp_path):
    path = write(tmp_path, {"a.json": "{}"}) / "a.json"
    with pytest.raises(UsageError) as error:
        list(FORMATS["label-studio"].read(path, None))
    assert str(error.value) == f"{path}: isn't Label Studio's JSON export: it must be a list of tasks, got an object"


def test_answers_end_the_meta_text(tmp_path):
    path = write(tmp_path, {"a.json": LABEL_STUDIO}) / "a.json"
    answers = {("12", "aB1"): "a plate — 板", ("12", "turned"): "yes", ("13", None): "whole", ("13", "p"): "p"}
    FORMATS["label-studio"].annotate(path, lambda *key: answers.get(key), tmp_path / "b.json")
    expected = json.loads(LABEL_STUDIO)
    results = expected[0]["annotations"][0]["result"]
    results[0]["meta"] = {"text": ["a plate — 板"]}
    results[3]["meta"] = {"text": ["leans\nyes"]}
    expected[1]["data"]["answer"] = "whole"
    expected[1]["predictions"][0]["result"][0]["meta"] = {"text": ["p"]}
    assert (tmp_path / "b.json").read_text() == json.dumps(expected, ensure_ascii=False)
