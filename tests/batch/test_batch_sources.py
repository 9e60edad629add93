"""Folders, lists of pictures and annotations as sources."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from markers.formats.samples import (
    COCO_INSTANCES,
    CVAT_IMAGES,
    LABEL_STUDIO,
    LABELME,
    VOC_OBJECT,
    YOLO_DATUMARO,
    write,
)

from vipcli.batch.asking import Asking
from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.batch.sources import Source, open_source
from vipcli.errors import UsageError

WHAT = Asking("What?")


def ids(*names: str | Path, asking: Asking = WHAT, **more) -> list[str]:
    return [item.id for item in open_source([str(name) for name in names], asking, **more).items()]


def why(*names: str | Path, asking: Asking = WHAT, **more) -> str:
    with pytest.raises(UsageError) as caught:
        list(open_source([str(name) for name in names], asking, **more).items())
    assert "\x1b" not in str(caught.value)
    return str(caught.value)


def type_in(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.fixture
def photos(tmp_path) -> Path:
    names = "b.jpg a.PNG c.txt .hidden.jpg ._b.jpg deep/z.jpg deep/a_mask.png deep/er/y.webp .git/x.jpg also/x.jfif"
    return write(tmp_path / "photos", dict.fromkeys(names.split(), ""))


# Folders


def test_a_folder_gives_its_pictures_sorted_and_no_hidden_ones(photos):
    assert ids(photos) == ["a.PNG", "b.jpg"]
    (first, _) = open_source([str(photos)], WHAT).items()
    assert (first.image, first.question, first.markers) == (str(photos / "a.PNG"), "What?", ())


def test_recursive_goes_on_below_where_it_isnt_hidden(photos):
    found = ["a.PNG", "b.jpg", "also/x.jfif", "deep/a_mask.png", "deep/z.jpg", "deep/er/y.webp"]
    assert ids(photos, recursive=True) == found


@pytest.mark.parametrize(
    ("globs", "found"),
    [
        ({"include": ["*.jpg"]}, ["b.jpg", "deep/z.jpg"]),
        ({"include": ["*.jpg", "deep/*"]}, ["b.jpg", "deep/a_mask.png", "deep/z.jpg", "deep/er/y.webp"]),
        ({"exclude": ["*_mask.png", "also/*"]}, ["a.PNG", "b.jpg", "deep/z.jpg", "deep/er/y.webp"]),
        ({"include": ["deep/*"], "exclude": ["*/er/*", "a*"]}, ["deep/z.jpg"]),
        ({"include": ["["]}, []),
    ],
)
def test_globs_are_of_the_file_name_or_with_a_slash_of_the_path(photos, globs, found):
    assert ids(photos, recursive=True, **globs) == found


def test_links_to_pictures_count_and_links_to_folders_arent_followed(photos):
    (photos / "link.jpg").symlink_to(photos / "b.jpg")
    (photos / "round").symlink_to(photos, target_is_directory=True)
    (photos / "folder.jpg").symlink_to(photos / "deep", target_is_directory=True)
    (photos / "gone.jpg").symlink_to("nowhere.jpg")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    found = ["a.PNG", "b.jpg", "gone.jpg", "link.jpg", "loop.jpg"]
    assert ids(photos) == found, "what can't be opened is said of each, and not left out"
    assert ids(photos, recursive=True)[:5] == found


def test_a_folder_that_cant_be_read_is_said_and_the_rest_goes_on(photos, monkeypatch):
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    items = list(open_source([str(photos)], WHAT, recursive=True).items())
    assert BadItem("deep/", "deep/", "the folder can't be read: Permission denied") in items
    assert [item.id for item in items if isinstance(item, Item)] == ["a.PNG", "b.jpg", "also/x.jfif"]
    assert "deep: the folder can't be read: Permission denied" in why(photos / "deep")


@pytest.mark.parametrize("name", [b"\xff.jpg", b"new\nline.jpg", b"\x1b[31m.jpg", b"-q.jpg", "🐕.jpg".encode()])
def test_any_file_name_will_do(tmp_path, name):
    with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
        pass
    (item,) = open_source([str(tmp_path)], WHAT).items()
    assert os.fsencode(item.id) == name
    assert os.path.exists(item.image)


# Pictures and lists


def test_several_pictures_and_addresses_are_a_source_in_their_order(tmp_path):
    names = ["b.jpg", "a.jpg", "https://example.org/x", "no-suffix"]
    assert ids(*names) == names
    assert ids("one.jpg") == ["one.jpg"]
    source = open_source(names, WHAT)
    assert (source.name, source.path) == ("4 pictures", None)


def test_what_is_no_picture_cant_stand_among_several(photos, tmp_path):
    for name in (photos, "list.csv", "-", "instances.json"):
        message = why("a.jpg", name)
        assert message == f"{name}: is no picture; what isn't a picture is a SOURCE of its own"


def test_a_folder_may_be_called_like_a_picture(tmp_path):
    write(tmp_path / "all.jpg", {"a.jpg": ""})
    assert ids(tmp_path / "all.jpg") == ["a.jpg"]


def test_a_list_has_a_path_a_line_relative_to_itself(tmp_path):
    lines = "\ufeffa.jpg\r\n\r\n# no picture\n  sub/b.jpg  \n/abs/c.jpg\nhttp://x/d.jpg\n-\n"
    path = write(tmp_path, {"list.txt": lines}) / "list.txt"
    items = list(open_source([str(path)], WHAT).items())
    assert [item.id for item in items] == ["a.jpg", "sub/b.jpg", "/abs/c.jpg", "http://x/d.jpg", "-"]
    images = [str(tmp_path / "a.jpg"), str(tmp_path / "sub/b.jpg"), "/abs/c.jpg", "http://x/d.jpg"]
    assert [item.image for item in items] == [*images, str(tmp_path / "-")]
    (first, *_) = open_source([str(path)], WHAT, images="/").items()
    assert first.image == "/a.jpg"


def test_standard_input_is_a_list_and_can_be_read_twice(monkeypatch, tmp_path):
    type_in(monkeypatch, b"\xef\xbb\xbfa.jpg\nline\xe2\x80\xa8sep.jpg\n\xff.jpg\n-\n")
    source = open_source(["-"], WHAT)
    for _ in range(2):
        items = list(source.items())
        assert [item.id for item in items] == ["a.jpg", "line\u2028sep.jpg", "\udcff.jpg", "-"]
        assert items[-1].image == "./-", "a file that is called so; standard input is taken"
    type_in(monkeypatch, b"a.jpg")
    (item,) = open_source(["-"], WHAT, images=str(tmp_path)).items()
    assert item.image == str(tmp_path / "a.jpg")


def test_standard_input_may_have_json_lines(monkeypatch):
    type_in(monkeypatch, b'\n {"image": "a.jpg", "question": "a\xe2\x80\xa8b", "n": 1}\nno\n')
    first, second = open_source(["-"], Asking()).items()
    assert (first.image, first.question, first.fields) == ("a.jpg", "a\u2028b", {"n": 1})
    assert second == BadItem("line 3", "standard input, line 3", "it is no JSON object")


def test_standard_input_may_have_requests_of_openais(monkeypatch, tmp_path):
    type_in(monkeypatch, b'{"custom_id": "r", "body": {"messages": [{"role": "user", "content": "Hi"}]}}\nno\n')
    source = open_source(["-"], Asking())
    assert source.requests
    first, second = source.items()
    assert (first.id, first.question) == ("r", "Hi")
    assert second.where == "standard input, line 2"


def test_a_terminal_or_nothing_is_no_list(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is no pipe or file: pipe a list of pictures" in why("-")


# What can't be a source


def test_what_cant_be_a_source_is_said_at_once(tmp_path):
    write(tmp_path, {"a.xyz": "", "page.html": ""})
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "SOURCE: the path is empty" in why("")
    assert "there is no" in why(tmp_path / "none\x1b")
    assert "is no source that vip knows: use a folder, pictures" in why(tmp_path / "a.xyz")
    assert "is a pipe or a device, which can't be read twice; for standard input write -" in why(
        tmp_path / "pipe.jsonl"
    )
    assert "--images nowhere: there is no such folder" in why(tmp_path, images="nowhere")
    for name in (tmp_path, "a.jpg"):
        assert "has no questions of its own: give one, like -q" in why(name, asking=Asking())


def test_flags_that_a_source_has_no_use_for_are_said(photos, tmp_path, monkeypatch):
    files = {
        "l.txt": "a.jpg\n",
        "m.jsonl": '{"image": "a.jpg"}\n',
        "f.json": COCO_INSTANCES,
        "r.jsonl": '{"custom_id": 1, "body": 2}',
    }
    write(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    choices = {"recursive": True, "include": ["*.png"], "exclude": ["*.png"]}
    for name in files:
        for flag, value in choices.items():
            asking = Asking() if name == "r.jsonl" else WHAT
            assert (
                why(name, asking=asking, **{flag: value}) == f"--{flag} goes with a folder of pictures, not with {name}"
            )
        assert open_source([name], Asking() if name == "r.jsonl" else WHAT, images="photos")
    assert why("a.jpg", recursive=True) == "--recursive goes with a folder of pictures, not with a.jpg"
    assert why("a.jpg", "b.jpg", images="photos") == "--images goes with a list or annotations, not with 2 pictures"
    assert why("photos", images="photos") == "--images goes with a list or annotations, not with photos"
    type_in(monkeypatch, b"a.jpg\n")
    assert why("-", include=["*"]) == "--include goes with a folder of pictures, not with -"
    write(tmp_path / "yolo", {**YOLO_DATUMARO, "images/train/a.jpg": ""})
    assert why("yolo", recursive=True) == "--recursive goes with a folder of pictures, not with yolo"
    assert open_source(["yolo"], WHAT, images="photos").form


@pytest.mark.parametrize("name", ["photos", "a.jpg", "l.txt", "m.jsonl", "f.json", "-"])
def test_a_misspelt_name_of_the_template_is_said_at_once(photos, tmp_path, monkeypatch, name):
    lines = '{"image": "a.jpg", "label": "cat"}\n'
    write(tmp_path, {"l.txt": "a.jpg\n", "m.jsonl": lines, "f.json": COCO_INSTANCES})
    monkeypatch.chdir(tmp_path)
    type_in(monkeypatch, lines.encode())
    assert "the question has {lable}, which this item lacks; it has {" in why(name, asking=Asking("{id}: a {lable}?"))
    type_in(monkeypatch, lines.encode())
    assert open_source([name], Asking("{id}: {name}?", markers=(MarkerText("1,2", "point"),)))


def test_all_regions_of_a_picture_have_no_label(tmp_path):
    path = write(tmp_path, {"f.json": COCO_INSTANCES}) / "f.json"
    assert open_source([str(path)], Asking("{label}"))
    assert "the question has {label}" in why(path, asking=Asking("{label}", each=False))


def test_where_a_later_line_has_the_name_each_line_is_one_of_its_own(tmp_path):
    lines = '{"image": "a.jpg"}\nno\n{"image": "a.jpg", "label": "cat"}\n'
    source = open_source([str(write(tmp_path, {"m.jsonl": lines}) / "m.jsonl")], Asking("A {label}?"))
    assert [type(item) for item in source.items()] == [BadItem, BadItem, Item]


# Annotations

FORMATS = {
    "coco": ({"f.json": COCO_INSTANCES}, "f.json", 3, 1),
    "yolo": (YOLO_DATUMARO, "data.yaml", 2, 2),
    "voc": ({"a.xml": VOC_OBJECT}, "a.xml", 1, 1),
    "labelme": ({"a.json": LABELME}, "a.json", 8, 1),
    "cvat": ({"a.xml": CVAT_IMAGES}, "a.xml", 6, 1),
    "label-studio": ({"a.json": LABEL_STUDIO}, "a.json", 8, 2),
}


@pytest.mark.parametrize("name", FORMATS)
def test_annotations_ask_once_a_region_or_with_all_once_a_picture(tmp_path, name):
    files, file, regions, pictures = FORMATS[name]
    path = write(tmp_path, {**files, "images/train/a.jpg": "", "images/val/b.jpg": ""}) / file
    source = open_source([str(path)], Asking("{region}"))
    assert source.form.name == name
    usual = [item for item in source.items() if isinstance(item, Item)]
    assert len(usual) == regions
    for item in usual:
        picture, region = item.region
        assert item.id == f"{picture}#{region}"
        assert item.question == region
        assert len(item.markers) == 1
    each = open_source([str(path)], Asking("{region}", each=True)).items()
    assert [(one.id, one.question) for one in each if isinstance(one, Item)] == [(u.id, u.question) for u in usual]
    together = [one for one in open_source([str(path)], Asking("What?", each=False)).items() if isinstance(one, Item)]
    assert len(together) == pictures, [one.id for one in together]
    assert sum(len(item.markers) for item in together) == regions
    assert all(item.region == (item.id, None) for item in together)


def test_a_region_brings_its_label_and_what_else_is_said_of_it(tmp_path):
    path = write(tmp_path, {"f.json": COCO_INSTANCES}) / "f.json"
    items = list(open_source([str(path)], Asking("Is @1 a {label}, {region}? {id}")).items())
    assert [item.question for item in items][:2] == ["Is @1 a cat, 1? 1#1", "Is @1 a dog — 犬, 2? 1#2"]
    assert items[0].fields["colour"] == "grün & gold"
    assert items[0].size == (40, 30)
    asked = open_source([str(path)], Asking("It is {colour}")).items()
    assert [type(item) for item in asked] == [Item, BadItem, BadItem], "one region alone has a colour"


def test_an_attribute_never_stands_for_the_label_or_the_id(tmp_path):
    hostile = COCO_INSTANCES.replace('"occluded":true', '"label":"no","region":"no","id":"no","question":"no"')
    path = write(tmp_path, {"f.json": hostile}) / "f.json"
    item = next(open_source([str(path)], Asking("{label} {region} {id}")).items())
    assert item.question == "cat 1 1#1"


def test_markers_of_the_command_line_lie_behind_those_of_the_annotations(tmp_path):
    path = write(tmp_path, {"a.xml": VOC_OBJECT}) / "a.xml"
    extra = MarkerText("1,2", "point")
    for each in (None, True):
        (item,) = open_source([str(path)], Asking("What?", each=each, markers=(extra,))).items()
        assert item.markers[1:] == (extra,)
        assert item.id == "a#1"


def test_a_label_with_control_characters_stays_text(tmp_path):
    path = write(tmp_path, {"f.json": COCO_INSTANCES.replace('"cat"', '"c@1\\u001b[31m###\\n"')}) / "f.json"
    item = next(open_source([str(path)], Asking("Is it {label}?")).items())
    assert item.question == "Is it c@@1\x1b[31m###\n?", "what the model gets of it is made harmless by prepare()"


def test_a_problem_of_the_annotations_is_an_item_that_cant_be_asked(tmp_path):
    path = write(tmp_path, {"a.xml": CVAT_IMAGES}) / "a.xml"
    bad = [item for item in open_source([str(path)], WHAT).items() if isinstance(item, BadItem)]
    assert len(bad) == 3
    assert all(one.where.startswith("a.xml") and one.sentence for one in bad)


# Samples


def test_a_sample_is_always_the_same_and_spread_over_the_whole(tmp_path):
    names = [f"{number:04}.jpg" for number in range(1000)]
    path = write(tmp_path, {"list.txt": "\n".join(names)}) / "list.txt"
    source = open_source([str(path)], WHAT)
    taken = [item.id for item in source.items(20)]
    assert taken == sorted(taken) == [item.id for item in open_source([str(path)], WHAT).items(20)]
    assert len({name[0:2] for name in taken}) > 5
    assert set(taken) <= {item.id for item in source.items(50)}, "a larger one has the smaller one in it"
    assert len(list(source.items(5000))) == 1000
    reversed_ = write(tmp_path, {"r.txt": "\n".join(names[::-1])}) / "r.txt"
    assert sorted(item.id for item in open_source([str(reversed_)], WHAT).items(20)) == taken


def test_a_sample_takes_names_that_arent_utf8():
    bad = [BadItem("\udcff", "", ""), BadItem("\ud800", "", ""), BadItem("a", "", "")]
    assert len(list(Source("x", None, lambda: iter(bad)).items(3))) == 3
