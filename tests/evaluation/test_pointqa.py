"""PointQA-LookTwice, from a file of the authors' to what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluation.authors import lay, picture, prepared, texts

from vipcli.errors import UsageError
from vipcli.evaluation.cases import Case, Reading
from vipcli.evaluation.styles import AUTHORS, Style
from vipcli.evaluation.tasks import task_of

ENTRY: dict[str, Any] = {
    "id": "pointQA_twice-7",
    "image": "vg/VG_100K/1.jpg",
    "general_question": "How many of these animals are there?",
    "bboxes": [[10, 20, 60, 70]],
    "answer": "Two",
}
ASKED = (
    "How many of these animals are there? The exemplary object is within the rectangle.\n"
    "Answer the question using a single word or phrase."
)


def read(folder: Path, content: Any, **how: Any) -> list[Case]:
    lay(folder, {"pointQA_twice_test.json": content, "vg/VG_100K/1.jpg": picture()})
    return list(task_of("pointqa-twice").read(Reading(folder, **how)))


def test_a_question_is_asked_as_the_authors_ask_it(tmp_path):
    (case,) = read(tmp_path, [ENTRY])
    assert case.question == ASKED
    assert texts(case) == ["box:10,20,60,70@red,width=3"]
    assert (case.id, case.truth, case.rule) == ("pointQA_twice-7", "Two", "exact")
    assert case.groups == {"right answer": ("two",)}
    assert prepared(case).question == ASKED
    assert prepared(case).markers == ("box:10,20,60,70@red,width=3",)


def test_another_style_is_named_by_its_shape_as_theirs_is(tmp_path):
    (case,) = read(tmp_path, [ENTRY], style=Style("contour", "blue", None))
    assert " The exemplary object is with the mask contour.\n" in case.question
    assert texts(case)[0].startswith("contour:")
    assert texts(case)[0].endswith("@blue")
    (case,) = read(tmp_path, [ENTRY], style=AUTHORS)
    assert case.question == ASKED


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": "v7w-1"}, 'entry 1: its id must begin with pointQA_twice-, got "v7w-1"'),
        ({"bboxes": [[1, 2, 3, 4], [1, 2, 3, 4]]}, "entry 1: its bboxes must be a list of 1, got a list of 2"),
        ({"bboxes": [[1, 2, "x", 4]]}, 'entry 1: its box must be a number, got "x"'),
        ({"general_question": None}, "entry 1: its general_question must be a text, got nothing"),
        ({"answer": 2}, "entry 1: its answer must be a text, got 2"),
        ({"image": "vg/no.jpg"}, "1 of the 1 pictures that pointQA_twice_test.json names are missing, first"),
    ],
)
def test_a_fault_is_one_sentence(tmp_path, change, sentence):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, [ENTRY | change])
    assert sentence in str(caught.value)
