"""What an evaluation found: scores by group, what the marker is worth, and which marker to use.

All figures are in per cent, all intervals are those of 95 %, from `vipcli.evaluation.statistics`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from vipcli.evaluation.cases import Task
from vipcli.evaluation.lines import CONTROLS, PLAIN, Line, Outcome
from vipcli.evaluation.statistics import Interval, Ratio, bootstrap, mean_of, numbered
from vipcli.evaluation.styles import PALETTE, Style
from vipcli.markers import KINDS

__all__ = [
    "OVERALL",
    "Control",
    "Results",
    "Row",
    "StyleRow",
    "Styles",
    "ends_in_per_cent",
    "members_of",
    "per_cent",
    "results_of",
    "scores_of",
]

OVERALL = "All"
"""The name of the row of all questions."""
_Column = TypeVar("_Column")
_STYLE = re.compile(r"(\w+) (\w+)(?:, width ([\d.e+-]+))?")


@dataclass(frozen=True)
class Row:
    """What came of a group of questions.

    heading, name: of the group; ``""`` and `OVERALL` of all. score: the mean over the `scored` ones; None where none
    is. interval: of it; None where it can't be told. asked = answered + failed; refused and unparsable answers are
    answers, and so are unscored ones. right, partly, wrong, ...: how many came to which outcome.
    """

    heading: str
    name: str
    score: float | None
    interval: Interval | None
    asked: int
    answered: int
    scored: int
    right: int
    partly: int
    wrong: int
    refused: int
    unparsable: int
    failed: int
    unscored: int

    @property
    def complete(self) -> bool:
        """Whether every question has a score: else `score` is that of a part."""
        return self.scored == self.asked


@dataclass(frozen=True)
class Control:
    """The same questions with the marker, and without it or with it elsewhere.

    variant: of `CONTROLS`. pairs: questions that have a score both ways, of the `asked`. plain, control: their scores.
    difference: ``plain - control``, the points that come from the marker. share: ``difference / plain``, the part of
    the score that comes from it. above_chance: ``difference / (plain - chance)``, the part of what is more than
    guessing; None where chance isn't known. Neither is given where it would be noise: where the interval of what it
    is a part of reaches zero. Below 0 the marker harms; above 100 the control is worse than guessing.
    """

    variant: str
    asked: int
    pairs: int
    plain: float | None
    control: float | None
    difference: float | None
    interval: Interval | None
    share: float | None
    share_interval: Interval | None
    above_chance: float | None
    above_chance_interval: Interval | None

    @property
    def complete(self) -> bool:
        """Whether every question counts in."""
        return self.pairs == self.asked


@dataclass(frozen=True)
class StyleRow:
    """What came of the questions under one style of marker.

    style: None where the name isn't one of `Style`. agreement: the share of questions whose answer is the one that
    most styles give (of several the one that came first). with_plain: the share answered as without `--styles`; None
    where nothing was asked so.
    """

    style: Style | None
    row: Row
    agreement: float | None
    with_plain: float | None

    @property
    def name(self) -> str:
        """``red box, width 3``."""
        return self.row.name


@dataclass(frozen=True)
class Styles:
    """Every style. unanimous: the share of questions that all styles answer alike."""

    rows: tuple[StyleRow, ...]
    unanimous: float

    @property
    def best(self) -> StyleRow | None:
        """The style with the highest score; of several the first."""
        scored = [row for row in self.rows if row.row.score is not None]
        return max(scored, key=lambda row: row.row.score or 0.0, default=None)

    @property
    def as_good(self) -> int:
        """How many others have the score of the best."""
        return sum(row.row.score == self.best.row.score for row in self.rows) - 1 if self.best else 0

    def by_color(self) -> dict[str, dict[str, StyleRow]]:
        """Kind -> colour -> its row, at the usual width."""
        return self._grid(lambda style: style.color if style.width is None else None)

    def by_width(self) -> dict[str, dict[float, StyleRow]]:
        """Kind -> width in units of the usual one -> its row, of the colour that has several widths."""
        several = Counter(row.style.color for row in self.rows if row.style and row.style.width is not None)
        if not several:
            return {}
        color = several.most_common(1)[0][0]
        return self._grid(lambda style: _factor(style) if style.color == color else None)

    def _grid(self, column: Callable[[Style], _Column | None]) -> dict[str, dict[_Column, StyleRow]]:
        grid: dict[str, dict[_Column, StyleRow]] = {}
        for row in self.rows:
            if row.style is not None and (where := column(row.style)) is not None:
                grid.setdefault(row.style.kind, {})[where] = row
        return grid


@dataclass(frozen=True)
class Results:
    """All of it. rows: the whole first, then each heading's names. published: model -> figure of `source`."""

    task: str
    split: str
    measure: str
    rows: tuple[Row, ...]
    controls: tuple[Control, ...] = ()
    styles: Styles | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    chance: float | None = None

    @property
    def overall(self) -> Row:
        """The row of all questions."""
        return self.rows[0]

    @property
    def complete(self) -> bool:
        """Whether nothing at all lacks a score."""
        rows = [*self.rows, *(style.row for style in (self.styles.rows if self.styles else ()))]
        return all(row.complete for row in rows) and all(control.complete for control in self.controls)


