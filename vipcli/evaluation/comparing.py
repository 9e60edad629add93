"""Two runs over the same questions: which is better, and whether that is more than luck."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vipcli.errors import UsageError, quote
from vipcli.evaluation.lines import PLAIN, Line
from vipcli.evaluation.results import members_of
from vipcli.evaluation.statistics import Interval, Ratio, bootstrap, mcnemar, numbered

__all__ = ["Comparison", "Versus", "compare"]


@dataclass(frozen=True)
class Versus:
    """Two runs on a group of questions.

    heading, name: see `vipcli.evaluation.results.Row`. asked: questions. scored: those that both runs have a score of,
    and only these count in all that follows. a, b: scores, in per cent; None where nothing is scored. difference:
    ``b - a``; interval: of it, 95 %, from drawing pictures. both, only_a, only_b, neither: how many questions which
    run has right (a score of 1). p: the exact McNemar test on only_a and only_b.
    """

    heading: str
    name: str
    asked: int
    scored: int
    a: float | None
    b: float | None
    difference: float | None
    interval: Interval | None
    both: int
    only_a: int
    only_b: int
    neither: int
    p: float

    @property
    def complete(self) -> bool:
        """Whether every question counts in."""
        return self.scored == self.asked


@dataclass(frozen=True)
class Comparison:
    """All of it. a, b: what the runs are called. rows: the whole first. restyled: questions whose markers differ."""

    a: str
    b: str
    rows: tuple[Versus, ...]
    restyled: int = 0

    @property
    def overall(self) -> Versus:
        """The row of all questions."""
        return self.rows[0]

    @property
    def complete(self) -> bool:
        """Whether every question counts in."""
        return self.overall.complete


def compare(lines_a: Iterable[Line], lines_b: Iterable[Line], *, a: str = "A", b: str = "B") -> Comparison:
    """Compare two runs, each question with itself; only those asked as the task has them, no styles and no controls.

    Raises `UsageError` unless both asked the same: the same ids, each with the same picture, truth and question. A
    question may be in other words where its markers differ too: it names them.
    """
    first, second = _by_id(lines_a, a), _by_id(lines_b, b)
    _need_same(first, second, a, b)
    pairs = [(line, second[id]) for id, line in first.items()]
    ours, theirs = (
        np.array([np.nan if line.score is None else line.score for line in side], float)
        for side in zip(*pairs, strict=True)
    )
    members = {
        group: (len(own), own[~np.isnan(ours[own] + theirs[own])])
        for group, own in members_of([line for line, _ in pairs]).items()
    }
    differences = [Ratio(own, theirs[own] - ours[own], np.ones(len(own))) for _, own in members.values()]
    intervals = bootstrap(differences, numbered([line.picture for line, _ in pairs]))
    rows = tuple(
        _versus(group, asked, ours[own], theirs[own], interval)
        for (group, (asked, own)), interval in zip(members.items(), intervals, strict=True)
    )
    return Comparison(a, b, rows, restyled=sum(one.markers != other.markers for one, other in pairs))


def _by_id(lines: Iterable[Line], name: str) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for line in lines:
        if line.variant != PLAIN:
            continue
        if line.id in found:
            raise UsageError(f"{quote(name)} has {quote(line.id)} twice: it can't be compared")
        found[line.id] = line
    if not found:
        raise UsageError(f"{quote(name)} has no questions to compare")
    return found


def _need_same(first: dict[str, Line], second: dict[str, Line], a: str, b: str) -> None:
    missing, more = len(first.keys() - second.keys()), len(second.keys() - first.keys())
    if missing or more:
        raise UsageError(
            f"{quote(a)} and {quote(b)} aren't over the same questions: {missing:,} only in the first, {more:,} only "
            f"in the second, {len(first) - missing:,} in both"
        )
    other = [id for id, line in first.items() if _differs(line, second[id])]
    if other:
        raise UsageError(
            f"{quote(a)} and {quote(b)} aren't over the same questions: {len(other):,} of {len(first):,} differ, the "
            f"first of them, {quote(other[0])}, in its {_differs(first[other[0]], second[other[0]])}"
        )


def _differs(one: Line, other: Line) -> str | None:
    for what, same in (
        ("picture", one.picture == other.picture),
        ("truth", one.truth == other.truth),
        ("question", one.question == other.question or one.markers != other.markers),
    ):
        if not same:
            return what
    return None


def _versus(
    group: tuple[str, str], asked: int, ours: np.ndarray, theirs: np.ndarray, interval: Interval | None
) -> Versus:
    right_a, right_b = ours >= 1, theirs >= 1
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    some = len(ours) > 0
    return Versus(
        *group,
        asked=asked,
        scored=len(ours),
        a=100 * float(ours.mean()) if some else None,
        b=100 * float(theirs.mean()) if some else None,
        difference=100 * float((theirs - ours).mean()) if some else None,
        interval=None if interval is None else (100 * interval[0], 100 * interval[1]),
        both=int((right_a & right_b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~right_a & ~right_b).sum()),
        p=mcnemar(only_a, only_b),
    )
