"""Two runs over the same questions: which is better, and whether that is more than luck."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vipcli.errors import UsageError, quote
from vipcli.evaluation.lines import PLAIN, Line
from vipcli.evaluation.results import ends_in_per_cent, members_of, per_cent, scores_of
from vipcli.evaluation.statistics import Interval, Ratio, bootstrap, mcnemar, mean_of, numbered

__all__ = ["Comparison", "Versus", "compare"]


@dataclass(frozen=True)
class Versus:
    """Two runs on a group of questions.

    heading, name: see `vipcli.evaluation.results.Row`. asked: questions. scored: those that both runs have a score of,
    and only these count in all that follows. a, b: scores, in per cent; None where nothing is scored. difference:
    ``b - a``; interval: of it, 95 %, from drawing pictures. both, only_a, only_b, neither: how many questions which
    run has right; a caption is right or wrong in no run, so it counts as neither. p: the exact McNemar test on only_a
    and only_b, which takes every question for one of its own, also where several are about one picture.
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

    Raises `UsageError` unless both asked the same: the same ids, each with a picture of the same name, the same truth
    and question. A question may be in other words where its markers differ too: it names them.
    """
    first, second = _by_id(lines_a, a), _by_id(lines_b, b)
    _need_same(first, second, a, b)
    pairs = [(line, second[id]) for id, line in first.items()]
    ours, theirs = (scores_of(side) for side in zip(*pairs, strict=True))
    members = {
        group: (len(own), own[~np.isnan(ours[own] + theirs[own])])
        for group, own in members_of([line for line, _ in pairs]).items()
    }
    differences = [mean_of(theirs - ours, own, (-1.0, 1.0)) for _, own in members.values()]
    intervals = bootstrap(differences, numbered([line.picture for line, _ in pairs]))
    rows = tuple(
        _versus(
            group,
            asked,
            [pairs[i] for i in difference.items],
            (mean_of(ours, difference.items), mean_of(theirs, difference.items), difference),
            interval,
        )
        for (group, (asked, _)), difference, interval in zip(members.items(), differences, intervals, strict=True)
    )
    restyled = sum(bool(one.markers and other.markers) and one.markers != other.markers for one, other in pairs)
    return Comparison(a, b, rows, restyled=restyled)  # of what failed, or was answered elsewhere, none are known


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
        ("picture", os.path.basename(one.picture) == os.path.basename(other.picture)),  # its folder may lie elsewhere
        ("truth", one.truth == other.truth),
        ("question", one.question == other.question or one.markers != other.markers),
    ):
        if not same:
            return what
    return None


def _versus(
    group: tuple[str, str],
    asked: int,
    pairs: Sequence[tuple[Line, Line]],
    means: Sequence[Ratio],
    interval: Interval | None,
) -> Versus:
    """The row of a group. pairs: those with both scores; means: of the first run, the second, and their difference."""
    came = Counter((one.outcome == "right", other.outcome == "right") for one, other in pairs)
    only_a, only_b = came[True, False], came[False, True]
    return Versus(
        *group,
        asked=asked,
        scored=len(pairs),
        a=per_cent(means[0].value),
        b=per_cent(means[1].value),
        difference=per_cent(means[2].value),
        interval=ends_in_per_cent(interval),
        both=came[True, True],
        only_a=only_a,
        only_b=only_b,
        neither=came[False, False],
        p=mcnemar(only_a, only_b),
    )
