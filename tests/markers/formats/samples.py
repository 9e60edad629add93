"""Small annotation files, literally as the tools write them, and what every test of an importer does with one.

LABELME was saved by `LabelFile.save` of labelme 6.3.1. COCO_INSTANCES, VOC_OBJECT, CVAT_DATUMARO and YOLO_DATUMARO were
exported by Datumaro 1.13.12 from one dataset of two pictures, 40 x 30. CVAT_IMAGES follows CVAT's own writer
(`dump_as_cvat_annotation` in cvat/apps/dataset_manager/formats/cvat.py) and the example of
https://docs.cvat.ai/docs/other/xml_format. LABEL_STUDIO follows https://labelstud.io/guide/task_format; its brushes are
`encode_rle` of label-studio-converter 0.0.59 (`brush.py`) of BRUSH and of SPECKLED.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np

from vipcli.errors import VipWarning, plain
from vipcli.markers import parse
from vipcli.markers.formats import FORMATS, AnnotatedPicture, Problem, Region, Rle

SIZE = (40, 30)

COCO_INSTANCES = (
    '{"licenses":[{"name":"","id":0,"url":""}],"info":{"contributor":"","date_created":"","description":"","url":"",'
    '"version":"","year":""},"categories":[{"id":1,"name":"cat","supercategory":"animal"},'
    '{"id":2,"name":"dog — 犬","supercategory":""}],"images":[{"id":1,"width":40,"height":30,"file_name":"a.jpg",'
    '"license":0,"flickr_url":"","coco_url":"","date_captured":0},{"id":2,"width":40,"height":30,"file_name":"b.jpg",'
    '"license":0,"flickr_url":"","coco_url":"","date_captured":0}],"annotations":[{"id":1,"image_id":1,"category_id":1,'
    '"segmentation":[],"area":122.5,"bbox":[3.5,4.0,10.0,12.25],"iscrowd":0,"attributes":{"occluded":true,'
    '"colour":"grün & gold"}},{"id":2,"image_id":1,"category_id":2,"segmentation":[[20.0,5.0,30.0,6.5,25.0,20.0]],'
    '"area":69.0,"bbox":[20.0,5.0,10.0,15.0],"iscrowd":0},{"id":3,"image_id":1,"category_id":2,"segmentation":'
    '{"counts":[305,4,26,4,26,2,1,1,26,4,26,4,26,4,26,4,26,4,26,4,26,4,621],"size":[30,40]},"area":39.0,'
    '"bbox":[10.0,5.0,10.0,4.0],"iscrowd":1}]}'
)

VOC_OBJECT = """<annotation>
  <folder></folder>
  <filename>a.jpg</filename>
  <source>
    <database>Unknown</database>
    <annotation>Unknown</annotation>
    <image>Unknown</image>
  </source>
  <size>
    <width>40</width>
    <height>30</height>
    <depth>3</depth>
  </size>
  <segmented>1</segmented>
  <object>
    <name>cat</name>
    <truncated>0</truncated>
    <occluded>1</occluded>
    <difficult>0</difficult>
    <bndbox>
      <xmin>3.5</xmin>
      <ymin>4.0</ymin>
      <xmax>13.5</xmax>
      <ymax>16.25</ymax>
    </bndbox>
    <attributes>
      <attribute>
        <name>colour</name>
        <value>grün &amp; gold</value>
      </attribute>
      <attribute>
        <name>is_crowd</name>
        <value>False</value>
      </attribute>
    </attributes>
  </object>
