"""Visual7W, pointing: a question and four boxes, one of which is the answer.

``v7w-test.json``: ``question``, ``bboxes`` (four, x1, y1, x2, y2) and ``answer``, the right one of them. The authors
give the four random colours and leave "the" out of "within the red rectangle" half of the time, at random; here the
colours are those of the style in its order, and "the" is always there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vipcli.errors import UsageError
from vipcli.evaluation.cases import Case, Reading, Task
from vipcli.evaluation.styles import AUTHORS, Style
from vipcli.evaluation.tasks.reading import Record, Source, box_of, path_of, read_cases, text_of
from vipcli.evaluation.tasks.wording import LETTERS, as_question, begins_with, mark_all, multiple_choice
from vipcli.markers.formats.reading import shown

__all__ = ["TASKS"]

_SOURCE = Source(
    "v7w-test.json",
    "https://huggingface.co/datasets/mucai/ViP-LLaVA-Instruct",
    "http://vision.stanford.edu/yukezhu/visual7w_images.zip (as v7w/)",
)


def read(reading: Reading) -> Iterator[Case]:
    """The cases of ``v7w-test.json``."""
    return read_cases(reading, _SOURCE, "v7w", lambda record, folder: _case(record, folder, reading.style or AUTHORS))


def _case(record: Record, folder: Path, style: Style) -> Case:
    row = record.row
    boxes = row.get("bboxes")
    if not isinstance(boxes, list) or len(boxes) != len(LETTERS):
        raise UsageError(f"its bboxes must be a list of 4, got {shown(boxes)}")
    if row.get("answer") not in boxes:
        raise UsageError("its answer must be one of its bboxes")
    question = text_of(row, "question")
    markers = mark_all([box_of(box, f"its box {number}") for number, box in enumerate(boxes, 1)], style)
    options = [f"The object {phrase}" for _, phrase in markers]
    letter = LETTERS[boxes.index(row["answer"])]
    return Case(
        id=record.id,
        image=path_of(row, "image", folder),
        question=as_question(multiple_choice(question, options)),
        truth=letter,
        rule="equals-letter",
        markers=tuple(marker for marker, _ in markers),
        groups={"question": (begins_with(question),), "right letter": (letter,)},
        choices=LETTERS,
        where=record.where,
    )


TASKS: tuple[Task, ...] = (
    Task(
        "visual7w",
        "which of four marked things a question means",
        read,
        published={"7b": 86.09, "13b": 88.28},
        source="docs/MODEL_ZOO.md of mu-cai/ViP-LLaVA",
        max_new_tokens=128,
        home=_SOURCE.page,
        chance=0.25,
    ),
)
