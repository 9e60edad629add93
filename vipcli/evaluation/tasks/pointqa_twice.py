"""PointQA-LookTwice: how many there are of what a marker shows.

``pointQA_twice_test.json``: ``general_question``, ``bboxes`` (one, x1, y1, x2, y2) and ``answer``, a word. The words
name the marker's shape, not its colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vipcli.errors import UsageError
from vipcli.evaluation.cases import Case, Reading, Task
from vipcli.evaluation.styles import AUTHORS, Style, mark_region
from vipcli.evaluation.tasks.reading import Record, Source, box_of, path_of, read_cases, text_of
from vipcli.evaluation.tasks.wording import as_question, nameless
from vipcli.markers.formats.reading import shown

__all__ = ["TASKS"]

_SOURCE = Source(
    "pointQA_twice_test.json",
    "https://huggingface.co/datasets/mucai/ViP-LLaVA-Instruct",
    "https://cs.stanford.edu/people/rak248/VG_100K_2/images.zip and images2.zip (as vg/)",
)


def read(reading: Reading) -> Iterator[Case]:
    """The cases of ``pointQA_twice_test.json``."""
    return read_cases(
        reading, _SOURCE, "pointQA_twice", lambda record, folder: _case(record, folder, reading.style or AUTHORS)
    )


def _case(record: Record, folder: Path, style: Style) -> Case:
    row = record.row
    boxes = row.get("bboxes")
    if not isinstance(boxes, list) or len(boxes) != 1:
        raise UsageError(f"its bboxes must be a list of 1, got {shown(boxes)}")
    marker, _ = mark_region(box_of(boxes[0], "its box"), style)
    question = f"{text_of(row, 'general_question')} The exemplary object is {nameless(style)}."
    answer = text_of(row, "answer")
    return Case(
        id=record.id,
        image=path_of(row, "image", folder),
        question=as_question(f"{question}\nAnswer the question using a single word or phrase."),
        truth=answer,
        rule="exact",
        markers=(marker,),
        groups={"right answer": (answer.strip().lower(),)},
        where=record.where,
    )


TASKS: tuple[Task, ...] = (
    Task(
        "pointqa-twice",
        "a question about all things like the marked one",
        read,
        published={"7b": 71.31, "13b": 71.77},
        source="docs/MODEL_ZOO.md of mu-cai/ViP-LLaVA",
        max_new_tokens=128,
        home=_SOURCE.page,
    ),
)
