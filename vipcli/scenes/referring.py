"""Marked things in words: by the colour and kind of their marker, or by one of them where that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vipcli.markers import Marker

__all__ = ["KIND_WORDS", "By", "Reference", "described", "refer"]

KIND_WORDS = {
    "box": ("rectangle", "box"),
    "ellipse": ("ellipse", "circle"),
    "point": ("point", "dot"),
    "arrow": ("arrow",),
    "triangle": ("triangle",),
    "contour": ("mask contour", "contour"),
    "mask": ("mask",),
    "scribble": ("scribble",),
}
"""What a marker is called, by its kind; the trained word first."""
_NOUNS = ("object", "object", "object", "thing", "item")


@dataclass(frozen=True)
class Reference:
    """A marked thing in words: `it` as a noun phrase, `where` behind a noun, `marker` the marker itself."""

    it: str
    where: str
    marker: str


By = Literal["both", "color", "kind"]


def refer(
    rng: np.random.Generator, marker: Marker, markers: Sequence[Marker], by: By | None = None, both: int = 4
) -> Reference:
    """Name what `marker` marks so that no other of `markers` is meant.

    by: its colour and kind, as ``@name`` does, or one of them alone; None: at random, of what tells it apart. both: how
    many times as often both as one of them.
    """
    assert marker.color is not None
    color = marker.color.name
    if by is None:
        ways: list[By] = ["both"] * both
        if sum(one.kind == marker.kind for one in markers) == 1:
            ways.append("kind")
        if sum(one.color == marker.color for one in markers) == 1:
            ways.append("color")
        by = ways[rng.integers(len(ways))]
    noun = _NOUNS[rng.integers(len(_NOUNS))]
    if by == "color":
        mark = ("marker", "mark", "marking")[rng.integers(3)]
        where = (f"marked in {color}", f"with the {color} {mark}", f"at the {color} {mark}")[rng.integers(3)]
        return Reference(f"the {noun} {where}", where, f"the {color} {mark}")
    where = marker.phrase.format(color=color)
    trained = where.split(f"{color} ", 1)[1]
    words = KIND_WORDS[marker.kind]
    word = words[rng.integers(len(words))] if rng.random() < 0.3 else trained
    if word != trained:
        where = f"{('in', 'within')[rng.integers(2)] if marker.kind in ('box', 'ellipse') else 'at'} the {color} {word}"
    the_marker = f"the {color} {word}"
    if by == "kind":
        where, the_marker = where.replace(f"{color} ", ""), f"the {word}"
    return Reference(f"the {noun} {where}", where, the_marker)


def described(marker: Marker) -> str:
    """``a red rectangle``."""
    assert marker.color is not None
    color = marker.color.name
    noun = marker.phrase.format(color=color).split(f"{color} ", 1)[1]
    return f"{'an' if color[0] in 'aeiou' else 'a'} {color} {noun}"
