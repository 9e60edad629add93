"""YOLO: what a line is, and how datasets are laid out."""

from __future__ import annotations

import pytest
from markers.formats.samples import YOLO_DATUMARO, one, read, write

from vipcli.errors import UsageError
from vipcli.markers.formats import FORMATS, recognise

BOX = "0 0.5 0.5 0.2 0.4"


def test_datumaros_export(tmp_path):
    root = write(tmp_path, YOLO_DATUMARO)
    for path in (root, root / "data.yaml"):
        (first, second), problems = read("yolo", path)
        assert not problems
        assert (first.id, first.path, first.size) == ("labels/train/a", str(root / "images/train/a.jpg"), None)
        assert [(each.id, each.marker, each.label, each.attributes) for each in second.regions] == [
            ("1", "box:2.5%,6.66665%,77.5%,73.33335%", "dog — 犬", {"class": 1})
        ]


@pytest.mark.parametrize(
    ("line", "marker", "more"),
    [
        (BOX, "box:40%,30%,60%,70%", {}),
        (f"{BOX} 0.875", "box:40%,30%,60%,70%", {"confidence": 0.875}),
        ("0\t0.1 0.1 .5 0.1 5e-1 1", "contour:10%,10%,50%,10%,50%,100%", {}),
        ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5", "contour:10%,10%,50%,10%,50%,50%,10%,50%", {}),
    ],
)
def test_a_line_is_a_box_a_polygon_or_an_oriented_box(tmp_path, line, marker, more):
    (region,) = one("yolo", write(tmp_path, {"a.txt": line, "a.png": "-"})).regions
    assert (region.marker, region.label, region.attributes) == (marker, None, {"class": 0, **more})


def test_of_a_pose_the_box_is_taken(tmp_path):
    pose = f"{BOX} 0.1 0.2 2 0.3 0.4 1"
    config = "train: images\nnames: [person]\nkpt_shape: [2, 3]\n"
    write(tmp_path, {"data.yaml": config, "labels/a.txt": f"{pose}\n{BOX} 0.1 0.2", "images/a.webp": "-"})
    (picture,), (problem,) = read("yolo", tmp_path)
    assert [region.marker for region in picture.regions] == ["box:40%,30%,60%,70%"]
    assert problem.sentence == "a pose has 10 numbers behind its class, got 6"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "0 1 1 1",
            "4 numbers behind the class are a box and an even count from 6 on a polygon, got 3; for",
        ),
        ("0 1 1 1 1 1 1 1", "4 numbers behind the class are a box"),
        ("cat 1 1 1 1", 'its class must be a number, got "cat"'),
        ("-1 1 1 1 1", "its class must be a whole number, 0 or more, got -1"),
        ("2 1 1 1 1", "its class 2 has no name; there are 2"),
        ("0 1 1 nan 1", 'a coordinate must be a number, got "nan"'),
        ("0 1 1 1_0 1", 'a coordinate must be a number, got "1_0"'),
        ("0 1 1 ١ 1", 'a coordinate must be a number, got "١"'),
    ],
)
def test_what_is_wrong_with_a_line_is_a_problem(tmp_path, line, said):
    write(tmp_path, {"labels/a.txt": f"{BOX}\n\n{line}\n", "classes.txt": "cat\ndog\n"})
    (picture,), (problem,) = read("yolo", tmp_path)
    assert [region.label for region in picture.regions] == ["cat"]
    assert problem.sentence.startswith(said)
    assert problem.where == "labels/a.txt, line 3"


