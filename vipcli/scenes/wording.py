"""Facts as questions: a phrase's slots filled, and a question as people type it."""

from __future__ import annotations

import string
from collections.abc import Mapping

import numpy as np

__all__ = ["roughened", "typo", "worded"]


def worded(phrase: str, slots: Mapping[str, str]) -> str | None:
    """Fill a phrase's ``{slots}``, with a capital at the front; None where it has one that isn't there."""
    wanted = [name for _, name, _, _ in string.Formatter().parse(phrase) if name]
    if any(name not in slots for name in wanted):
        return None
    text = phrase.format(**slots)
    return text[0].upper() + text[1:]


def roughened(rng: np.random.Generator, text: str) -> str:
    """A question as people type it: without capitals or its mark, with a please, with one letter wrong."""
    fate = rng.random()
    if fate < 0.2:
        text = f"Please {text[0].lower()}{text[1:]}" if text.endswith(".") else f"{text.rstrip('?')}, please?"
    if rng.random() < 0.5:
        text = text.lower()
    elif rng.random() < 0.2:
        text = text.upper()
    if rng.random() < 0.35:
        text = text.rstrip("?.!")
    if rng.random() < 0.4:
        text = typo(rng, text)
    return text


def typo(rng: np.random.Generator, text: str) -> str:
    """One letter left out, doubled, swapped with the next or replaced by another."""
    places = [i for i, letter in enumerate(text[:-1]) if letter.isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    at = places[rng.integers(len(places))]
    other = string.ascii_lowercase[rng.integers(26)]
    return (
        text[:at] + text[at + 1 :],
        text[:at] + text[at] + text[at:],
        text[:at] + text[at + 1] + text[at] + text[at + 2 :],
        text[:at] + other + text[at + 1 :],
    )[rng.integers(4)]
