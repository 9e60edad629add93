"""VCR, from files of the authors' to what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluation.authors import SIZE, lay, picture, prepared, texts

from vipcli.errors import UsageError
from vipcli.evaluation.cases import Case, Reading
from vipcli.evaluation.styles import Style
from vipcli.evaluation.tasks import task_of

SQUARE = [[10, 20], [30, 20], [30, 60], [10, 60]]
HOOK = [[100, 10], [110, 10], [110, 80], [150, 80], [150, 90], [100, 90]]  # an L, whose middle is outside of it
META: dict[str, Any] = {
    "boxes": [[10, 20, 30, 60, 0.99], [40, 20, 60, 60, 0.9], [100, 10, 150, 90, 0.8]],
    "segms": [[SQUARE], [[[40, 20], [60, 20], [50, 60]]], [[[1, 1], [2, 1], [2, 2], [1, 2]], HOOK]],
    "names": ["person", "person", "dog"],
    "width": SIZE[0],
    "height": SIZE[1],
}
ENTRY: dict[str, Any] = {
    "id": "vcr-val-0",
    "image": "vcr1images/movie/1.jpg",
    "meta_dir": "./dataset/vcr1images/movie/1.json",
    "class_names": ["person", "person", "dog"],
    "question": ["Why", "is", [1], "looking", "at", [2], "?"],
    "answer_choices": [
        [[1, 2], "are", "friends", "."],
        ["He", "@", "likes", [2], "."],
        ["It", "is", "late", "."],
        ["Because", "of", [2], "'s", "bone", "."],
    ],
    "answer_label": 1,
    "rationale_choices": [
        [[0], [2], "run", "."],
        ["He", "smiles", ",", "he", "does", "."],
        ["No", "."],
        ["Dogs", "bark", "."],
    ],
    "rationale_label": 3,
}
ANSWERS = """Why is the person at the red point looking at the dog at the lime point?
A. The person at the red point and the dog at the lime point are friends.
B. He @ likes the dog at the lime point.
C. It is late.
D. Because of the dog at the lime point 's bone.
Answer with the option's letter from the given choices directly."""
REASONS = (
    "I give you a question and its answer, I need you to provide a rationale explaining why the answer is right. "
    '"Why is the person at the lime point looking at the dog at the blue point?" The answer is '
    '"He @ likes the dog at the blue point.".What is the rationale for this decision?\n'
    "A. The person at the red point the dog at the blue point run.\n"
    "B. He smiles, he does.\n"
    "C. No.\n"
    "D. Dogs bark.\n"
    "Answer with the option's letter from the given choices directly."
)


def read(folder: Path, task: str, change: Any = None, meta: Any = META, **how: Any) -> list[Case]:
    rows = [ENTRY | change] if isinstance(change, dict) else change or [ENTRY]
    lay(folder, {"vcr-val.json": rows, "vcr1images/movie/1.json": meta, "vcr1images/movie/1.jpg": picture()})
    return list(task_of(task).read(Reading(folder, **how)))


def test_an_answer_is_asked_for_as_the_authors_do(tmp_path):
    (case,) = read(tmp_path, "vcr-qa")
    assert case.question.replace("@@", "@") == ANSWERS
    assert (case.id, case.truth, case.rule, case.size) == ("vcr-val-0", "B", "equals-letter", SIZE)
    assert case.groups == {"question": ("why",), "objects": ("2",)}


def test_a_reason_is_asked_for_with_the_question_and_its_right_answer(tmp_path):
    (case,) = read(tmp_path, "vcr-qar")
    assert case.question.replace("@@", "@") == REASONS
    assert (case.truth, case.choices) == ("D", ("A", "B", "C", "D"))
    assert case.groups == {"question": ("why",), "objects": ("3",)}


def test_every_object_that_is_mentioned_gets_a_point_that_lies_on_it(tmp_path):
    (case,) = read(tmp_path, "vcr-qar")
    assert texts(case) == [
        "point:20,40@red,width=8",
        "point:50,40@lime,width=8",  # three corners are no outline: the middle of its box
        "point:105,50@blue,width=8",  # the middle of its larger polygon lies outside of it
    ]


def test_batch_draws_its_markers_and_leaves_the_question_as_it_is(tmp_path):
    (case,) = read(tmp_path, "vcr-qa")
    ready = prepared(case)
    assert ready.question == ANSWERS
    assert ready.markers == tuple(texts(case))
    assert task_of("vcr-qa").fit == "stretch"


