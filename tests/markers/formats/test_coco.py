"""COCO: which marker an annotation becomes, where its picture is looked for, and where answers go."""

from __future__ import annotations

import json

import pytest
from markers.formats.samples import COCO_INSTANCES, one, parsed, read, write

from vipcli.errors import UsageError
from vipcli.markers.formats import FORMATS, Rle


def coco(folder, annotation=None, name="a.json", **more):
    """A file of one picture with one annotation."""
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], **(annotation or {})}],
        "categories": [{"id": 2, "name": "cat"}],
        **more,
    }
    return write(folder, {name: json.dumps(content)}) / name


def test_datumaros_export(tmp_path):
    path = write(tmp_path, {"annotations/instances_val.json": COCO_INSTANCES, "images/val/a.jpg": "-"})
    (first, second), problems = read("coco", path / "annotations/instances_val.json")
    assert not problems
    assert (first.id, first.size, first.where) == ("1", (40, 30), "instances_val.json, image 1")
    assert first.path == str(tmp_path / "images/val/a.jpg")
    assert [region.marker for region in first.regions] == ["box:3.5,4,13.5,16.25", "box:20,5,30,20", "box:10,5,20,9"]
    assert [region.label for region in first.regions] == ["cat", "dog — 犬", "dog — 犬"]
    attributes = {"supercategory": "animal", "area": 122.5, "iscrowd": 0, "occluded": True, "colour": "grün & gold"}
    assert first.regions[0].attributes == attributes
    assert (second.id, second.regions) == ("2", ())
    for region in first.regions:
        parsed(region)


def test_without_a_bbox_the_segmentation_is_the_marker(tmp_path):
    polygon, other = [1, 1, 9, 1, 9, 9, 1, 9], [20, 1, 29, 1, 29, 9, 20, 9]
    runs = {"size": [30, 40], "counts": [305, 4, 891]}
    compressed = {"size": [30, 40], "counts": "a94kk0"}
    for segmentation, marker in (
        ([polygon], "contour:1,1,9,1,9,9,1,9"),
        (runs, Rle((30, 40), (305, 4, 891))),
        (compressed, Rle((30, 40), "a94kk0")),
    ):
        path = coco(tmp_path, {"bbox": None, "segmentation": segmentation})
        assert one("coco", path).regions[0].marker == marker
    region = one("coco", coco(tmp_path, {"bbox": [], "segmentation": [polygon, other]})).regions[0]
    mask = region.marker.mask((40, 30)).bitmap
    assert mask[5, 5]
    assert mask[5, 25]
    assert not mask[5, 15]


@pytest.mark.parametrize(
    "place", ["a.jpg", "images/a.jpg", "../val2017/a.jpg", "../images/val2017/a.jpg", "../images/a.jpg", "../a.jpg"]
)
def test_pictures_are_found_in_the_usual_places(tmp_path, place):
    path = coco(tmp_path / "annotations", name="instances_val2017.json")
    write(path.parent, {place: "-"})
    assert (path.parent / place).samefile(one("coco", path).path)


def test_a_given_folder_of_pictures_is_the_only_place(tmp_path):
    path = coco(tmp_path, images=[{"id": 1, "file_name": "train\\a.jpg"}])
    write(tmp_path, {"a.jpg": "-", "shots/a.jpg": "-"})
    assert one("coco", path, tmp_path / "shots").path == str(tmp_path / "shots/a.jpg")
    assert one("coco", path, tmp_path / "none").path == str(tmp_path / "none/train/a.jpg"), "that is no problem here"
    assert one("coco", path).path == str(tmp_path / "train/a.jpg")


