"""Judging a model: benchmarks, their figures, and how sure these are. Nothing here prints.

A task of `tasks` reads `cases`, whose regions are marked in one of the `styles`; `running` asks them through
`vipcli.batch`, which makes them ready by `preparing`. `answers` holds what was said against the truth (`letters`,
`numerals`), `judging` and `captions` where words are to be weighed; `official` reads and writes the file of the
ViP-Bench server. `lines` are what it comes to: `results` counts them, `statistics` says how surely, `comparing` holds
two runs side by side, `tables`, `report` and `writing` are what is written. `exam` asks the embedded
model the `questions` of its scenes, and `scoring` sits it one at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.evaluation.cases import Case as Case
    from vipcli.evaluation.cases import Reading as Reading
    from vipcli.evaluation.cases import Task as Task
    from vipcli.evaluation.comparing import compare as compare
    from vipcli.evaluation.lines import Line as Line
    from vipcli.evaluation.lines import read_lines as read_lines
    from vipcli.evaluation.lines import write_lines as write_lines
    from vipcli.evaluation.results import results_of as results_of
    from vipcli.evaluation.running import Plan as Plan
    from vipcli.evaluation.running import ask as ask
    from vipcli.evaluation.running import scored as scored
    from vipcli.evaluation.styles import PALETTE as PALETTE
    from vipcli.evaluation.styles import Style as Style
    from vipcli.evaluation.styles import all_styles as all_styles
    from vipcli.evaluation.tasks import task_of as task_of
    from vipcli.evaluation.tasks.own import task_for as task_for

__getattr__, __all__ = door(
    __name__,
    {
        "cases": ("Case", "Reading", "Task"),
        "comparing": ("compare",),
        "lines": ("Line", "read_lines", "write_lines"),
        "results": ("results_of",),
        "running": ("Plan", "ask", "scored"),
        "styles": ("PALETTE", "Style", "all_styles"),
        "tasks": ("task_of",),
        "tasks.own": ("task_for",),
    },
)
