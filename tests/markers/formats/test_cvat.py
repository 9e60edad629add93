"""CVAT: its shapes, its layouts, and answers that change nothing else."""

from __future__ import annotations

import pytest
from markers.formats.samples import COCO_INSTANCES, CVAT_DATUMARO, CVAT_IMAGES, SIZE, parsed, read, write

from vipcli.errors import UsageError
from vipcli.markers.formats import FORMATS


def test_datumaros_export(tmp_path):
    write(tmp_path, {"val.xml": CVAT_DATUMARO, "images/a.jpg": "-"})
    (first, second), problems = read("cvat", tmp_path)
    assert not problems
    assert (first.id, first.path, first.size) == ("0", str(tmp_path / "images/a.jpg"), SIZE)
    box, polygon, mask = first.regions
    assert (box.id, box.marker, box.label) == ("1", "box:3.5,4,13.5,16.25", "cat")
    assert box.attributes == {"z_order": "0", "group_id": "1", "occluded": True}
    assert (polygon.marker, polygon.label) == ("contour:20,5,30,6.5,25,20", "dog — 犬")
    assert f'"counts":{list(mask.marker.counts)}'.replace(" ", "") in COCO_INSTANCES, "it is the same mask"
    assert (second.id, second.regions) == ("1", ())
    for region in first.regions:
        parsed(region)


def test_what_cvat_itself_writes(tmp_path):
    (picture,), problems = read("cvat", write(tmp_path, {"a.xml": CVAT_IMAGES}) / "a.xml")
    assert picture.path == str(tmp_path / "images/sub/a.jpg"), "no problem here, though it isn't there"
    plate, wheel, turned, road, eye, fur = picture.regions
    assert plate.marker == "contour:17,7,17,17,13,17,13,7", "turned about its middle"
    assert plate.attributes == {"source": "manual", "z_order": "1", "occluded": False, "broken": False, "text": "A <1>"}
    assert wheel.marker == "ellipse:15,11,25,19"
    assert turned.marker.startswith("contour:24.330127,17.5,")
    assert (road.marker, eye.marker) == ("scribble:1,2,30,4,35,20", "point:7.5,8")
    bitmap = parsed(fur).bitmap
    assert [(row, column) for row, column in zip(*bitmap.nonzero(), strict=True)] == [(2, x) for x in range(6, 11)]
    assert [problem.sentence for problem in problems] == [
        "there is no marker for 2 points in one shape",
        "there is no marker for a cuboid",
        "there is no marker for a skeleton",
    ]
    assert problems[1].where == "a.xml, image 7 (line 5), shape 8 (line 20)"
    for region in picture.regions:
        parsed(region)


def test_a_project_has_subsets_and_counts_in_every_task(tmp_path):
    image = '<image id="0" name="a.jpg" subset="{0}" task_id="{0}" width="4" height="3"></image>'
    xml = f"<annotations><version>1.1</version>{image.format(1)}{image.format(2)}</annotations>"
    write(tmp_path, {"annotations.xml": xml, "images/2/a.jpg": "-", "images/a.jpg": "-"})
    pictures, problems = read("cvat", tmp_path)
    assert not problems
    assert [picture.id for picture in pictures] == ["1/0", "2/0"]
    assert [picture.path for picture in pictures] == [str(tmp_path / "images/a.jpg"), str(tmp_path / "images/2/a.jpg")]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ('<box xtl="1" ytl="2" xbr="3"/>', "its ybr must be a number, got nothing"),
        ('<box xtl="1" ytl="2" xbr="3" ybr="inf"/>', 'its ybr must be a number, got "inf"'),
        ('<box xtl="1" ytl="2" xbr="3" ybr="4" rotation="a"/>', 'its rotation must be a number, got "a"'),
        ("<polygon/>", 'its points must be written x,y;x,y, got ""'),
        ('<polygon points="1,2;3,4"/>', "a polygon needs at least 3 points, got 2"),
        ('<polyline points="1,2;3"/>', 'its points must be written x,y;x,y, got "3"'),
        ('<mask rle="1,2" left="0" top="0" width="2" height="2"/>', "the runs of its mask don't add up to its 2 x 2"),
        ('<mask rle="1,3" left="9" top="9" width="2" height="2"/>', "its mask, 2 x 2 pixels at 9,9, sticks out"),
        ('<mask rle="" left="0" top="0" width="2" height="2"/>', 'a run of its mask must be a number, got ""'),
        ('<mask rle="0,1.5" left="0" top="0" width="2" height="2"/>', "a run of its mask must be a whole number"),
    ],
)
def test_what_is_wrong_with_a_shape_is_a_problem(tmp_path, shape, said):
    xml = f'<annotations>\n<image id="0" name="a.jpg" width="8" height="8">{shape}</image></annotations>'
    (picture,), (problem,) = read("cvat", write(tmp_path, {"a.xml": xml}) / "a.xml")
    assert picture.regions == ()
    assert problem.sentence.startswith(said)
    assert problem.where == "a.xml, image 0 (line 2), shape 1 (line 2)"