def test_an_address_stays_one(tmp_path):
    path = coco(tmp_path, images=[{"id": "x", "file_name": "http://host/a.jpg"}], annotations=[])
    assert one("coco", path).path == "http://host/a.jpg"


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ({"bbox": [1, 2, 3]}, "its bbox must be a list of 4 numbers, got a list of 3"),
        ({"bbox": [1, 2, 3, "4 px"]}, 'its bbox must be a number, got "4 px"'),
        ({"bbox": [1, 2, 3, None]}, "its bbox must be a number, got nothing"),
        ({"bbox": [1, 2, 3, float("nan")]}, "its bbox must be a number, got NaN"),
        ({"bbox": [1, 2, 3, 10**400]}, "its bbox must be a number, got a huge number"),
        ({"bbox": [1, 2, 3, True]}, "its bbox must be a number, got true"),
        ({"bbox": None}, "it has neither a bbox nor a segmentation"),
        (
            {"bbox": None, "keypoints": [1, 2, 2]},
            "it has keypoints alone, for which there is no marker",
        ),
        ({"bbox": None, "segmentation": [[1, 2, 3]]}, "a polygon of its segmentation has 3 numbers, which is odd"),
        ({"bbox": None, "segmentation": [[1, 2, 3, 4]]}, "a polygon needs at least 3 points, got 2"),
        (
            {"bbox": None, "segmentation": {"size": [3, 4]}},
            "the counts of its mask must be a text or a list of",
        ),
        ({"category_id": 9}, "its category_id 9 is none of the categories'"),
        ({"category_id": [2]}, "its category_id a list of 1 is none of the categories'"),
    ],
)
def test_what_is_wrong_with_an_annotation_is_a_problem(tmp_path, annotation, said):
    (picture,), (problem,) = read("coco", coco(tmp_path, annotation))
    assert picture.regions == ()
    assert problem.sentence.startswith(said)
    assert problem.where == "a.json, annotation 1 (id 5)"


def test_what_belongs_nowhere_is_a_problem(tmp_path):
    image = {"id": 1, "file_name": "a.jpg"}
    box = {"image_id": 1, "id": 5, "bbox": [1, 2, 3, 4]}
    path = coco(
        tmp_path,
        images=[image, image, "b.jpg", {"id": 2}, {"file_name": "c.jpg"}],
        annotations=[box, box, {**box, "image_id": 3}, {**box, "image_id": {}}, 7, {**box, "id": None}],
    )
    (picture,), problems = read("coco", path)
    assert [region.id for region in picture.regions] == ["5", "#6"]
    assert [problem.sentence for problem in problems] == [
        "its id 1 is image 1's already",
        'an image must be an object, got "b.jpg"',
        "its file_name must be the name of a picture, got nothing",
        "its id must be a number, got nothing",
        "its id 5 is annotation 1's already",
        "its image_id 3 is none of the images'",
        "its image_id an object is none of the images'",
        "an annotation must be an object, got 7",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("{", "isn't whole JSON: expecting property name enclosed in double quotes in line 1, column 2"),
        ("[]", "isn't COCO: it has no list called 'images'"),
        ('{"images": []}', "isn't COCO: it has no list called 'annotations'"),
        ('{"images": [], "annotations": [], "categories": 3}', "isn't COCO: its categories are 3"),
        (b'{"images": "\xff"}', "isn't UTF-8 text: byte 12 can't be read"),
        ("[" * 100_000, "is nested too deeply to be annotations"),
        ('{"images": [' + "9" * 5000 + "]}", "isn't usable JSON: it holds a number of thousands of digits"),
    ],
)
def test_what_is_no_coco_file_is_said_in_a_sentence(tmp_path, content, said):
    path = write(tmp_path, {"a.json": content}) / "a.json"
    with pytest.raises(UsageError) as error:
        list(FORMATS["coco"].read(path, None))
    assert str(error.value) == f"{path}: {said}"


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(UsageError, match="can't be read: No such file"):
        list(FORMATS["coco"].read(tmp_path / "none.json", None))


def test_answers_go_to_the_annotations_and_the_image(tmp_path):
    path = write(tmp_path, {"a.json": COCO_INSTANCES}) / "a.json"
    answers = {("1", None): "two — 猫", ("1", "1"): "a cat", ("1", "3"): "\x1b[2J \ud800"}
    FORMATS["coco"].annotate(path, lambda picture, region: answers.get((picture, region)), tmp_path / "b.json")
    expected = json.loads(COCO_INSTANCES)
    expected["images"][0]["answer"] = "two — 猫"
    expected["annotations"][0]["attributes"]["answer"] = "a cat"
    expected["annotations"][2]["attributes"] = {"answer": "\x1b[2J \ud800"}
    assert (tmp_path / "b.json").read_text() == json.dumps(expected), "a half pair needs escapes"
    del answers["1", "3"], expected["annotations"][2]["attributes"]
    FORMATS["coco"].annotate(path, lambda picture, region: answers.get((picture, region)), tmp_path / "b.json")
    assert (tmp_path / "b.json").read_text() == json.dumps(expected, ensure_ascii=False)


def test_a_file_never_takes_its_own_place(tmp_path):
    path = coco(tmp_path)
    with pytest.raises(UsageError, match="is the annotation file itself; give the copy another name"):
        FORMATS["coco"].annotate(path, lambda *_: "x", path)
