"""What a task asks: one `Case` for each question, with its truth, and where in a picture the thing asked about lies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vipcli.batch import MarkerText
from vipcli.evaluation.styles import Style
from vipcli.images import Fit

__all__ = ["Case", "Reading", "Rule", "Task"]

Rule = Literal["exact", "contains", "letter", "equals-letter", "number", "list", "judged", "caption"]
"""How an answer is held against the truth; see `vipcli.evaluation.answers`."""


@dataclass(frozen=True, eq=False)
class Case:
    """One question about one picture, and its truth.

    id: unique in its task. image: a path, ``data:`` URI or ``scene:`` of the synthetic task, whose question and truth
    come to light only when it is drawn. question: as the model reads it, an ``@`` written ``@@``. truth: the right
    answer; what it means, `rule` says: of ``letter`` the letter, of ``judged`` a text with ``<AND>`` and ``<OR>``, of
    ``caption``, ``exact``, ``contains`` and ``number`` alternatives, a line each. markers: on the picture, each with
    its whole style. groups: what the score is told by, heading -> the names that the case belongs to: ``{"capability":
    ("Rec", "OCR")}``. choices: the letters that there are. size: what the data says that the picture's (width, height)
    is. before: the id of the case whose question and answer stand before this one in the same conversation. scored:
    False where it is asked only to stand before another. where: for messages: ``v7w-test.json, entry 7``.
    """

    id: str
    image: str
    question: str
    truth: str
    rule: Rule
    markers: tuple[MarkerText, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    before: str | None = None
    scored: bool = True
    where: str = ""

    @property
    def picture(self) -> str:
        """What is drawn again when chance is estimated: the questions of one picture go together."""
        if self.image.startswith("scene:"):
            return self.image.partition("#")[0]
        if self.image.startswith("data:"):
            return f"data:{hashlib.blake2b(self.image.encode(), digest_size=8).hexdigest()}"
        return self.image


@dataclass(frozen=True)
class Reading:
    """How the data of a task is read.

    folder: where it lies; None where a task needs none. split: one of the task's. style: how regions are marked; None:
    as the authors do. limit: so many cases at most, always the same ones.
    """

    folder: Path | None = None
    split: str = ""
    style: Style | None = None
    limit: int | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """A benchmark.

    name: as a user types it. about: what it asks, in a line. read: its cases, in the order of the data; raises
    `UsageError` where the data is missing, half there or of another version: one sentence that names the file
    expected and where it is published. splits: the first is the default. published: model -> figure of the paper,
    in per cent, for the whole; of a task with splits under ``7b bbox`` and so on. source: where those figures
    stand. measure: what the figure is, in a word or two: ``accuracy``. best: the highest score of an answer. fit:
    how a picture becomes the model's square. max_new_tokens: of an answer. can_restyle: whether `Reading.style`
    means something. marks: whether the markers are drawn here, also without a style, so that they can be left out
    and moved: not where they are in the pictures. needs_data: whether it needs `Reading.folder`. home: where that
    data is published. chance: the share that guessing gets; None where it can't be known.
    """

    name: str
    about: str
    read: Callable[[Reading], Iterator[Case]]
    splits: tuple[str, ...] = ("",)
    published: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    measure: str = "accuracy"
    best: float = 1.0
    fit: Fit = "pad"
    max_new_tokens: int = 64
    can_restyle: bool = True
    marks: bool = True
    needs_data: bool = True
    home: str = ""
    chance: float | None = None
