"""Visual7W, from a file of the authors' to what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluation.authors import lay, picture, prepared, texts

from vipcli.errors import UsageError
from vipcli.evaluation.cases import Case, Reading
from vipcli.evaluation.styles import AUTHORS, Style
from vipcli.evaluation.tasks import task_of

BOXES = [[10, 20, 60, 70], [70, 5, 90.5, 40], [100, 50, 140, 90], [150, 10, 190, 60]]
ENTRY: dict[str, Any] = {
    "id": "v7w-123",
    "image": "v7w/v7w_1.jpg",
    "question": "Which @ is on the left?",
    "bboxes": BOXES,
    "answer": BOXES[2],
}
ASKED = """Which @ is on the left?
A. The object within the red rectangle
B. The object within the lime rectangle
C. The object within the blue rectangle
D. The object within the yellow rectangle
Answer with the option's letter from the given choices directly."""


def read(folder: Path, content: Any, **how: Any) -> list[Case]:
    lay(folder, {"v7w-test.json": content, "v7w/v7w_1.jpg": picture()})
    return list(task_of("visual7w").read(Reading(folder, **how)))


def test_a_question_is_asked_as_the_authors_ask_it(tmp_path):
    (case,) = read(tmp_path, [ENTRY])
    assert case.question.replace("@@", "@") == ASKED
    assert (case.id, case.truth, case.rule, case.choices) == ("v7w-123", "C", "equals-letter", ("A", "B", "C", "D"))
    assert case.groups == {"question": ("which",), "right letter": ("C",)}
    assert case.where == "v7w-test.json, entry 1"
    assert texts(case) == [
        "box:10,20,60,70@red,width=3",
        "box:70,5,90.5,40@lime,width=3",
        "box:100,50,140,90@blue,width=3",
        "box:150,10,190,60@yellow,width=3",
    ]


def test_batch_draws_its_markers_and_leaves_the_question_as_it_is(tmp_path):
    (case,) = read(tmp_path, [ENTRY])
    ready = prepared(case)
    assert ready.question == ASKED
    assert ready.markers == tuple(texts(case))
    assert ready.picture is not None
    edge = ready.picture[45, 10]
    assert edge[0] > 180, "the red edge, half of it"
    assert edge[1] < 80


def test_another_style_changes_the_markers_and_the_choices(tmp_path):
    (case,) = read(tmp_path, [ENTRY], style=Style("arrow", "blue", None))
    lines = case.question.splitlines()
    assert lines[1] == "A. The object pointed to by the blue arrow"
    assert lines[2] == "B. The object pointed to by the yellow arrow"
    assert [text.partition(":")[0] for text in texts(case)] == ["arrow"] * 4
    (usual,) = read(tmp_path, [ENTRY])
    (same,) = read(tmp_path, [ENTRY], style=AUTHORS)
    assert (same.question, same.markers) == (usual.question, usual.markers)


def test_a_limit_takes_the_same_questions_from_everywhere(tmp_path):
    rows = [ENTRY | {"id": f"v7w-{number}"} for number in range(10)]
    assert [case.id for case in read(tmp_path, rows, limit=4)] == ["v7w-0", "v7w-2", "v7w-5", "v7w-7"]
    assert len(read(tmp_path, rows, limit=99)) == 10
    assert read(tmp_path, rows, limit=0) == []


def test_questions_with_one_id_get_each_their_own(tmp_path):
    rows = [ENTRY, ENTRY, ENTRY | {"id": "v7w-9"}]
    assert [case.id for case in read(tmp_path, rows)] == ["v7w-123", "v7w-123#2", "v7w-9"]
    assert [case.id for case in read(tmp_path, rows, limit=2)] == ["v7w-123", "v7w-123#2"]


def test_a_box_without_width_can_be_drawn(tmp_path):
    (case,) = read(tmp_path, [ENTRY | {"bboxes": [[10, 20, 10, 70], *BOXES[1:]]}])
    assert texts(case)[0] == "box:9.5,20,10.5,70@red,width=3"


def test_a_file_that_changed_is_read_again(tmp_path):
    assert len(read(tmp_path, [ENTRY])) == 1
    assert len(read(tmp_path, [ENTRY, ENTRY])) == 2


HOME = "https://huggingface.co/datasets/mucai/ViP-LLaVA-Instruct"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", f"v7w-test.json is empty; it is published at {HOME}"),
        (b'[{"id": "v7w-1", "ima', "v7w-test.json isn't whole JSON: unterminated string"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a Git LFS pointer, not the file itself"),
        ({"id": 1}, "v7w-test.json must be one list of records, got an object"),
        ([], "v7w-test.json must be one list of records, got a list of 0"),
        ([ENTRY, 5], "v7w-test.json, entry 2: it must be an object, got 5"),
        ([ENTRY | {"id": "vcr-1"}], 'v7w-test.json, entry 1: its id must begin with v7w-, got "vcr-1"'),
        ([ENTRY | {"id": None}], "entry 1: its id must begin with v7w-, got nothing"),
        ([ENTRY | {"id": "v7w-\ud800"}], "entry 1: its id isn't UTF-8"),
        ([ENTRY | {"question": " "}], 'entry 1: its question must be a text, got " "'),
        ([ENTRY | {"question": "\ud800?"}], "entry 1: its question isn't UTF-8: "),
        ([ENTRY | {"bboxes": BOXES[:3]}], "entry 1: its bboxes must be a list of 4, got a list of 3"),
        ([ENTRY | {"bboxes": None}], "entry 1: its bboxes must be a list of 4, got nothing"),
        ([ENTRY | {"answer": [1, 2, 3, 4]}], "entry 1: its answer must be one of its bboxes"),
        (
            [ENTRY | {"bboxes": [*BOXES[:3], [1, 2, 3]], "answer": BOXES[0]}],
            "entry 1: its box 4 must be a list of 4 numbers, got a list of 3",
        ),
        (
            [ENTRY | {"bboxes": [[60, 20, 10, 70], *BOXES[1:]]}],
            "entry 1: its box 1 must be x1, y1, x2, y2, got 60, 20, 10, 70",
        ),
        ([ENTRY | {"bboxes": [[0, 0, 1, 9e9], *BOXES[1:]]}], "entry 1: the coordinate 9e+09 is out of any picture"),
        ([ENTRY | {"image": 5}], "entry 1: its image must be a text, got 5"),
        ([ENTRY | {"image": "http://a/b.jpg"}], 'entry 1: its image must be the path of a file, got "http://a/b.jpg"'),
        (
            [ENTRY, ENTRY | {"image": "v7w/a\nb.jpg"}, ENTRY | {"image": "v7w/c.jpg"}],
            "2 of the 3 pictures that v7w-test.json names are missing, first ",
        ),
        ([ENTRY | {"image": "v7w/c.jpg"}], "visual7w_images.zip"),
    ],
)
def test_a_fault_is_one_sentence(tmp_path, content, sentence):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, content)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        (None, "the data are missing: --data must name the folder with v7w-test.json, published at " + HOME),
        ("none", "none is no folder: it must be the one with v7w-test.json, published at " + HOME),
        (".", f" has no v7w-test.json: it is published at {HOME}"),
    ],
)
def test_a_missing_folder_or_file_says_what_it_must_hold(tmp_path, folder, sentence):
    with pytest.raises(UsageError) as caught:
        list(task_of("visual7w").read(Reading(folder and tmp_path / folder)))
    assert sentence in str(caught.value)
