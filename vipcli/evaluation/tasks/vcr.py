"""Visual Commonsense Reasoning: four answers to a question about people and things (Q->A), four reasons for it (QA->R).

``vcr-val.json``: ``question``, and in ``answer_choices`` and ``rationale_choices`` four texts, each a list of words and
of lists of numbers of objects; ``class_names`` by those numbers; ``answer_label`` and ``rationale_label``; and in
``meta_dir`` the path of a JSON file with their ``boxes`` (x1, y1, x2, y2, score) and ``segms`` (lists of x, y pairs).

Each object that is mentioned gets a point, of radius 8 and a colour of its own, and "[1]" becomes "the person at the
red point". The authors draw the colours, where in the object a point lies, "the" before the colour, and for a lone
object whether its colour is told, at random; here they are always the same, and told. Their pictures are squeezed into
the square, not padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from vipcli.errors import UsageError, quote
from vipcli.evaluation.cases import Case, Reading, Task
from vipcli.evaluation.styles import Region, Style
from vipcli.evaluation.tasks.reading import (
    Record,
    Source,
    box_of,
    check_files,
    naming,
    object_of,
    path_of,
    read_records,
    texts_of,
)
from vipcli.evaluation.tasks.wording import LETTERS, as_question, begins_with, mark_all, multiple_choice
from vipcli.markers.formats.reading import file_bytes, parse_json, points, shown, size_of
from vipcli.markers.shapes import XY

__all__ = ["TASKS"]

POINTS = Style("point", "red", 8.0)
"""The constant style of the authors' test."""

_SOURCE = Source(
    "vcr-val.json",
    "https://huggingface.co/datasets/mucai/ViP-LLaVA-Instruct",
    "https://visualcommonsense.com/download/ (as vcr1images/)",
)
_ASK = "I give you a question and its answer, I need you to provide a rationale explaining why the answer is right. "
_CLOSING = frozenset(".,?!:;")

Words = Sequence[str | list[int]]
"""A text in which a list of objects' numbers stands for them."""


def read(reading: Reading, asks: Literal["answer", "rationale"]) -> Iterator[Case]:
    """The cases of ``vcr-val.json`` that ask for an answer, or for a rationale."""
    records = read_records(reading, _SOURCE, "vcr")
    assert reading.folder is not None
    metas = []
    for record in records:
        with naming(record.where):
            metas.append(path_of(record.row, "meta_dir", reading.folder))
    check_files(metas, _SOURCE, "files of objects")
    cases = [
        _case(record, meta, reading.folder, reading.style or POINTS, asks)
        for record, meta in zip(records, metas, strict=True)
    ]
    check_files((case.image for case in cases), _SOURCE)
    yield from cases


def _case(record: Record, meta: str, folder: Path, style: Style, asks: Literal["answer", "rationale"]) -> Case:
    row = record.row
    with naming(record.where):
        question = _words(row.get("question"), "its question")
        answers = _choices(row, "answer_choices")
        options = answers if asks == "answer" else _choices(row, "rationale_choices")
        right = answers[_label(row, "answer_label")]
        letter = LETTERS[_label(row, f"{asks}_label")]
        told = [question, *options] if asks == "answer" else [question, right, *options]
        objects = sorted({number for words in told for word in words if isinstance(word, list) for number in word})
        names = texts_of(row, "class_names")
        regions, size = _regions(meta, objects, len(names))
        markers = mark_all(regions, style)
        say = partial(
            _said,
            names={number: f"{names[number]} {phrase}" for number, (_, phrase) in zip(objects, markers, strict=True)},
        )
        asked = say(question)
        if asks == "rationale":
            asked = f'{_ASK}"{asked}" The answer is "{say(right)}".What is the rationale for this decision?'
        return Case(
            id=record.id,
            image=path_of(row, "image", folder),
            question=as_question(multiple_choice(asked, [say(option) for option in options])),
            truth=letter,
            rule="equals-letter",
            markers=tuple(marker for marker, _ in markers),
            groups={"question": (begins_with(say(question)),), "objects": (_many(len(objects)),)},
            choices=LETTERS,
            size=size,
            where=record.where,
        )


