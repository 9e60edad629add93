"""Results as HTML: bars with their intervals, what the marker is worth, heat maps of every style.

Drawn with what a page may have that allows no inline styles: tables, classes and SVG. Every figure is there as text.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vipcli.batch import escaped
from vipcli.evaluation.results import Control, Results, Row, StyleRow, Styles
from vipcli.evaluation.styles import PALETTE
from vipcli.evaluation.tables import (
    COUNTS,
    NONE,
    Table,
    as_others,
    column_name,
    columns_of,
    control_name,
    ends,
    lacking,
    result_tables,
    score,
    share_text,
)
from vipcli.markers import Color

__all__ = ["summary"]

_FOLDED = 12  # more names than these under a heading are folded away
_STEPS = 10  # of the scale of a heat map; report.css has a class for each
_LEAST_RANGE = 10.0  # points that the scale spans at least, so that noise doesn't look like a mountain


def summary(results: Results) -> str:
    """Everything above the questions."""
    parts = [_scores(results)]
    if results.controls:
        parts.append(_controls(results))
    if results.styles:
        parts.append(_styles(results, results.styles))
    return "\n".join(parts)


def _full(results: Results) -> float:
    """Where the axis of the bars ends: at 100, or further for figures that have no such bound, as CIDEr."""
    styled = [row.row for row in results.styles.rows] if results.styles else []
    figures = [row.score or 0.0 for row in (*results.rows, *styled)]
    figures += [row.interval[1] for row in results.rows if row.interval is not None]
    highest = max([*figures, *results.published.values(), 0.0])
    return 100.0 if highest <= 100 else 50.0 * math.ceil(highest / 50)


def _scores(results: Results) -> str:
    counts = [name for name in COUNTS if any(getattr(row, name) for row in results.rows)]
    bodies = [_body("", [results.overall], counts, results)]
    folded = []
    for heading, some in itertools.groupby(results.rows[1:], key=lambda row: row.heading):
        rows = list(some)
        if len(rows) <= _FOLDED:
            bodies.append(_body(heading, rows, counts, results))
        else:
            table = _table(results, counts, [_body("", rows, counts, results)])
            folded.append(f"<details><summary>{escaped(heading)} ({len(rows):,})</summary>{table}</details>")
    notes = []
    if results.published:
        figures = ", ".join(f"{model} {score(value)}" for model, value in results.published.items())
        source = f" ({results.source})" if results.source else ""
        notes.append(f'<span class="key tick"></span>published: {escaped(figures + source)}')
    if results.chance is not None:
        notes.append(f'<span class="key dots"></span>guessing: {score(results.chance)}')
    notes.append('<span class="key whisker"></span>95 % interval')
    missing = lacking(results.overall)
    doubt = f'<p class="doubt partial">{escaped(missing)}.</p>' if missing else ""
    legend = f'<p class="legend">{"".join(f"<span>{note}</span>" for note in notes)}</p>'
    return _section("Scores", [doubt, _table(results, counts, bodies), legend, *folded])


def _section(title: str, parts: Iterable[str]) -> str:
    return f'<section class="summary"><h2>{escaped(title)}</h2>\n{"".join(parts)}</section>'


def _table(results: Results, counts: Sequence[str], bodies: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{escaped(name)}</th>' for name in (results.measure, "95 % interval", *counts))
    full = _full(results)
    axis = f'<th scope="col" class="plot"><span class="axis"><i>0</i><i>{full / 2:g}</i><i>{full:g}</i></span></th>'
    return f'<table class="scores"><thead><tr><td></td>{axis}{heads}</tr></thead>{"".join(bodies)}</table>'


def _body(heading: str, rows: Sequence[Row], counts: Sequence[str], results: Results) -> str:
    lines = []
    full = _full(results)
    if heading:
        span = f'scope="rowgroup" colspan="{4 + len(counts)}"'
        lines.append(f'<tr class="heading"><th {span}>{escaped(heading)}</th></tr>')
    for row in rows:
        published = results.published if not row.heading else {}
        cells = "".join(_count(name, getattr(row, name)) for name in counts)
        part = "" if row.complete else f' <small class="doubt">{row.scored:,} of {row.asked:,} scored</small>'
        lines.append(
            f'<tr{"" if row.heading else " class=whole"}><th scope="row"><bdi>{escaped(row.name)}</bdi>{part}</th>'
            f'<td class="plot">{_bar(row, published, results.chance, full)}</td>'
            f'<td class="score">{score(row.score)}</td><td class="ends">{ends(row.interval)}</td>{cells}</tr>'
        )
    return f"<tbody>{''.join(lines)}</tbody>"


def _count(name: str, count: int) -> str:
    zero = "" if count else " zero"
    return f'<td class="count{zero}" data-label="{name}">{count:,}</td>'


def _bar(row: Row, published: Mapping[str, float], chance: float | None, full: float) -> str:
    if row.score is None:
        return _svg("no score", [])
    share = 100 / full
    parts = [_rect("value", 0, share * row.score)]
    if row.interval is not None:
        parts.append(_whisker(share * row.interval[0], share * row.interval[1]))
    said = {f"{model}, published: {score(value)}": value for model, value in published.items()}
    parts += [_tick("tick", share * value, text) for text, value in said.items()]
    if chance is not None:
        parts.append(_tick("dots", share * chance, f"guessing: {score(chance)}"))
    return _svg(f"{score(row.score)}, 95 % interval {ends(row.interval)}", parts)


def _svg(label: str, parts: Iterable[str]) -> str:
    rail = '<rect class="rail" y="4" width="100%" height="8"/>'
    return f'<svg class="plot" role="img" aria-label="{escaped(label)}">{rail}{"".join(parts)}</svg>'


def _rect(name: str, start: float, end: float) -> str:
    start, end = (min(max(at, 0.0), 100.0) for at in (start, end))
    width = max(0.0, end - start)
    return f'<rect class="{name}" x="{start:.2f}%" y="4" width="{width:.2f}%" height="8"/>'


def _whisker(low: float, high: float) -> str:
    caps = "".join(f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="5" y2="11"/>' for x in (low, high))
    return f'<g class="whisker"><line x1="{low:.2f}%" x2="{high:.2f}%" y1="8" y2="8"/>{caps}</g>'


def _tick(name: str, at: float, title: str) -> str:
    return f'<line class="{name}" x1="{at:.2f}%" x2="{at:.2f}%" y1="0" y2="16"><title>{escaped(title)}</title></line>'


def _controls(results: Results) -> str:
    rows = "".join(_control(one, results.chance, 100 / _full(results)) for one in results.controls)
    legend = (
        '<p class="legend"><span><span class="key rest"></span>stays without the marker</span>'
        '<span><span class="key value"></span>comes from the marker</span></p>'
    )
    return _section("What the marker is worth", [f'<table class="scores">{rows}</table>', legend])


def _control(one: Control, chance: float | None, share: float) -> str:
    parts = []
    if one.plain is not None and one.control is not None:
        parts = [_rect("rest", 0, share * one.control), _rect("value", share * one.control, share * one.plain)]
        if one.control > one.plain:
            parts.append(_tick("tick", share * one.plain, f"with the marker: {score(one.plain)}"))
        if chance is not None:
            parts.append(_tick("dots", share * chance, f"guessing: {score(chance)}"))
    points = NONE if one.difference is None else f"{one.difference:+.1f}"
    return (
        f'<tr><th scope="row">{control_name(one.variant)}</th>'
        f'<td class="plot">{_svg(share_text(one), parts)}</td><td class="score">{points}</td>'
        f'<td class="said">{escaped(share_text(one))}</td></tr>'
    )


def _styles(results: Results, styles: Styles) -> str:
    scored = [row.row.score for row in styles.rows if row.row.score is not None]
    scale = _scale(scored, _full(results)) if scored else (0.0, 100.0)
    parts = []
    if (best := styles.best) is not None:
        parts.append(
            f"<p>Highest: <b>{escaped(best.name)}</b>, {score(best.row.score)} ({ends(best.row.interval)})"
            f"{as_others(styles)}. All {len(styles.rows)} markers get the same answer to "
            f"{score(styles.unanimous)} % of the questions.</p>"
        )
    grids = (("kind by color", styles.by_color()), ("kind by width", styles.by_width()))
    heats = [_heat(f"{results.measure}, {title}", grid, scale, best) for title, grid in grids if grid]
    parts.append(f'<div class="heats">{"".join(heats)}</div>')
    steps = "".join(f'<i class="h{step}"></i>' for step in range(_STEPS + 1))
    parts.append(
        f'<p class="legend"><span>{score(scale[0])}<span class="scale" aria-hidden="true">{steps}</span>'
        f"{score(scale[1])}</span><span>outlined: the highest</span></p>"
    )
    table = next(table for table in result_tables(results) if table.columns[0] == "marker")
    parts.append(f"<details><summary>Every marker ({len(styles.rows)})</summary>{_plain_table(table)}</details>")
    return _section("Which marker to use", parts)


def _scale(scores: Sequence[float], full: float) -> tuple[float, float]:
    """The ends of the scale: those of the scores, further apart where they are close."""
    low, high = min(scores), max(scores)
    more = max(0.0, _LEAST_RANGE - (high - low)) / 2
    low = max(0.0, min(low - more, full - _LEAST_RANGE))
    return low, min(full, max(high + more, low + _LEAST_RANGE))


def _heat(
    caption: str, grid: Mapping[str, Mapping[Any, StyleRow]], scale: tuple[float, float], best: StyleRow | None
) -> str:
    columns = columns_of(grid)
    heads = "".join(f'<th scope="col">{_swatch(column)}{escaped(column_name(column))}</th>' for column in columns)
    rows = "".join(
        f'<tr><th scope="row">{escaped(kind)}</th>{"".join(_cells(its, columns, scale, best))}</tr>'
        for kind, its in grid.items()
    )
    return (
        f'<div class="wide" tabindex="0"><table class="heat"><caption>{escaped(caption)}</caption>'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _swatch(column: Any) -> str:
    if column not in PALETTE:
        return ""
    red, green, blue = Color.of(column).rgb
    return f'<svg class="swatch" aria-hidden="true"><rect fill="#{red:02x}{green:02x}{blue:02x}"/></svg>'


def _cells(
    its: Mapping[Any, StyleRow], columns: Sequence[Any], scale: tuple[float, float], best: StyleRow | None
) -> Iterator[str]:
    low, high = scale
    for column in columns:
        row = its.get(column)
        if row is None or row.row.score is None:
            yield f'<td class="none">{NONE}</td>'
            continue
        step = round(_STEPS * (row.row.score - low) / (high - low))
        title = f"{row.name}: {score(row.row.score)} ({ends(row.row.interval)}), agreement {score(row.agreement)}"
        name = f"h{step}" + (" best" if row is best else "")
        yield f'<td class="{name}" title="{escaped(title)}">{score(row.row.score)}</td>'


def _plain_table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escaped(name)}</th>' for name in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{escaped(name)}</th>{"".join(f"<td>{escaped(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in table.rows
    )
    notes = "".join(f'<p class="note">{escaped(note)}</p>' for note in table.notes)
    return (
        f'<div class="wide" tabindex="0"><table class="plain"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{notes}"
    )
