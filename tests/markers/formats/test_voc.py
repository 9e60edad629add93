"""Pascal VOC: objects, pictures, broken XML, and answers that change nothing else."""

from __future__ import annotations

import pytest
from markers.formats.samples import VOC_OBJECT, VOC_PERSON, one, read, write

from vipcli.errors import UsageError
from vipcli.markers.formats import FORMATS


def test_datumaros_export(tmp_path):
    write(tmp_path, {"Annotations/a.xml": VOC_OBJECT, "JPEGImages/a.jpg": "-"})
    picture = one("voc", tmp_path)
    assert (picture.id, picture.size, picture.where) == ("a", (40, 30), "Annotations/a.xml")
    assert picture.path == str(tmp_path / "JPEGImages/a.jpg")
    (region,) = picture.regions
    assert (region.id, region.marker, region.label) == ("1", "box:3.5,4,13.5,16.25", "cat")
    assert region.attributes == {
        "difficult": False,
        "truncated": False,
        "occluded": True,
        "colour": "grün & gold",
        "is_crowd": "False",
    }


def test_the_devkits_layout_with_parts(tmp_path):
    write(tmp_path, {"Annotations/000001.xml": VOC_PERSON})
    (region,) = one("voc", tmp_path).regions
    assert region.marker == "box:8,12,352,498", "a part is none of its own"
    assert region.attributes == {"pose": "Left", "truncated": True, "difficult": False}


@pytest.mark.parametrize("place", ["a.jpg", "../images/a.jpg", "../JPEGImages/a.jpg", "../a.jpg"])
def test_pictures_are_found_beside_the_file_or_the_folder(tmp_path, place):
    path = write(tmp_path, {"labels/a.xml": VOC_OBJECT, f"labels/{place}": "-"}) / "labels/a.xml"
    assert (path.parent / place).samefile(one("voc", path).path)


def test_the_stem_and_the_recorded_path_help_to_find_a_picture(tmp_path):
    path = write(tmp_path, {"b.xml": VOC_OBJECT, "b.jpg": "-"}) / "b.xml"
    assert one("voc", path).path == str(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").rename(tmp_path / "c.jpg")
    path.write_text(VOC_OBJECT.replace("<folder>", f"<path>{tmp_path}/c.jpg</path><folder>"))
    assert one("voc", path).path == str(tmp_path / "c.jpg")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<xmin>3.5</xmin>", "", "its xmin must be a number, got nothing"),
        ("3.5", "left", 'its xmin must be a number, got "left"'),
        ("3.5", "NaN", 'its xmin must be a number, got "NaN"'),
        ("3.5", "1e999", 'its xmin must be a number, got "1e999"'),
        ("bndbox>", "polygon>", "it has no bndbox, and VOC's other shapes have no marker"),
    ],
)
def test_what_is_wrong_with_an_object_is_a_problem(tmp_path, old, new, said):
    path = write(tmp_path, {"a.xml": VOC_OBJECT.replace(old, new)}) / "a.xml"
    (picture,), (problem,) = read("voc", path)
    assert picture.regions == ()
    assert (problem.where, problem.sentence) == ("a.xml, object 1 (line 15)", said)


BOMB = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]><annotation>&c;</annotation>'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (VOC_OBJECT[:300], "isn't whole XML: unclosed token in line 15"),
        (VOC_OBJECT.replace("</size>", "</siz>"), "isn't whole XML: mismatched tag in line 13"),
        ("<annotations/>", "isn't Pascal VOC: it begins with <annotations>, not with <annotation>"),
        (BOMB, "has a document type (<!DOCTYPE ...>), which may hide anything; remove that line"),
        ("<a>" * 100_000, "is nested more than 100 levels deep in line 1"),
        ("<annotation>&b;</annotation>", "isn't whole XML: undefined entity in line 1"),
        (VOC_OBJECT.encode("latin-1"), "isn't text in the encoding utf-8"),
        ('<?xml version="1.0" encoding="zip"?><annotation/>', "isn't text in the encoding zip"),
        ('<?xml version="1.0" encoding="punycode"?><annotation/>', "isn't text in the encoding punycode"),
    ],
)
def test_what_is_no_voc_file_is_said_in_a_sentence_and_in_a_folder_a_problem(tmp_path, content, said):
    path = write(tmp_path, {"a.xml": content, "b.xml": VOC_PERSON}) / "a.xml"
    with pytest.raises(UsageError) as error:
        list(FORMATS["voc"].read(path, None))
    assert str(error.value) == f"{path}: {said}"
    (picture,), (problem,) = read("voc", tmp_path)
    assert (picture.id, problem.id, problem.where, problem.sentence) == ("b", "a", "a.xml", f"it {said}")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16"])
