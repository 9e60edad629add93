"""``vip eval TASK --score FILE``: answers that were given elsewhere, scored as our own are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vipcli.cli.eval.judged import Judging, check_judging
from vipcli.cli.eval.outputs import write_all
from vipcli.cli.inputs import make_folder
from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.evaluation import Line, Plan

__all__ = ["score_given"]


def score_given(plan: Plan, file: Path, judging: Judging | None, output: Path, *, quiet: bool) -> int:
    """Score the answers, or take the grades, that `file` has, and write what they come to. Returns the exit code."""
    from vipcli.batch import Facts, Workers

    if plan.control or plan.styles:
        raise UsageError("--score goes without --control and --styles: the file has one answer to each question")
    if not file.is_file():
        raise UsageError(f"--score: there is no file {quote(str(file))}")
    if plan.task.name == "synthetic":
        raise UsageError("--score: the questions of synthetic come to light when they are asked")
    graded = _has_grades(file)
    check_judging(judging, set() if graded else plan.contents.rules, plan.task.name)
    lines = _graded(plan, file) if graded else _answered(plan, file)
    make_folder("--output", output)
    about = {
        "task": plan.task.name,
        "split": plan.reading.split,
        "data": plan.reading.folder and str(plan.reading.folder.resolve()),
        "answers": str(file.resolve()),
    }
    with Workers(1) as pool:
        unjudged = write_all(plan, lines, judging, output, pool, Facts(), about, quiet=quiet)
    return 3 if unjudged else 0


def _answered(plan: Plan, file: Path) -> list[Line]:
    from vipcli.evaluation.official import read_official
    from vipcli.evaluation.running import given

    return list(given(plan, read_official(file, (case for _, case in plan.cases()))))


def _graded(plan: Plan, file: Path) -> list[Line]:
    """The scores of the official script, each the mean over its runs; the file has no answers that could be shown."""
    from vipcli.evaluation.lines import outcome_of
    from vipcli.evaluation.official import read_grades
    from vipcli.evaluation.running import given

    grades = read_grades(file, (case for _, case in plan.cases()))
    lines = []
    for line in given(plan, dict.fromkeys(grades, "")):
        score = sum(grades[line.id]) / len(grades[line.id])
        lines.append(replace(line, score=score, outcome=outcome_of(score)))
    return lines


def _has_grades(file: Path) -> bool:
    """Whether a file is of the official script's grades and not of answers."""
    try:
        values = list(json.loads(file.read_bytes()).values())
    except (OSError, ValueError, AttributeError, RecursionError):
        return False  # reading the answers will say what is wrong
    return bool(values) and isinstance(values[0], dict)
