"""Annotations with templates, and JSON lines with regions, as entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markers.formats.samples import COCO_INSTANCES, VOC_OBJECT, write

from vipcli.errors import UsageError, plain
from vipcli.markers.formats import Rle, recognise
from vipcli.prompt import Turn
from vipcli.training.annotated import fill, read_annotated, read_manifest
from vipcli.training.marking import Region, Written
from vipcli.training.regions import Bad, Entry


def annotated(
    path: Path, question: str = "What is {it}?", answer: str = "{label}", at_once: int = 3
) -> list[Entry | Bad]:
    form = recognise(path)
    assert form is not None
    return list(read_annotated(form, path, None, question, answer, at_once))


def lines(folder: Path, *rows: object) -> list[Entry | Bad]:
    content = b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    return list(read_manifest(write(folder, {"m.jsonl": content}) / "m.jsonl", folder / "pictures"))


def bad(found: list[Entry | Bad]) -> list[tuple[str, str]]:
    return [(one.where, one.sentence) for one in found if isinstance(one, Bad)]


# Annotations


def test_every_region_of_a_picture_has_a_conversation_of_the_templates(tmp_path):
    path = write(tmp_path, {"c.json": COCO_INSTANCES}) / "c.json"
    (one,) = annotated(path, "Colour and kind of {it}?", "A {label} {{{region}}}")
    assert (one.id, one.where, one.size, one.at_once) == ("1", "c.json, image 1", (40, 30), 3)
    assert one.image == str(tmp_path / "a.jpg")
    assert one.conversations == tuple(
        (Turn("Colour and kind of the object <bbox>?", answer),)
        for answer in ("A cat {1}", "A dog — 犬 {2}", "A dog — 犬 {3}")
    )
    assert one.regions[0] == Written("box:3.5,4,13.5,16.25", name="region 1")
    # Where there is an outline beside the box, contours and masks can be drawn of it.
    assert one.regions[1] == Written("contour:20,5,30,6.5,25,20", name="region 2")
    assert isinstance(one.regions[2].marker, Rle)


def test_attributes_fill_templates_and_a_region_that_lacks_one_is_said(tmp_path):
    path = write(tmp_path, {"c.json": COCO_INSTANCES}) / "c.json"
    found = annotated(path, "{it}, occluded: {occluded}", "{colour}")
    (one,) = (entry for entry in found if isinstance(entry, Entry))
    assert one.conversations == ((Turn("the object <bbox>, occluded: true", "grün & gold"),),)
    sentence = (
        "it has no {occluded} for '{it}, occluded: {occluded}'; it has {area}, {iscrowd}, {it}, {label}, {region}"
    )
    assert [where for where, _ in bad(found)] == ["c.json, image 1, region 2", "c.json, image 1, region 3"]
    assert {"occluded" in said for _, said in bad(found)} == {True}
    assert bad(found)[0][1].startswith(sentence.partition(";")[0])


def test_problems_of_the_file_and_empty_answers_are_said(tmp_path):
    content = json.loads(COCO_INSTANCES)
    content["annotations"][0]["image_id"] = 9
    content["categories"][1]["name"] = "<image>"
    found = annotated(write(tmp_path, {"c.json": json.dumps(content)}) / "c.json")
    assert bad(found) == [
        ("c.json, image 1, region 2", "its answer is empty"),
        ("c.json, image 1, region 3", "its answer is empty"),
        ("c.json, annotation 1 (id 1)", "its image_id 9 is none of the images'"),
    ]
    assert len(found) == 3, "a picture without regions teaches nothing"


def test_any_format_of_vip_batch_is_read(tmp_path):
    (one,) = annotated(write(tmp_path, {"a.xml": VOC_OBJECT}) / "a.xml")
    assert one.conversations[0] == (Turn("What is the object <bbox>?", "cat"),)


@pytest.mark.parametrize(
    ("template", "filled"),
    [("{a} {b} { a }", "x 1 x"), ("{{a}}", "{a}"), ("{c}", "true"), ("}{", "}{"), ("{d}", "@é")],
)
def test_templates(template, filled):
    assert fill(template, {"a": "x", "b": 1, "c": True, "d": "@é"}) == filled


# JSON lines


def test_a_line_has_boxes_and_a_question_with_its_answer(tmp_path):
    row = {
        "id": 5,
        "image": "a.jpg",
        "boxes": [[1, 2, 3, 4], [5, 6, 7, 8]],
        "question": "<bbox0> or @2?",
        "answer": "@1.",
    }
    (one,) = lines(tmp_path, row)
    assert (one.id, one.where) == ("5", "m.jsonl, line 1 (id '5')")
    assert one.image == str(tmp_path / "pictures/a.jpg")
    assert [region.box for region in one.regions] == [(1, 2, 3, 4), (5, 6, 7, 8)]
    assert one.conversations == ((Turn("<bbox0> or the object <bbox1>?", "the object <bbox0>."),),)


def test_markers_in_the_grammar_are_regions_and_their_names_nouns(tmp_path):
    markers = ["dog=1,2,3,4", "point:5,6@red", "arrow:a_cat=1,1,9,9"]
    row = {
        "image": "a.jpg",
        "markers": markers,
        "question": "Is @dog- at @2, x@y.org, @@1?",
        "answer": "@nobody, @a_cat",
    }
    (one,) = lines(tmp_path, row)
    assert one.regions == tuple(Written(text, kept=True) for text in markers)
    question = "Is the dog <bbox0>- at the object <bbox1>, x@y.org, @1?"
    assert one.conversations == ((Turn(question, "@nobody, the a cat <bbox2>"),),)
    assert one.id == "line 1"


def test_conversations_segmentations_and_what_may_be_missing(tmp_path):
    talk = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]
    outlined, bare = lines(
        tmp_path,
        {
            "image": "a.jpg",
            "bboxes": [[1, 2, 30, 40]],
            "segmentations": [[[1, 2, 30, 2, 9, 40]]],
            "conversations": talk,
        },
        b"\r",
        {"question": "Hello", "answer": "Hi", "markers": "", "conversations": None},
    )
    assert outlined.regions[0].outline == (((1, 2), (30, 2), (9, 40)),)
    assert outlined.conversations == ((Turn("What?", "That."),),)
    assert (bare.image, bare.regions, bare.where) == (None, (), "m.jsonl, line 3")
    assert bare.conversations == ((Turn("Hello", "Hi"),),)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"answer": None}, "it has no answer"),
        ({"question": 5}, "its question must be a text, got 5"),
        ({"answer": " "}, "its answer 1 is empty"),
        ({"question": "Is @3 it?"}, "its question names @3, which no region is called; there is @1, @2"),
        ({"conversations": []}, "it has conversations beside a question or an answer: give one of them"),
        ({"markers": ["1,2,3,4"]}, "it has markers and boxes: give one of them"),
        ({"boxes": None, "markers": 7}, 'its markers must be a list of texts, like ["40,30,200,180"], got 7'),
        ({"boxes": None, "markers": ["a=1,2,3,4", "point:a=1,2"]}, "two of its markers are called 'a'"),
        ({"boxes": "x"}, 'its boxes must be a list of [x1, y1, x2, y2], got "x"'),
        ({"image": 5}, "its image must be the path of a picture, got 5"),
    ],
)
def test_a_line_that_cant_be_learnt_from_is_said_and_the_rest_goes_on(tmp_path, change, sentence):
    good = {"image": "a.jpg", "boxes": [[1, 2, 3, 4], [5, 6, 7, 8]], "question": "What?", "answer": "That."}
    found = lines(tmp_path, good, {**good, **change}, b"no", b"[1]", good)
    assert bad(found) == [
        ("m.jsonl, line 2", sentence),
        ("m.jsonl, line 3", "it is no JSON object"),
        ("m.jsonl, line 4", "it is no JSON object"),
    ]
    assert len(found) == 5


def test_a_file_that_cant_be_read_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.jsonl can't be read: No such file"):
        list(read_manifest(tmp_path / "gone.jsonl", tmp_path))


_LINE = (
    b'{"image": "a.jpg", "markers": ["dog=1,2,3,4", "5,6"], "question": "Is @dog <bbox1>?", "answer": "No \\u00e9"}\n'
)
_BITS = [
    b"\xff",
    b"\0",
    b'"',
    b"\n",
    b",",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\ud800",
    b"null",
    b"1e999",
    b"@",
    b"<bbox9>",
    b"@1",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_of_mutated_lines_come_entries_or_sentences_and_nothing_else(tmp_path, data):
    content: Any = _LINE * 3
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(st.sampled_from(_BITS)) + content[at + data.draw(st.integers(0, 9)) :]
    for one in lines(tmp_path, content):
        assert one.where.startswith("m.jsonl, line ")
        if isinstance(one, Bad):
            assert plain(one.sentence) == one.sentence
        else:
            assert all(isinstance(region, Region | Written) for region in one.regions)
