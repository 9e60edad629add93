"""An exam on synthetic scenes: what the embedded model should be able to do, asked of scenes that it never saw.

Scenes and words are drawn from seeds that training never uses, and the questions of its paraphrases are in words that
training never had (``phrases.toml``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vipcli.evaluation.questions import (
    CONTROL,
    OTHER_ART,
    ROWS,
    Marking,
    Material,
    Question,
    about_a_stranger,
    about_several,
    by_ability,
    drawn_otherwise,
    held_out,
    how_many,
    in_a_conversation,
    in_own_words,
    other_drawings,
    under_one_marker,
)
from vipcli.scenes.talks import FOLLOW_UPS

__all__ = ["CONTROL", "OTHER_ART", "Key", "Marking", "Material", "Question", "exam", "keys", "questions_of"]

_SEED = 20261125
_PACKAGED = Material()  # nothing beyond what is in the package


@dataclass(frozen=True)
class Key:
    """What a few questions about one scene are drawn from, always the same ones.

    first: of the sitting; another number asks other questions. part, number: of the exam. count: how many questions.
    follows: whether they stand in a conversation, after another question.
    """

    first: int
    part: int
    number: int
    count: int = 1
    follows: bool = False


def exam(share: float = 1.0, first: int = 0, material: Material = _PACKAGED) -> Iterator[Question]:
    """All questions, or a `share` of them; other ones for each `first`."""
    for key in keys(share, first, material):
        yield from questions_of(key, material)


def keys(share: float = 1.0, first: int = 0, material: Material = _PACKAGED) -> Iterator[Key]:
    """What the questions of `exam` are drawn from."""
    for number, part in enumerate(_parts(material)):
        wanted = max(1, round(part.numbers * share))
        # A part of a whole takes every so-manieth, so that all kinds and things have their share.
        for one in np.linspace(0, part.numbers, wanted, endpoint=False).astype(int).tolist():
            yield Key(first, number, one, part.count(one), part.follows)


def questions_of(key: Key, material: Material = _PACKAGED, look: Marking | None = None) -> Iterator[Question]:
    """The questions of a key. look: how the one marker of the first part is drawn, in the place of its own ways."""
    parts = _parts(material)
    ask, later = parts[key.part].ask, parts[key.part].later
    seed = later or sum(not part.later for part in parts[: key.part])
    rng = np.random.default_rng((_SEED, key.first, seed, key.number))
    yield from ask(rng, key.number) if look is None else under_one_marker(rng, key.number, look)


@dataclass(frozen=True)
class _Part:
    """What asks about a number, how many numbers there are, and how many questions each of them comes to.

    later: a seed of its own, for a part that came later: the others go on asking what they did.
    """

    ask: Callable[[np.random.Generator, int], Iterator[Question]]
    numbers: int
    count: Callable[[int], int] = lambda _: 1
    follows: bool = False
    later: int | None = None


_LATER = {"where in the picture": 1000, "locate": 1001}


@functools.cache
def _parts(material: Material) -> list[_Part]:
    return [
        _Part(under_one_marker, 1024, lambda number: 3 if number % 4 == 0 else 2),
        _Part(about_several, 512, how_many),
        *(_Part(functools.partial(by_ability, row), 160, later=_LATER.get(row)) for row in ROWS),
        *(_Part(functools.partial(in_a_conversation, ability), 60, follows=True) for ability in FOLLOW_UPS),
        *(
            _Part(
                functools.partial(in_own_words, ability),
                len(some),
                follows=ability in FOLLOW_UPS,
                later=_LATER.get(ability),
            )
            for ability, some in held_out().items()
        ),
        _Part(about_a_stranger, 176),
        *(_Part(functools.partial(drawn_otherwise, row, look), 256) for row, look in other_drawings(material)),
    ]
