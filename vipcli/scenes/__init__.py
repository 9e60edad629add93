"""Synthetic pictures whose truth is known: everyday things on a background, and markers put on them.

They train and judge the embedded model and serve as examples. Everything follows from a seed. art (the drawings),
composing (scenes of them), marking (markers on things, as in the paper's training data), facts (what is true of a
scene: the questions that can be asked of it, and their answers) by way of placing (where things lie, how large they
are).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.scenes.art import COLORS as COLORS
    from vipcli.scenes.art import STRANGERS as STRANGERS
    from vipcli.scenes.art import THINGS as THINGS
    from vipcli.scenes.art import Art as Art
    from vipcli.scenes.art import read_art as read_art
    from vipcli.scenes.composing import Look as Look
    from vipcli.scenes.composing import Scene as Scene
    from vipcli.scenes.composing import Thing as Thing
    from vipcli.scenes.composing import compose as compose
    from vipcli.scenes.marking import SHAPES as SHAPES
    from vipcli.scenes.marking import mark_thing as mark_thing
    from vipcli.scenes.words import plural as plural
    from vipcli.scenes.words import with_article as with_article

__getattr__, __all__ = door(
    __name__,
    {
        "art": ("COLORS", "STRANGERS", "THINGS", "Art", "read_art"),
        "composing": ("Look", "Scene", "Thing", "compose"),
        "marking": ("SHAPES", "mark_thing"),
        "words": ("plural", "with_article"),
    },
)
