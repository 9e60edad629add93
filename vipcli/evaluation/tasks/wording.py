"""Words that several tasks ask in, as `visual_prompt_organizer.py` in mu-cai/ViP-LLaVA puts them together."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence
from string import ascii_uppercase

from vipcli.batch import MarkerText
from vipcli.evaluation.styles import PALETTE, Region, Style, mark_region
from vipcli.markers import KINDS

__all__ = ["LETTERS", "as_question", "begins_with", "mark_all", "multiple_choice", "nameless"]

LETTERS = ("A", "B", "C", "D")

_ASKING = frozenset(
    "what which where who whose why when how is are was were do does did can could will would should has have".split()
)


def multiple_choice(question: str, options: Sequence[str]) -> str:
    """`question`, the options with a letter each, and how to answer, a line each."""
    lettered = (f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False))
    return "\n".join((question, *lettered, "Answer with the option's letter from the given choices directly."))


def as_question(text: str) -> str:
    """`text` as a question of a case: nothing in it names a marker."""
    return text.replace("@", "@@")


def nameless(style: Style) -> str:
    """The words for a marker without its colour: ``within the rectangle``."""
    return " ".join(KINDS[style.kind].phrase.format(color="").split())


def mark_all(regions: Sequence[Region], style: Style) -> list[tuple[MarkerText, str]]:
    """A marker on each region, no two of one colour, and the words for it.

    Beyond the nine trained colours the authors draw one at random and leave it out of the words; so here, but always
    the same ones.
    """
    colors = style.colors(min(len(regions), len(PALETTE)))
    named = [mark_region(region, style, color) for region, color in zip(regions, colors, strict=False)]
    others = [mark_region(region, style, _further(i))[0] for i, region in enumerate(regions[len(colors) :])]
    return named + [(marker, nameless(style)) for marker in others]


def _further(index: int) -> str:
    """Hues a golden angle apart, paler than any trained colour, then darker."""
    paler = index % 2 == 0
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618 % 1, 0.4 if paler else 1.0, 1.0 if paler else 0.45)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def begins_with(question: str) -> str:
    """The word that a question begins with, in lower case; ``other`` where it is none that asks."""
    word = re.match(r"\W*(\w+)", question)
    return word[1].lower() if word and word[1].lower() in _ASKING else "other"
