"""The embedded model's own scenes: the exam of its card, which needs no data.

A case is ``scene:FIRST/PART/NUMBER#INDEX``, for a marker of another style with ``?KIND,COLOR,WIDTH`` behind it, for the
question before it in a conversation with ``-before``. It is drawn, and its question and truth with it, in the process
that makes it ready for the model: here it has neither.
"""

from __future__ import annotations

import functools
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from vipcli.evaluation.cases import Case, Reading, Task
from vipcli.evaluation.exam import CONTROL, Key, Marking, Question, keys, questions_of
from vipcli.evaluation.styles import Style
from vipcli.markers import KINDS, Color

__all__ = ["TASKS", "draw_scene"]

_IMAGE = re.compile(r"scene:(\d+)/(\d+)/(\d+)#(\d+)(-before)?(?:\?(\w+),(\w+),([\d.]*))?")
_ONE_MARKER = 0  # part of the exam whose questions have one marker each
_KEPT = 8  # scenes that a process remembers: questions about one come one after the other


def read(reading: Reading) -> Iterator[Case]:
    """The questions of the card, all but its control; beyond them, those of further sittings.

    With a style, the questions about one marker, drawn like that.
    """
    chosen: list[tuple[Key, int]] = []
    wanted = reading.limit
    for first in itertools.count():
        places = list(_places(first, reading.style))
        wanted = len(places) if wanted is None else wanted
        # A larger limit asks the same ones and more, so that what was answered stays of use.
        some = np.random.default_rng(0).permutation(len(places))[: wanted - len(chosen)]
        chosen += [places[at] for at in sorted(some.tolist())]
        if len(chosen) >= wanted:
            break
    style = "" if reading.style is None else "?" + _written(reading.style)
    for key, index in chosen:
        image = f"scene:{key.first}/{key.part}/{key.number}#{index}"
        name = f"{key.first}-{key.part}-{key.number}-{index}"
        if key.follows:
            yield Case(f"{name}-before", f"{image}-before", "", "", "list", scored=False)
        yield Case(name, image + style, "", "", "list", before=f"{name}-before" if key.follows else None)


def _places(first: int, style: Style | None) -> Iterator[tuple[Key, int]]:
    for key in keys(first=first):
        if style is None:
            yield from ((key, index) for index in range(2 if key.part == _ONE_MARKER else key.count))
        elif key.part == _ONE_MARKER:
            yield key, 0


def _written(style: Style) -> str:
    return f"{style.kind},{style.color},{'' if style.width is None else f'{style.width:g}'}"


def draw_scene(image: str) -> Question:
    """The question of a case's image, its picture as it is when a file of it has been read."""
    match = _IMAGE.fullmatch(image)
    assert match is not None, image
    first, part, number, index = (int(text) for text in match.groups()[:4])
    question = _questions(first, part, number, *match.groups()[5:])[index]
    if match[5]:
        assert question.before is not None
        question = question.before
    assert question.row != CONTROL
    if not question.jpeg:
        return question
    file = io.BytesIO()
    Image.fromarray(question.picture).save(file, "JPEG", quality=question.jpeg)
    return replace(question, picture=np.asarray(Image.open(file)))


@functools.lru_cache(maxsize=_KEPT)
def _questions(
    first: int, part: int, number: int, kind: str | None, color: str | None, width: str | None
) -> tuple[Question, ...]:
    look = None
    if kind is not None and color is not None:
        look = Marking(KINDS[kind], Color.of(color), float(width) if width else None)
    return tuple(questions_of(Key(first, part, number), look=look))


TASKS = (
    Task(
        "synthetic",
        "what is marked, relations, counts, conversations: scenes that vip draws itself",
        read,
        max_new_tokens=48,  # as the card's script
        needs_data=False,
    ),
)
