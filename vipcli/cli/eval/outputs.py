"""What ``vip eval`` writes into its folder, and the table that it shows."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipcli.cli import console
from vipcli.cli.eval.judged import Judging, is_unjudged, judge_lines
from vipcli.errors import OutputError, quote

if TYPE_CHECKING:
    from vipcli.batch import Facts, Workers
    from vipcli.evaluation import Line, Plan
    from vipcli.evaluation.tables import Table

__all__ = ["show_tables", "write_all"]

_SHOWN = 10_000  # questions on the page
_LEAST = 7  # characters of a line for each column of a table; with less, nothing can be read


def write_all(
    plan: Plan,
    lines: list[Line],
    judging: Judging | None,
    output: Path,
    pool: Workers,
    facts: Facts,
    about: Mapping[str, Any],
    *,
    quiet: bool,
) -> int:
    """Score what is still without a score, write everything into `output`, and show the figures on stdout.

    about: of the run, for the manifest and the head of the page. Returns how many answers a judge gave no score. Raises
    `VipError` where something can't be written.
    """
    from vipcli.evaluation import results_of, write_lines
    from vipcli.evaluation.captions import with_caption_scores
    from vipcli.evaluation.lines import PLAIN
    from vipcli.evaluation.official import write_official
    from vipcli.evaluation.report import write_report
    from vipcli.evaluation.running import thumbnails
    from vipcli.evaluation.statistics import RESAMPLES, SEED
    from vipcli.evaluation.tables import result_tables
    from vipcli.evaluation.writing import write_manifest, write_results

    rules = plan.contents.rules
    lines, notes = judge_lines(judging, lines, (case for _, case in plan.cases()), quiet=quiet)
    if "caption" in rules:
        with console.status("weighing the captions", quiet=quiet):
            lines, notes = with_caption_scores(lines)
    results = results_of(lines, plan.task, plan.reading.split)
    run = {
        **about,
        **({} if judging is None else judging.facts),
        "questions": len(lines),
        "digest of the questions": plan.contents.digest,
        "control": plan.control,
        "styles": [style.name for style in plan.styles],
        "limit": plan.reading.limit,
        "intervals": {"resamples": RESAMPLES, "seed": SEED},
    }
    run = {name: _without_key(fact) if isinstance(fact, str) else fact for name, fact in run.items()}
    command = ["vip", *map(_without_key, sys.argv[1:])]
    head = {name: str(about[name]) for name in ("model", "task", "split") if about.get(name)}
    head["command"] = shlex.join(command)
    if len(lines) > _SHOWN:
        head["questions"] = f"{len(lines):,}, of which this page shows some; scored.jsonl has all"
    try:
        write_lines(lines, output / "scored.jsonl")
        write_results(output, results, notes)
        write_manifest(output / "manifest.json", command, run)
        if "judged" in rules:
            answers = {line.id: line.answer for line in lines if line.variant == PLAIN and line.answer is not None}
            if any(answers.values()):  # of grades there are none
                write_official(output / "official.json", answers)
        with console.status("drawing the page", quiet=quiet):
            shown = thumbnails(plan, lines, pool, facts, _SHOWN)
            write_report(output / "report.html", shown, results, title=f"vip eval {plan.task.name}", about=head)
    except OSError as error:
        raise OutputError(f"{quote(str(output))} can't be written: {error.strerror}") from error
    show_tables(result_tables(results), notes)
    if not quiet:
        console.note(f"vip: all of it is in {quote(str(output))}: report.html to look at, scored.jsonl to go on with")
    return sum(map(is_unjudged, lines))


def _without_key(text: str) -> str:
    """An argument as others may read it: an address without the name and password that it may have."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


def show_tables(tables: Iterable[Table], notes: Iterable[str] = ()) -> None:
    """Tables on stdout: drawn on a terminal that has room for them, as Markdown in a pipe."""
    from vipcli.evaluation.tables import to_markdown

    tables = list(tables)
    room = shutil.get_terminal_size().columns
    if console.is_lively_stdout() and all(_LEAST * len(table.columns) <= room for table in tables):
        for table in tables:
            console.show_table(table.title, table.columns, table.rows, table.notes)
    else:
        console.lines(to_markdown(tables))
    for note in notes:
        console.line("")  # else it would be a row of the table
        console.line(note)
