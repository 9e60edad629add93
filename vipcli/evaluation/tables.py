"""Results and comparisons as tables of texts, for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from vipcli.errors import plain
from vipcli.evaluation.comparing import Comparison, Versus
from vipcli.evaluation.lines import MOVED, REMOVED, as_json
from vipcli.evaluation.results import Control, Results, Row, StyleRow, Styles
from vipcli.evaluation.statistics import Interval

__all__ = [
    "COUNTS",
    "NONE",
    "Table",
    "as_others",
    "column_name",
    "columns_of",
    "comparison_tables",
    "control_name",
    "ends",
    "lacking",
    "result_tables",
    "score",
    "share_text",
    "to_json",
    "to_markdown",
]

NONE = "–"
"""What stands where there is no figure."""
COUNTS = ("asked", "answered", "refused", "unparsable", "failed", "unscored")
"""The counts of a `Row` that stand behind its score."""


@dataclass(frozen=True)
class Table:
    """A table of texts. title: may be empty. columns: the first is of names, the others of numbers. notes: below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def score(value: float | None) -> str:
    """``43.2``"""
    return NONE if value is None else f"{value:.1f}"


def ends(interval: Interval | None, sign: str = "") -> str:
    """``41.0 to 45.3``; of a difference, with `sign` ``+``, ``-0.4 to +2.1``."""
    return NONE if interval is None else f"{interval[0]:{sign}.1f} to {interval[1]:{sign}.1f}"


def control_name(variant: str) -> str:
    """What a control is called: ``marker removed``."""
    return f"marker {variant}"


def lacking(row: Row) -> str | None:
    """The sentence that a score is that of a part; None where it is of all."""
    if row.complete:
        return None
    missing = row.asked - row.scored
    why = [f"{count:,} {what}" for what, count in (("failed", row.failed), ("not judged", row.unscored)) if count]
    reasons = f" ({', '.join(why)})" if why else ""
    told = f"the score is that of the other {row.scored:,}" if row.scored else "there is none to tell"
    return f"{missing:,} of {row.asked:,} questions have no score{reasons}: {told}"


def as_others(styles: Styles) -> str:
    """What is to be said behind the best where others are as good: ``, as 3 others``."""
    return f", as {styles.as_good:,} other{'s' if styles.as_good > 1 else ''}" if styles.as_good else ""


def share_text(control: Control) -> str:
    """What the marker is worth, in a sentence."""
    how = {REMOVED: "without the marker", MOVED: "with the marker on another place"}[control.variant]
    if control.difference is None:
        return f"No question has a score both with the marker and {how}."
    text = f"{control.plain:.1f} with the marker, {control.control:.1f} {how}: {control.difference:+.1f} points "
    text += f"({ends(control.interval, '+')})"
    if control.share is not None:
        text += f", {control.share:.0f} % of the score ({_whole(control.share_interval)})"
    if control.above_chance is not None:
        text += f", {control.above_chance:.0f} % of what is above chance ({_whole(control.above_chance_interval)})"
    text += "."
    if not control.complete:
        text += f" From the {control.pairs:,} of {control.asked:,} questions that have both scores."
    return text


def _whole(interval: Interval | None) -> str:
    return NONE if interval is None else f"{interval[0]:.0f} to {interval[1]:.0f}"


def result_tables(results: Results) -> list[Table]:
    """Scores by group beside the published ones; what the marker is worth; every style, and where they meet."""
    tables = [_scores(results)]
    if results.controls:
        tables.append(_controls(results.controls))
    if results.styles:
        tables.append(_styles(results))
        tables += _grids(results)
    return tables


def _scores(results: Results) -> Table:
    counts = [name for name in COUNTS if name != "unscored" or any(row.unscored for row in results.rows)]
    rows = [
        (_named(row.heading, row.name), score(row.score), ends(row.interval), *(f"{getattr(row, n):,}" for n in counts))
        for row in results.rows
    ]
    blank = (NONE,) * (len(counts) + 1)
    rows += [(f"published: {model}", score(value), *blank) for model, value in results.published.items()]
    notes = [note for note in (lacking(results.overall),) if note]
    others = [row.name for row in results.rows[1:] if not row.complete]
    if others and not notes:
        notes.append(f"Not all questions have a score in: {', '.join(others)}")
    if results.chance is not None:
        notes.append(f"Guessing gets {results.chance:.1f}.")
    if results.published and results.source:
        notes.append(f"Published figures: {results.source}.")
    title = f"{results.task} {results.split}".strip()
    return Table(title, ("", results.measure, "95 % interval", *counts), tuple(rows), tuple(notes))


def _named(heading: str, name: str) -> str:
    return f"{heading}: {name}" if heading else name


def _controls(controls: Sequence[Control]) -> Table:
    columns = (
        "control",
        "with marker",
        "control's",
        "from the marker",
        "95 % interval",
        "of the score",
        "above chance",
    )
    rows = tuple(
        (
            control_name(one.variant),
            score(one.plain),
            score(one.control),
            NONE if one.difference is None else f"{one.difference:+.1f}",
            ends(one.interval, "+"),
            _share(one.share, one.share_interval),
            _share(one.above_chance, one.above_chance_interval),
        )
        for one in controls
    )
    notes = [
        f"{control_name(one.variant)}: only the {one.pairs:,} of {one.asked:,} questions with both scores count in."
        for one in controls
        if not one.complete
    ]
    return Table("What the marker is worth", columns, rows, tuple(notes))