def test_other_encodings_are_read_and_written(tmp_path, encoding):
    declaration = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n'
    path = write(tmp_path, {"a.xml": (declaration + VOC_OBJECT).encode(encoding)}) / "a.xml"
    assert one("voc", path).regions[0].attributes["colour"] == "grün & gold"
    FORMATS["voc"].annotate(path, lambda _, region: "猫" if region else None, tmp_path / "b.xml")
    text = (tmp_path / "b.xml").read_bytes().decode(encoding)
    assert text.startswith(declaration)
    assert one("voc", tmp_path / "b.xml").regions[0].attributes["answer"] == "猫"


def test_an_answer_is_the_only_change(tmp_path):
    path = write(tmp_path, {"a.xml": VOC_OBJECT}) / "a.xml"
    FORMATS["voc"].annotate(path, lambda _, region: "<a>\x1b & b" if region else None, tmp_path / "b.xml")
    last = "        <value>False</value>\n      </attribute>\n"
    new = "      <attribute><name>answer</name><value>&lt;a&gt;\ufffd &amp; b</value></attribute>\n"
    assert (tmp_path / "b.xml").read_text() == VOC_OBJECT.replace(last, last + new)
    FORMATS["voc"].annotate(tmp_path / "b.xml", lambda _, region: "again" if region else None, tmp_path / "c.xml")
    assert (tmp_path / "c.xml").read_text() == VOC_OBJECT.replace(last, last + new).replace(
        "&lt;a&gt;\ufffd &amp; b", "again"
    ), "an answer that is there is replaced"


def test_answers_make_the_attributes_that_are_not_there(tmp_path):
    path = write(tmp_path, {"a.xml": VOC_PERSON}) / "a.xml"
    FORMATS["voc"].annotate(path, lambda _, region: region or "all", tmp_path / "b.xml")
    answer = "<attributes><attribute><name>answer</name><value>{}</value></attribute></attributes>\n"
    expected = VOC_PERSON.replace("\t</object>\n", f"\t  {answer.format(1)}\t</object>\n  {answer.format('all')}")
    assert (tmp_path / "b.xml").read_text() == expected


def test_a_folder_is_copied_into_a_new_one(tmp_path):
    source = write(tmp_path / "in", {"Annotations/a.xml": VOC_OBJECT, "Annotations/sub/b.xml": "<broken", "a.jpg": "-"})
    FORMATS["voc"].annotate(source, lambda picture, region: f"{picture} {region}", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").rglob("*.*")) == ["a.xml", "b.xml"]
    assert (tmp_path / "out/Annotations/sub/b.xml").read_text() == "<broken"
    assert one("voc", tmp_path / "out/Annotations/a.xml").regions[0].attributes["answer"] == "a 1"
    FORMATS["voc"].annotate(source, lambda *_: "x", tmp_path / "out")
    assert one("voc", tmp_path / "out/Annotations/a.xml").regions[0].attributes["answer"] == "x", "an earlier copy goes"
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there already, and no copy alone; give the name of a new folder"):
        FORMATS["voc"].annotate(source, lambda *_: "y", tmp_path / "out")
    assert one("voc", tmp_path / "out/Annotations/a.xml").regions[0].attributes["answer"] == "x"
    with pytest.raises(UsageError, match="is there already"):
        FORMATS["voc"].annotate(source, lambda *_: "y", source)
    (tmp_path / "empty").mkdir()
    FORMATS["voc"].annotate(source, lambda *_: "x", tmp_path / "empty")
    assert (tmp_path / "empty/Annotations/a.xml").exists()


def test_after_an_error_nothing_is_left_of_a_folder(tmp_path):
    source = write(tmp_path / "in", {"a.xml": VOC_OBJECT, "b.xml": VOC_OBJECT})

    def answers(picture, _region):
        if picture == "b":
            raise RuntimeError("disk full, say")

    with pytest.raises(RuntimeError):
        FORMATS["voc"].annotate(source, answers, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["in"]