@pytest.mark.parametrize(
    ("files", "start"),
    [
        (("images/a.jpg", "labels/a.txt"), "."),
        (("images/train/a.jpg", "labels/train/a.txt"), "."),
        (("images/train/a.jpg", "labels/train/a.txt"), "labels"),
        (("images/train/a.jpg", "labels/train/a.txt"), "labels/train"),
        (("train/images/a.jpg", "train/labels/a.txt"), "train"),
        (("a.jpg", "a.txt"), "."),
        (("images/a.jpg", "images/a.txt"), "images"),
    ],
)
def test_pictures_are_found_beside_the_labels_or_in_images(tmp_path, files, start):
    write(tmp_path, {files[0]: "-", files[1]: BOX})
    assert recognise(tmp_path / start) is FORMATS["yolo"]
    picture = one("yolo", tmp_path / start)
    assert (tmp_path / files[0]).samefile(picture.path)


def test_roboflows_paths_lead_into_the_folder(tmp_path):
    write(tmp_path, {"data.yaml": "train: ../train/images\nnames: ['cat']\n", "train/labels/a.txt": BOX})
    picture = one("yolo", tmp_path)
    assert picture.path == str(tmp_path / "train/images/a.jpg"), "no problem here, though it isn't there"
    assert picture.regions[0].label == "cat"


def test_darknets_layout(tmp_path):
    files = {"obj.names": "cat\n", "obj.data": "classes = 1\n", "train.txt": "data/obj_train_data/a.jpg\n"}
    write(tmp_path, {**files, "obj_train_data/a.txt": BOX, "obj_train_data/a.jpg": "-"})
    assert recognise(tmp_path) is FORMATS["yolo"]
    picture = one("yolo", tmp_path)
    assert (picture.id, picture.regions[0].label) == ("obj_train_data/a", "cat")


def test_a_given_folder_of_pictures_is_the_only_place(tmp_path):
    write(
        tmp_path, {"set/labels/train/a.txt": BOX, "set/images/train/a.jpg": "-", "shots/a.png": "-", "shots/b.png": "-"}
    )
    assert one("yolo", tmp_path / "set", tmp_path / "shots").path == str(tmp_path / "shots/a.png")


def test_a_picture_without_labels_shows_nothing_of_interest(tmp_path):
    write(tmp_path, {"images/a.jpg": "-", "images/b.jpg": "-", "labels/b.txt": "", "labels/c.txt": b"\xff\xfe\x00"})
    pictures, (problem,) = read("yolo", tmp_path)
    assert [(picture.id, picture.regions) for picture in pictures] == [("labels/a", ()), ("labels/b", ())]
    assert (problem.id, problem.sentence) == ("labels/c", "it can't be read as UTF-8 text")


def test_pictures_that_share_their_labels_are_two(tmp_path):
    write(tmp_path, {"a.jpg": "-", "a.png": "-", "a.txt": BOX})
    assert [picture.id for picture in read("yolo", tmp_path)[0]] == ["a", "a.png"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("a: b\nnames: ]", "isn't plain YAML: see line 2"),
        ("- a\n", "isn't a YOLO dataset: it has no names"),
        ("names: 3\n", "its names must be a list, or a number and a name in each line"),
        ("names: {a: b}\n", "its names must be a list"),
        ("names: [a]\nx: 2001-99-99\n", "isn't plain YAML"),
        ("names: " + "[" * 100_000, "isn't plain YAML"),
        ("names: !!python/object/apply:os.system ['true']\n", "isn't plain YAML"),
        ("names: &a [b]\nx: *a\n", "isn't plain YAML"),
        ("names: " + "[" * 9999 + "]" * 9999, "isn't plain YAML"),
        (b"\xff\xfe\x00", "isn't UTF-8 text"),
        ("train: none.txt\nnames: [a]\n", "none of its splits is there; the first would be"),
        ("path: ../gone\ntrain: images/train\nval: images/val\nnames: [a]\n", "none of its splits is there"),
    ],
)
def test_what_is_no_dataset_is_said_in_a_sentence(tmp_path, config, said):
    write(tmp_path, {"data.yaml": config})
    with pytest.raises(UsageError) as error:
        list(FORMATS["yolo"].read(tmp_path / "data.yaml", None))
    assert said in str(error.value)


def test_there_is_no_place_for_answers():
    assert FORMATS["yolo"].annotate is None