def test_another_style_changes_the_markers_the_question_and_the_choices(tmp_path):
    (case,) = read(tmp_path, "vcr-qar", style=Style("contour", "gold", None))
    assert (
        '"Why is the person with the red mask contour looking at the dog with the lime mask contour?"' in case.question
    )
    assert "A. The person with the gold mask contour the dog with the lime mask contour run." in case.question
    assert texts(case)[0] == "contour:10,20,30,20,30,60,10,60@gold"
    assert texts(case)[2] == "contour:100,10,110,10,110,80,150,80,150,90,100,90@lime"
    (case,) = read(tmp_path, "vcr-qar", style=Style("box", "red", None))
    assert texts(case)[2] == "box:100,10,150,90@blue", "boxes as they are told, not around the outlines"


def test_beyond_nine_objects_the_colours_are_not_told_and_still_differ(tmp_path):
    many = {
        "boxes": [[10 * number, 10, 10 * number + 8, 20, 1.0] for number in range(12)],
        "segms": [[]] * 12,
    }
    change = {"class_names": ["dog"] * 12, "answer_choices": [[list(range(12))]] + [["No", "."]] * 3}
    (case,) = read(tmp_path, "vcr-qa", change, many)
    assert case.size is None
    last = case.question.splitlines()[1]
    assert last.startswith("A. The dog at the red point and the dog at the lime point and")
    assert last.endswith(
        "and the dog at the gold point and the dog at the point and the dog at the point and the dog at the point"
    )
    colors = [text.partition("@")[2].partition(",")[0] for text in texts(case)]
    assert len(set(colors)) == 12
    assert all(color.startswith("#") for color in colors[9:])
    assert case.groups["objects"] == ("10 and more",)
    assert len(prepared(case).markers) == 12


WORDS = [["a"], ["b"], ["c"], ["d"]]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"question": "Why?"}, 'its question must be a list of words and of lists of objects, got "Why?"'),
        ({"question": []}, "its question must be a list of words and of lists of objects, got a list of 0"),
        ({"question": ["Why", 5]}, "its question must hold words and lists of objects' numbers, got 5"),
        ({"question": ["Why", [-1]]}, "its question must hold words and lists of objects' numbers, got a list of 1"),
        ({"question": ["Why", [True]]}, "its question must hold words and lists of objects' numbers, got a list of 1"),
        ({"question": ["\ud800"]}, "its question isn't UTF-8"),
        ({"question": ["Why", [3]]}, "there is no object 3: they are 3, from 0"),
        ({"answer_choices": WORDS[:3]}, "its answer_choices must be a list of 4, got a list of 3"),
        ({"answer_choices": [*WORDS[:3], "d"]}, "one of its answer_choices must be a list of words"),
        ({"answer_label": 4}, "its answer_label must be a number from 0 to 3, got 4"),
        ({"answer_label": "1"}, 'its answer_label must be a number from 0 to 3, got "1"'),
        ({"class_names": ["person", 5, "dog"]}, "one of its class_names must be a text, got 5"),
        ({"class_names": ["person"]}, "boxes must be a list of 1, one for each of class_names, got a list of 3"),
        ({"meta_dir": None}, "its meta_dir must be a text, got nothing"),
    ],
)
def test_a_fault_of_an_entry_is_one_sentence(tmp_path, change, sentence):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "vcr-qa", change)
    assert str(caught.value).startswith("vcr-val.json, entry 1: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("meta", "sentence"),
    [
        (b"{", "isn't whole JSON"),
        ([], "what it holds must be an object, got a list of 0"),
        (META | {"segms": None}, "segms must be a list of 3, one for each of class_names, got nothing"),
        (META | {"boxes": [[1, 2, 3], 5, 5]}, "box 1 must be a list of 4 numbers, got 5"),
        (META | {"segms": [[], [[1, 2]], 5]}, "a pair of a polygon of segms 1 must be a list of 2 numbers, got 1"),
        (META | {"segms": [[], 5, []]}, "segms 1 must be a list of polygons, got 5"),
    ],
)
def test_a_fault_of_its_objects_names_the_entry_and_their_file(tmp_path, meta, sentence):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "vcr-qa", meta=meta)
    assert str(caught.value).startswith("vcr-val.json, entry 1: its meta_dir ")
    assert "1.json" in str(caught.value)
    assert sentence in str(caught.value)


def test_missing_pictures_and_objects_are_counted(tmp_path):
    rows = [ENTRY, ENTRY | {"meta_dir": "./dataset/vcr1images/2.json"}]
    with pytest.raises(
        UsageError, match=r"^1 of the 2 files of objects that vcr-val\.json names are missing, first .*2\.json"
    ):
        read(tmp_path, "vcr-qa", rows)
    rows = [ENTRY, ENTRY | {"image": "vcr1images/2.jpg"}]
    with pytest.raises(
        UsageError, match=r"^1 of the 2 pictures .*: they are published at https://visualcommonsense\.com"
    ):
        read(tmp_path, "vcr-qa", rows)