def _words(value: object, what: str) -> Words:
    if not isinstance(value, list) or not value:
        raise UsageError(f"{what} must be a list of words and of lists of objects, got {shown(value)}")
    for word in value:
        numbered = isinstance(word, list) and all(type(number) is int and number >= 0 for number in word)
        if not numbered and not isinstance(word, str):
            raise UsageError(f"{what} must hold words and lists of objects' numbers, got {shown(word)}")
        if isinstance(word, str) and any("\ud800" <= char <= "\udfff" for char in word):
            raise UsageError(f"{what} isn't UTF-8: {quote(word)!r}")
    return value


def _choices(row: Mapping[str, Any], key: str) -> list[Words]:
    choices = row.get(key)
    if not isinstance(choices, list) or len(choices) != len(LETTERS):
        raise UsageError(f"its {key} must be a list of 4, got {shown(choices)}")
    return [_words(choice, f"one of its {key}") for choice in choices]


def _label(row: Mapping[str, Any], key: str) -> int:
    label = row.get(key)
    if type(label) is not int or not 0 <= label < len(LETTERS):
        raise UsageError(f"its {key} must be a number from 0 to 3, got {shown(label)}")
    return label


def _said(words: Words, names: Mapping[int, str]) -> str:
    """The words as one text, blanks as the authors set them."""
    text = ""
    for index, word in enumerate(words):
        if isinstance(word, str):
            text += word
        else:
            listed = " and the ".join(names[number] for number in word)
            text += f"{' the ' if index else 'The '}{listed}" if word else ""
        following = words[index + 1] if index + 1 < len(words) else None
        if isinstance(following, str) and following not in _CLOSING:
            text += " "
    return text


def _regions(meta: str, objects: Sequence[int], count: int) -> tuple[list[Region], tuple[int, int] | None]:
    """Where those objects of a picture lie, and the picture's size. count: how many there are."""
    content = _meta(meta)
    with naming(f"its meta_dir {quote(meta, 200)}"):
        boxes, outlines = _of_each(content, "boxes", count), _of_each(content, "segms", count)
        regions = []
        for number in objects:
            if number >= count:
                raise UsageError(f"there is no object {number}: they are {count}, from 0")
            box = boxes[number]
            region = box_of(box[:4] if isinstance(box, list) else box, f"box {number}")
            regions.append(replace(region, corners=_outline(outlines[number], f"segms {number}")))
        return regions, size_of(content.get("width"), content.get("height"))


def _of_each(content: Mapping[str, Any], key: str, count: int) -> list[Any]:
    value = content.get(key)
    if not isinstance(value, list) or len(value) != count:
        raise UsageError(f"{key} must be a list of {count}, one for each of class_names, got {shown(value)}")
    return value


@lru_cache(maxsize=64)  # the questions about a picture stand together
def _meta(path: str) -> Mapping[str, Any]:
    with naming(f"its meta_dir {quote(path, 200)}"):
        return object_of(parse_json(file_bytes(Path(path))), "what it holds")


def _outline(value: object, what: str) -> tuple[XY, ...] | None:
    """The largest polygon of an object; like the authors, none of fewer than four corners."""
    if not isinstance(value, list):
        raise UsageError(f"{what} must be a list of polygons, got {shown(value)}")
    polygons = [points(polygon, f"a polygon of {what}") for polygon in value if polygon]
    large = [polygon for polygon in polygons if len(polygon) >= 4 and _area(polygon) >= 1]
    if not large:
        return None
    largest = max(large, key=_area)
    return tuple(largest)


def _area(corners: Sequence[XY]) -> float:
    following = (*corners[1:], corners[0])
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(corners, following, strict=True))) / 2


def _many(count: int) -> str:
    return str(count) if count < 4 else "4 to 9" if count < 10 else "10 and more"


TASKS: tuple[Task, ...] = (
    Task(
        "vcr-qa",
        "which of four answers to a question about marked people and things is right",
        partial(read, asks="answer"),
        max_new_tokens=128,
        home=_SOURCE.page,
        fit="stretch",
        chance=0.25,
    ),
    Task(
        "vcr-qar",
        "which of four reasons for the right answer is the right one",
        partial(read, asks="rationale"),
        max_new_tokens=128,
        home=_SOURCE.page,
        fit="stretch",
        chance=0.25,
    ),
)