</annotation>
"""

# The devkit's own layout (VOC2007), with parts and a pose, and a comment as people leave them.
VOC_PERSON = """<?xml version="1.0" encoding="utf-8"?>
<!-- checked by Zoë -->
<annotation verified="yes">
\t<folder>VOC2007</folder>
\t<filename>000001.jpg</filename>
\t<size><width>353</width><height>500</height><depth>3</depth></size>
\t<object>
\t\t<name>person</name>
\t\t<pose>Left</pose>
\t\t<truncated>1</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox><xmin>8</xmin><ymin>12</ymin><xmax>352</xmax><ymax>498</ymax></bndbox>
\t\t<part><name>head</name><bndbox><xmin>100</xmin><ymin>20</ymin><xmax>200</xmax><ymax>90</ymax></bndbox></part>
\t</object>
</annotation>
"""

CVAT_DATUMARO = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id></id>
      <name>val</name>
      <size>2</size>
      <mode>annotation</mode>
    </task>
  </meta>
  <image id="0" name="a.jpg" width="40" height="30">
    <box label="cat" occluded="1" outside="0" keyframe="0" xtl="3.50" ytl="4.00" xbr="13.50" ybr="16.25" z_order="0" \
group_id="1">
    </box>
    <polygon label="dog — 犬" occluded="0" outside="0" keyframe="0" points="20.00,5.00;30.00,6.50;25.00,20.00" \
z_order="0" group_id="2">
    </polygon>
    <mask label="dog — 犬" occluded="0" outside="0" keyframe="0" \
rle="210, 10, 30, 10, 30, 2, 1, 7, 30, 10, 860" left="0" top="0" width="40" height="30" z_order="0" group_id="3">
    </mask>
  </image>
  <image id="1" name="b.jpg" width="40" height="30">
  </image>
</annotations>"""

CVAT_IMAGES = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <!-- exported on Monday -->
  <image id="7" name="sub/a.jpg" width="40" height="30">
    <box label="plate" source="manual" occluded="0" xtl="10.00" ytl="10.00" xbr="20.00" ybr="14.00" rotation="90.00" \
z_order="1">
      <attribute name="broken">false</attribute>
      <attribute name="text">A &lt;1&gt;</attribute>
    </box>
    <ellipse label="wheel" source="manual" occluded="0" cx="20.00" cy="15.00" rx="5.00" ry="4.00" z_order="0"/>
    <ellipse label="wheel" source="manual" occluded="0" cx="20.00" cy="15.00" rx="5.00" ry="4.00" rotation="30.00" \
z_order="0"></ellipse>
    <polyline label="road" source="manual" occluded="0" points="1.00,2.00;30.00,4.00;35.00,20.00" z_order="0">
    </polyline>
    <points label="eye" source="manual" occluded="0" points="7.50,8.00" z_order="0">
    </points>
    <mask label="fur" source="manual" occluded="0" rle="3, 5, 14" left="3" top="2" width="11" height="2" z_order="0">
    </mask>
    <points label="eyes" source="manual" occluded="0" points="7.50,8.00;9.50,8.00" z_order="0">
    </points>
    <cuboid label="car" source="manual" occluded="0" xtl1="37" ytl1="2" z_order="0">
    </cuboid>
    <skeleton label="body" source="manual" z_order="0">
      <points label="1" source="manual" outside="0" occluded="0" points="7.50,8.00">
      </points>
    </skeleton>
    <tag label="good" source="manual">
    </tag>
  </image>