def results_of(lines: Iterable[Line], task: Task, split: str = "") -> Results:
    """What `lines` come to, the questions of `task`'s `split` in any variants."""
    by_variant: dict[str, list[Line]] = {PLAIN: []}
    for line in lines:
        by_variant.setdefault(line.variant, []).append(line)
    plain = by_variant.pop(PLAIN)
    controls = tuple(_control(name, plain, by_variant.pop(name), task) for name in CONTROLS if name in by_variant)
    return Results(
        task=task.name,
        split=split or task.splits[0],
        measure=task.measure,
        rows=_rows(plain, members_of(plain), task.best),
        controls=controls,
        styles=_styles(by_variant, plain, task.best) if by_variant else None,
        published=_published(task, split or task.splits[0]),
        source=task.source,
        chance=None if task.chance is None else 100 * task.chance,
    )


def _published(task: Task, split: str) -> dict[str, float]:
    """The figures of `split`, by model."""
    if task.splits == ("",):
        return dict(task.published)
    suffix = f" {split}"
    return {name.removesuffix(suffix): value for name, value in task.published.items() if name.endswith(suffix)}


def members_of(lines: Sequence[Line]) -> dict[tuple[str, str], np.ndarray]:
    """(heading, name) -> which lines belong to it, ``(n,) int``: all of them first, then as they first appear."""
    found: dict[tuple[str, str], list[int]] = {}
    for number, line in enumerate(lines):
        for heading, names in line.groups.items():
            for name in dict.fromkeys(names):
                found.setdefault((heading, name), []).append(number)
    headings = list(dict.fromkeys(heading for heading, _ in found))
    ordered = sorted(found, key=lambda group: headings.index(group[0]))  # names keep their order
    return {("", OVERALL): np.arange(len(lines)), **{group: np.array(found[group]) for group in ordered}}


def scores_of(lines: Sequence[Line]) -> np.ndarray:
    """The score of each line, (n,) float, nan where there is none."""
    return np.array([np.nan if line.score is None else line.score for line in lines], float)


def _pictures(lines: Sequence[Line]) -> np.ndarray:
    return numbered([line.picture for line in lines])


def per_cent(value: float | None) -> float | None:
    """A share in per cent."""
    return None if value is None else 100 * value


def ends_in_per_cent(interval: Interval | None) -> Interval | None:
    """An interval of shares in per cent."""
    return None if interval is None else (100 * interval[0], 100 * interval[1])


def _rows(lines: Sequence[Line], members: Mapping[tuple[str, str], np.ndarray], best: float) -> tuple[Row, ...]:
    scores = scores_of(lines)
    scored = {group: own[~np.isnan(scores[own])] for group, own in members.items()}
    means = [mean_of(scores, own, (0.0, best)) for own in scored.values()]
    intervals = bootstrap(means, _pictures(lines))
    return tuple(
        _row(group, [lines[i] for i in members[group]], mean, interval)
        for group, mean, interval in zip(members, means, intervals, strict=True)
    )