def test_what_is_no_picture_is_a_problem(tmp_path):
    images = '<image/><image id="1"/><image id="2" name="a"/><image id="2" name="b"/><track id="0"/>'
    xml = f"<annotations>{images}</annotations>"
    (picture,), problems = read("cvat", write(tmp_path, {"a.xml": xml}) / "a.xml")
    assert picture.id == "2"
    assert [problem.sentence for problem in problems] == [
        "an image needs an id",
        "an image needs the name of its picture",
        "its id 2 is image 3's already",
        "a track of a video has no picture; export it as CVAT for images",
    ]


def test_what_is_no_cvat_file_is_said_in_a_sentence(tmp_path):
    path = write(tmp_path, {"annotations.xml": "<annotation/>"}) / "annotations.xml"
    with pytest.raises(UsageError) as error:
        list(FORMATS["cvat"].read(tmp_path, None))
    assert str(error.value) == f"{path}: isn't CVAT's: it begins with <annotation>, not with <annotations>"


def test_answers_are_the_only_change(tmp_path):
    path = write(tmp_path, {"a.xml": CVAT_IMAGES}) / "a.xml"
    answers = {None: 'a\n"b"', "1": "a plate", "2": "round"}
    FORMATS["cvat"].annotate(path, lambda _, region: answers.get(region), tmp_path / "b.xml")
    expected = CVAT_IMAGES.replace('height="30">', 'height="30" answer="a&#10;&quot;b&quot;">')
    last = '      <attribute name="text">A &lt;1&gt;</attribute>\n'
    expected = expected.replace(last, f'{last}      <attribute name="answer">a plate</attribute>\n')
    inside = '>\n      <attribute name="answer">round</attribute>\n    </ellipse>'
    expected = expected.replace('z_order="0"/>', f'z_order="0"{inside}')
    assert (tmp_path / "b.xml").read_text() == expected
    answers = {None: "new", "1": "new", "2": "new"}
    FORMATS["cvat"].annotate(tmp_path / "b.xml", lambda _, region: answers.get(region), tmp_path / "c.xml")
    for old in ("a&#10;&quot;b&quot;", "a plate", "round"):
        expected = expected.replace(old, "new")
    assert (tmp_path / "c.xml").read_text() == expected, "answers that are there are replaced"


def test_a_folder_is_copied_into_a_new_one(tmp_path):
    write(tmp_path / "in", {"annotations.xml": CVAT_IMAGES, "images/sub/a.jpg": "-"})
    FORMATS["cvat"].annotate(tmp_path / "in", lambda *_: "x", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").rglob("*")] == ["annotations.xml"]
    assert read("cvat", tmp_path / "out")[0][0].regions[0].attributes["answer"] == "x"