</annotations>
"""

LABELME = """{
  "version": "6.3.1",
  "flags": {
    "good": true
  },
  "shapes": [
    {"label": "katze — 猫", "points": [[2.5, 3.0], [20.25, 4.0], [12, 25]], "group_id": 3,
     "description": "by the door", "shape_type": "polygon", "flags": {"occluded": true, "blurry": false},
     "mask": null},
    {"label": "box", "points": [[30, 20], [5, 4]], "group_id": null, "description": "", "shape_type": "rectangle",
     "flags": {}, "mask": null},
    {"label": "turned", "points": [[10, 5], [20, 10], [15, 20], [5, 15]], "group_id": null, "description": "",
     "shape_type": "oriented_rectangle", "flags": {}, "mask": null},
    {"label": "ball", "points": [[20, 15], [23, 19]], "group_id": null, "description": "", "shape_type": "circle",
     "flags": {}, "mask": null},
    {"label": "eye", "points": [[7, 8]], "group_id": null, "description": "", "shape_type": "point", "flags": {},
     "mask": null},
    {"label": "wire", "points": [[1, 1], [30, 20]], "group_id": null, "description": "", "shape_type": "line",
     "flags": {}, "mask": null},
    {"label": "road", "points": [[1, 1], [10, 9], [30, 20]], "group_id": null, "description": "",
     "shape_type": "linestrip", "flags": {}, "mask": null},
    {"label": "spots", "points": [[1, 1], [10, 9]], "group_id": null, "description": "", "shape_type": "points",
     "flags": {}, "mask": null},
    {"label": "fur", "points": [[3, 2], [9, 6]], "group_id": null, "description": "", "shape_type": "mask",
     "flags": {}, "mask": "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAAAAACs8akEAAAAHklEQVR4nDXHsQ0AAAjDMJf/f4YBNYsVAUKw86u2\
AxnDAQeMgDdIAAAAAElFTkSuQmCC"}
  ],
  "imagePath": "a.png",
  "imageData": null,
  "imageHeight": 30,
  "imageWidth": 40,
  "reviewer": "Zoë"
}"""

BRUSH = np.zeros((6, 8), bool)
BRUSH[1:4, 2:6] = BRUSH[4, 3] = True
BRUSH_RLE = [
    *(0, 0, 0, 192, 57, 27, 254, 39, 0, 191, 255, 124, 2, 255, 253, 240, 11, 255, 248, 76, 2, 63, 252, 94, 0),
]
SPECKLED = np.array(
    [
        [1, 1, 0, 1, 0, 0, 1, 0],
        [1, 0, 1, 1, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0, 0, 1],
        [1, 1, 1, 0, 0, 1, 1, 0],
        [1, 1, 1, 1, 0, 1, 0, 0],
        [1, 1, 1, 0, 1, 1, 1, 1],
    ],
    bool,
)
# Painted in (12, 200, 7): no two values beside each other are alike, so that there are runs of single values.
SPECKLED_RLE = [
    *(0, 0, 0, 192, 57, 27, 248, 1, 128, 100, 0, 14, 7, 248, 1, 128, 100, 0, 14, 7, 252, 96, 0, 6, 1, 144, 0, 56, 31),
    *(243, 128, 0, 24, 6, 64, 0, 224, 127, 198, 0, 0, 96, 25, 0, 3, 129, 255, 24, 0, 1, 128, 100, 0, 14, 7, 248, 1),
    *(128, 100, 0, 14, 7, 252, 96, 0, 6, 1, 144, 0, 56, 31, 248, 92, 0, 0, 192, 50, 0, 7, 3, 254, 112, 0, 3, 0, 200),
    *(0, 28, 15, 240, 3, 0, 200, 0, 28, 15, 240, 3, 0, 200, 0, 28, 15, 240, 3, 0, 200, 0, 28, 15, 249, 192, 0, 12, 3),
    *(32, 0, 112, 63, 192, 12, 3, 32, 0, 112, 63, 227, 0, 0, 48, 12, 128, 1, 192, 255, 0, 48, 12, 128, 1, 192, 255),
    *(0, 48, 12, 128, 1, 192, 255, 0, 48, 12, 128, 1, 192, 255, 140, 0, 0, 192, 50, 0, 7, 3, 254, 112, 0, 3, 0, 200),
    *(0, 28, 15, 240, 3, 0, 200, 0, 28, 15, 240, 3, 0, 200, 0, 28, 15, 248, 192, 0, 12, 3, 32, 0, 112, 63, 192, 12),
    *(3, 32, 0, 112, 63, 192, 12, 3, 32, 0, 112, 63, 192, 12, 3, 32, 0, 112, 63, 192),
]


def _result(key: str, kind: str, value: dict, **more: object) -> dict:
    return {
        "original_width": 40,
        "original_height": 30,
        "image_rotation": 0,
        "value": value,
        "id": key,
        "from_name": "label",
        "to_name": "image",
        "type": kind,
        "origin": "manual",
        **more,
    }


_TEXT = {"x": 25, "y": 10, "width": 50, "height": 20, "rotation": 0}

LABEL_STUDIO = json.dumps(
    [
        {
            "id": 12,
            "annotations": [
                {
                    "id": 5,
                    "completed_by": 1,
                    "result": [
                        _result("aB1", "rectanglelabels", {**_TEXT, "rectanglelabels": ["Plate — 板"]}),
                        _result("aB1", "choices", {**_TEXT, "choices": ["worn", "old"]}, from_name="state"),
                        _result("aB1", "textarea", {**_TEXT, "text": ["B 42"]}, from_name="reads"),
                        _result(
                            "turned",
                            "rectanglelabels",
                            {
                                "x": 50.0,
                                "y": 20.0,
                                "width": 25.0,
                                "height": 10.0,
                                "rotation": 90,
                                "rectanglelabels": ["b"],
                            },
                            meta={"text": ["leans"]},
                        ),
                        _result(
                            "oval", "ellipselabels", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0}
                        ),
                        _result("poly", "polygonlabels", {"points": [[2, 2], [30.5, 4], [10, 40]], "closed": True}),
                        _result("key", "keypointlabels", {"x": 12.5, "y": 40, "width": 0.3, "keypointlabels": ["eye"]}),
                        _result("way", "vector", {"vertices": [{"x": 1, "y": 2}, {"x": 30, "y": 40}], "closed": False}),
                        _result(
                            "brush",
                            "brushlabels",
                            {"format": "rle", "rle": BRUSH_RLE, "brushlabels": ["fur"]},
                            original_width=8,
                            original_height=6,
                        ),
                        {"value": {"choices": ["indoors"]}, "id": "whole", "from_name": "scene", "type": "choices"},
                    ],
                    "was_cancelled": False,
                },
                {"id": 6, "was_cancelled": True, "result": [_result("gone", "rectangle", _TEXT)]},
            ],
            "predictions": [],
            "data": {"image": "/data/upload/3/0a1b2c3d-a.jpg"},
            "meta": {},
        },
        {
            "id": 13,
            "annotations": [],
            "predictions": [{"result": [_result("p", "labels", {**_TEXT, "labels": ["guess"]}, score=0.5)]}],
            "data": {"photo": "/data/local-files/?d=shots%2Fb.jpg", "answer": 1.50},
        },
    ],
    ensure_ascii=False,
)

YOLO_DATUMARO = {
    "data.yaml": "val: val.txt\ntrain: train.txt\nnames:\n  0: cat\n  1: dog — 犬\n",
    "train.txt": "./images/train/a.jpg\n",
    "val.txt": "./images/val/b.jpg\n",
    "labels/train/a.txt": "0 0.212500 0.337500 0.250000 0.408333",
    "labels/val/b.txt": "1 0.400000 0.400000 0.750000 0.666667",
}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files below `folder`, which is returned."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(name: str, path: Path, pictures: Path | None = None) -> tuple[list[AnnotatedPicture], list[Problem]]:
    """Read all of it; what every reading promises is checked on the way."""
    items = list(FORMATS[name].read(path, pictures))
    keys = [item.id for item in items]
    assert len(keys) == len(set(keys)), keys
    for item in items:
        assert item.where
        assert plain(item.where) == item.where
        if isinstance(item, Problem):
            assert item.sentence
            assert plain(item.sentence) == item.sentence
            continue
        assert len({region.id for region in item.regions}) == len(item.regions)
        for region in item.regions:
            assert region.label is None or isinstance(region.label, str)
            assert all(isinstance(value, (str, int, float)) for value in region.attributes.values())
    pictures_ = [item for item in items if isinstance(item, AnnotatedPicture)]
    return pictures_, [item for item in items if isinstance(item, Problem)]


def one(name: str, path: Path, pictures: Path | None = None) -> AnnotatedPicture:
    """The only picture of a file without problems, each of whose markers parses."""
    found, problems = read(name, path, pictures)
    assert not problems
    (picture,) = found
    for region in picture.regions:
        parsed(region, picture.size or SIZE)
    return picture


def parsed(region: Region, size: tuple[int, int] = SIZE) -> object:
    """A region's marker, which must be one without a doubt."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", VipWarning)
        return region.marker.mask(size) if isinstance(region.marker, Rle) else parse(region.marker, size)