def _row(group: tuple[str, str], lines: Sequence[Line], mean: Ratio, interval: Interval | None) -> Row:
    came: Counter[Outcome] = Counter(line.outcome for line in lines)
    return Row(
        *group,
        score=per_cent(mean.value),
        interval=ends_in_per_cent(interval),
        asked=len(lines),
        answered=len(lines) - came["failed"],
        scored=len(mean.items),
        right=came["right"],
        partly=came["partly"],
        wrong=came["wrong"],
        refused=came["refused"],
        unparsable=came["unparsable"],
        failed=came["failed"],
        unscored=came["unscored"],
    )


def _control(variant: str, plain: Sequence[Line], control: Sequence[Line], task: Task) -> Control:
    """The marker's worth, from the questions that were asked both ways."""
    with_marker = {line.id: line for line in plain}
    pairs = [(with_marker[line.id], line) for line in control if line.id in with_marker]
    here, there = scores_of([one for one, _ in pairs]), scores_of([other for _, other in pairs])
    both, chance, best = np.flatnonzero(~np.isnan(here + there)), task.chance or 0.0, task.best
    score = mean_of(here, both, (0.0, best))
    difference = mean_of(here - there, both, (-best, best))
    to_gain = mean_of(here - chance, both, (-chance, best - chance))
    share, above = (Ratio(both, difference.above, whole.above) for whole in (score, to_gain))
    its_difference, its_score, its_gain, its_share, its_above = bootstrap(
        [difference, score, to_gain, share, above], _pictures([one for one, _ in pairs])
    )
    has_share = its_score is not None and its_score[0] > 0
    has_above = task.chance is not None and its_gain is not None and its_gain[0] > 0
    return Control(
        variant=variant,
        asked=max(len(plain), len(control)),
        pairs=len(both),
        plain=per_cent(score.value),
        control=per_cent(mean_of(there, both).value),
        difference=per_cent(difference.value),
        interval=ends_in_per_cent(its_difference),
        share=per_cent(share.value) if has_share else None,
        share_interval=ends_in_per_cent(its_share) if has_share else None,
        above_chance=per_cent(above.value) if has_above else None,
        above_chance_interval=ends_in_per_cent(its_above) if has_above else None,
    )


def _styles(by_variant: Mapping[str, Sequence[Line]], plain: Sequence[Line], best: float) -> Styles:
    lines = [line for some in by_variant.values() for line in some]
    ends = np.cumsum([len(some) for some in by_variant.values()])
    members = {
        ("style", name): np.arange(end - len(some), end)
        for (name, some), end in zip(by_variant.items(), ends, strict=True)
    }
    answers: dict[str, list[str | None]] = {}
    for line in lines:
        answers.setdefault(line.id, []).append(_said(line))
    most = {id: Counter(said for said in some if said is not None).most_common(1) for id, some in answers.items()}
    usual = {id: best[0][0] if best else None for id, best in most.items()}
    asked_plain = {line.id: _said(line) for line in plain}
    rows = tuple(
        StyleRow(_style(row.name), row, _alike(by_variant[row.name], usual), _alike(by_variant[row.name], asked_plain))
        for row in _rows(lines, members, best)
    )
    unanimous = sum(None not in some and len(set(some)) == 1 for some in answers.values())
    return Styles(rows, 100 * unanimous / len(answers))


def _said(line: Line) -> str | None:
    """What makes two answers the same: what was read from them, or their words."""
    if line.answer is None:
        return None
    return line.read or " ".join(line.answer.casefold().split()).rstrip(".!")


def _alike(lines: Sequence[Line], others: Mapping[str, str | None]) -> float | None:
    """The share of `lines` that say what `others` do, of those that are among them."""
    among = [(said, others[line.id]) for line in lines for said in (_said(line),) if line.id in others]
    return 100 * sum(one is not None and one == other for one, other in among) / len(among) if among else None


def _style(name: str) -> Style | None:
    match = _STYLE.fullmatch(name)
    if match is None or match[2] not in KINDS or match[1] not in PALETTE:
        return None
    return Style(match[2], match[1], None if match[3] is None else float(match[3]))


def _factor(style: Style) -> float:
    return 1.0 if style.width is None else style.width / KINDS[style.kind].default_width
