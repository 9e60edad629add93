"""Who judges the answers of ``vip eval``: a server, or nobody; and what it says."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import pstdev
from typing import TYPE_CHECKING

from vipcli.cli import console
from vipcli.config import cache_folder
from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.engine import Engine
    from vipcli.evaluation import Case, Line

__all__ = ["Judging", "check_judging", "is_unjudged", "judge_lines", "judging_of"]

_MOST = 100  # runs


@dataclass(frozen=True, eq=False)
class Judging:
    """The judge, how often each answer is judged, and the file of its replies. engine: None: nobody judges.

    server: its address.
    """

    engine: Engine | None
    runs: int = 1
    cache: Path | None = None
    server: str = ""

    @property
    def facts(self) -> dict[str, str | int]:
        """What a manifest should know."""
        if self.engine is None:
            return {"judge": "none"}
        return {"judge": self.engine.name, "judge server": self.server, "judge runs": self.runs}


def judging_of(judge: str | None, model: str | None, runs: int) -> Judging | None:
    """What ``--judge`` and the flags that go with it say; None where it isn't given. Raises `UsageError`."""
    from vipcli.engine import is_address, open_engine

    if not 1 <= runs <= _MOST:
        raise UsageError(f"--judge-runs {runs}: use a number from 1 to {_MOST}")
    if judge is None or judge == "none":
        for flag, given in (("--judge-model", model is not None), ("--judge-runs", runs != 1)):
            if given:
                raise UsageError(f"{flag} goes with --judge URL")
        return None if judge is None else Judging(None)
    if not is_address(judge):
        raise UsageError(f"--judge {quote(judge)}: give the http(s):// address of a server, or none")
    folder = cache_folder()
    if folder is None:
        raise UsageError("--judge: there is no home folder to keep its replies in: set XDG_CACHE_HOME")
    return Judging(open_engine(judge, model=model), runs, folder / "judge.sqlite", judge)


def check_judging(judging: Judging | None, rules: Collection[str], task: str) -> None:
    """Raise a `UsageError` where answers are to be judged and nobody is named, or the other way round."""
    if "judged" in rules and judging is None:
        raise UsageError(f"{task} is scored by a judge: name a server, --judge URL, or leave it unscored, --judge none")
    if "judged" not in rules and judging is not None:
        raise UsageError(f"--judge: {task} is scored without one")


def is_unjudged(line: Line) -> bool:
    """Whether the judge was asked for a score and gave none."""
    return line.outcome == "unscored" and line.error is not None


def judge_lines(
    judging: Judging | None, lines: list[Line], cases: Iterable[Case], *, quiet: bool
) -> tuple[list[Line], tuple[str, ...]]:
    """The lines with the judge's scores, as far as it has any; and a sentence on how far its runs lie apart."""
    from vipcli.evaluation.judging import judge, run_means
    from vipcli.evaluation.lines import PLAIN

    if judging is None or judging.engine is None or judging.cache is None:
        return lines, ()
    with console.status(f"asking {judging.engine.name} to judge", quiet=quiet):
        lines = list(judge(judging.engine, lines, cases, runs=judging.runs, cache=judging.cache))
    unjudged = [line for line in lines if is_unjudged(line)]
    if unjudged:
        console.note(
            f"vip: {len(unjudged):,} answers have no score, first {quote(unjudged[0].id)}: {unjudged[0].error}; "
            "the same command asks the judge again"
        )
    means = run_means(line for line in lines if line.variant == PLAIN)
    notes: tuple[str, ...] = ()
    if len(means) > 1:
        each = ", ".join(f"{100 * mean:.1f}" for mean in means)
        notes = (f"The judge's {len(means)} runs: {each}; they spread by {100 * pstdev(means):.1f}.",)
    return lines, notes