def _share(value: float | None, interval: Interval | None) -> str:
    return NONE if value is None else f"{value:.0f} % ({_whole(interval)})"


def _styles(results: Results) -> Table:
    styles = results.styles
    assert styles is not None
    with_plain = any(row.with_plain is not None for row in styles.rows)
    columns = ("marker", results.measure, "95 % interval", "agreement", *(["as usual"] if with_plain else []), "asked")
    rows = tuple(
        (
            row.name,
            score(row.row.score),
            ends(row.row.interval),
            score(row.agreement),
            *([score(row.with_plain)] if with_plain else []),
            f"{row.row.asked:,}",
        )
        for row in styles.rows
    )
    notes = ["Agreement: answers that are those of most markers, in per cent."]
    if with_plain:
        notes.append("As usual: answers that are those to the question as the task has it, in per cent.")
    notes.append(f"All markers get the same answer to {styles.unanimous:.1f} % of the questions.")
    if styles.best:
        best = f"{styles.best.name}, {score(styles.best.row.score)} ({ends(styles.best.row.interval)})"
        notes.append(f"Highest: {best}{as_others(styles)}.")
    short = [row.name for row in styles.rows if not row.row.complete]
    if short:
        notes.append(f"Not all questions have a score with: {', '.join(short)}")
    return Table("By marker", columns, rows, tuple(notes))


def _grids(results: Results) -> Iterator[Table]:
    assert results.styles is not None
    for title, grid in (
        (f"{results.measure}, kind by color", results.styles.by_color()),
        (f"{results.measure}, kind by width (of the usual one)", results.styles.by_width()),
    ):
        if grid:
            columns = columns_of(grid)
            rows = [
                (kind, *(score(its[column].row.score) if column in its else NONE for column in columns))
                for kind, its in grid.items()
            ]
            yield Table(title, ("", *(column_name(column) for column in columns)), tuple(rows))


def columns_of(grid: Mapping[str, Mapping[Any, StyleRow]]) -> list[Any]:
    """The columns of a grid of styles: colours as they come, widths from thin to thick."""
    columns = list(dict.fromkeys(column for its in grid.values() for column in its))
    return sorted(columns) if all(isinstance(column, float) for column in columns) else columns


def column_name(column: str | float) -> str:
    """``red``, ``x 0.5``"""
    return column if isinstance(column, str) else f"× {column:g}"


def comparison_tables(comparison: Comparison) -> list[Table]:
    """The two runs side by side."""
    a, b = comparison.a, comparison.b
    columns = ("", a, b, "difference", "95 % interval", "both right", f"only {a}", f"only {b}", "neither", "p", "asked")
    notes = [
        "p: exact McNemar test on right and not right, two-sided, as if every question had a picture of its own. "
        "Interval: paired bootstrap over pictures."
    ]
    if not comparison.complete:
        whole = comparison.overall
        missing = whole.asked - whole.scored
        notes.append(f"{missing:,} of {whole.asked:,} questions lack a score in one or both: they don't count in.")
    if comparison.restyled:
        notes.append(f"{comparison.restyled:,} questions are marked otherwise in {b}.")
    return [Table(f"{b} beside {a}", columns, tuple(map(_versus, comparison.rows)), tuple(notes))]


def _versus(row: Versus) -> tuple[str, ...]:
    return (
        _named(row.heading, row.name),
        score(row.a),
        score(row.b),
        NONE if row.difference is None else f"{row.difference:+.1f}",
        ends(row.interval, "+"),
        *(f"{count:,}" for count in (row.both, row.only_a, row.only_b, row.neither)),
        _p(row.p) if row.only_a or row.only_b else NONE,
        f"{row.asked:,}" if row.complete else f"{row.scored:,} of {row.asked:,}",
    )


def _p(value: float) -> str:
    if value >= 0.001:
        return f"{value:.3f}"
    return "< 1e-300" if value == 0 else f"{value:.1g}"


def to_markdown(tables: Iterable[Table]) -> str:
    """Tables as GitHub shows them; nothing in a name is markup."""
    return "\n".join(map(_as_markdown, tables))


def _as_markdown(table: Table) -> str:
    lines = [f"## {_safe(table.title)}", ""] if table.title else []
    lines.append(f"| {' | '.join(map(_safe, table.columns))} |")
    lines.append(f"|{'|'.join(['---', *['---:'] * (len(table.columns) - 1)])}|")
    lines += [f"| {' | '.join(map(_safe, row))} |" for row in table.rows]
    lines += [text for note in table.notes for text in ("", _safe(note))]
    return "\n".join([*lines, ""])


_MARKUP = str.maketrans({char: f"\\{char}" for char in "\\`*_[]|~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def _safe(text: str) -> str:
    return plain(text).translate(_MARKUP)


def to_json(found: Results | Comparison) -> bytes:
    """All figures, in per cent; with `complete` wherever there is a score, so that no part passes for the whole."""
    return as_json(_with_complete(found, asdict(found)), orjson.OPT_INDENT_2) + b"\n"


def _with_complete(value: Any, shown: Any) -> Any:
    """`shown`, the dictionaries that `asdict` made of `value`, with what is asked of it as a property."""
    if isinstance(value, tuple | list):
        return [_with_complete(one, its) for one, its in zip(value, shown, strict=True)]
    if isinstance(value, Mapping) or not isinstance(shown, dict):
        return None if isinstance(shown, float) and not math.isfinite(shown) else shown
    made = {name: _with_complete(getattr(value, name), its) for name, its in shown.items()}
    return made | ({"complete": value.complete} if hasattr(value, "complete") else {})
