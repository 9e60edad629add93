"""Telling the formats apart."""

from __future__ import annotations

import os

import pytest
from markers.formats.samples import (
    COCO_INSTANCES,
    CVAT_IMAGES,
    LABEL_STUDIO,
    LABELME,
    VOC_OBJECT,
    VOC_PERSON,
    YOLO_DATUMARO,
    write,
)

from vipcli.errors import UsageError
from vipcli.markers.formats import FORMATS, recognise

FILES = {
    "coco.json": COCO_INSTANCES,
    "long.json": '{"info": {"x": "]}\\""}, "images": ['
    + '{"file_name": "a", "id": 1}, ' * 9999
    + '{}], "annotations": []}',
    "labelme.json": LABELME,
    "labelme/a.json": LABELME,
    "ls.json": LABEL_STUDIO,
    "ls-long.json": '[{"annotations": [{"result": [{"rle": [' + "1, " * 99_999 + "1]}]}]}]",
    "voc.xml": VOC_OBJECT,
    "person.xml": VOC_PERSON,
    "sixteen.xml": VOC_OBJECT.encode("utf-16"),
    "voc/Annotations/a.xml": VOC_OBJECT,
    "vocs/a.xml": VOC_OBJECT,
    "cvat.xml": CVAT_IMAGES,
    "cvat/annotations.xml": CVAT_IMAGES,
    "chat.json": '{"images": ["a.png"], "turns": []}',
    "other.json": '{"a": {"images": [], "annotations": []}}',
    "results.json": '[{"image_id": 1, "bbox": [1, 2, 3, 4]}]',
    "lines.json": '{"image": "a.jpg"}\n{"image": "b.jpg"}',
    "page.xml": "<html/>",
    "names.yaml": "model: 7b\n",
    "text/a.txt": "0 apples and 5 pears\n",
    "bytes.json": b"\xff\xfe\x00\xd8\x00",
    "empty.json": "",
    **{f"yolo/{name}": content for name, content in YOLO_DATUMARO.items()},
}


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("coco.json", "coco"),
        ("long.json", "coco"),
        ("labelme.json", "labelme"),
        ("labelme", "labelme"),
        ("ls.json", "label-studio"),
        ("ls-long.json", "label-studio"),
        ("voc.xml", "voc"),
        ("person.xml", "voc"),
        ("sixteen.xml", "voc"),
        ("voc", "voc"),
        ("vocs", "voc"),
        ("cvat.xml", "cvat"),
        ("cvat", "cvat"),
        ("yolo", "yolo"),
        ("yolo/data.yaml", "yolo"),
        ("yolo/labels", "yolo"),
        *((name, None) for name in ("chat.json", "other.json", "results.json", "lines.json", "page.xml", "names.yaml")),
        *((name, None) for name in ("text", "bytes.json", "empty.json", "none.json", "none", "a\0b.json")),
    ],
)
def test_files_and_folders_are_told_apart(tmp_path, name, format_):
    found = recognise(write(tmp_path, FILES) / name)
    assert (found.name if found else None) == format_


def test_every_format_is_called_by_its_name():
    assert list(FORMATS) == ["coco", "yolo", "voc", "labelme", "cvat", "label-studio"]
    assert all(name == each.name for name, each in FORMATS.items())


def test_a_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    assert recognise(tmp_path / "a.json") is None
    for name in ("a.json", "."):
        with pytest.raises(UsageError, match=r"is no file|is a folder; name the annotation file in it"):
            list(FORMATS["coco"].read(tmp_path / name, None))
