"""The benchmarks, a file each, which has `TASKS`; one loop asks them all."""

from __future__ import annotations

import importlib

from vipcli.errors import UsageError, quote
from vipcli.evaluation.cases import Task

__all__ = ["NAMES", "task_of"]

_HOMES = {
    "vip-bench": "vip_bench",
    "vp-bench": "vp_bench",
    "visual7w": "visual7w",
    "pointqa-twice": "pointqa_twice",
    "vcr-qa": "vcr",
    "vcr-qar": "vcr",
    "refcocog-caption": "refcocog",
    "synthetic": "synthetic",
}
NAMES: tuple[str, ...] = tuple(_HOMES)
"""What a user types."""


def task_of(name: str) -> Task:
    """The task called `name`. Raises `UsageError` with the names that there are."""
    if name not in _HOMES:
        raise UsageError(f"{quote(name)} is no task: use {', '.join(NAMES)}, or a .jsonl file of your own")
    tasks: tuple[Task, ...] = importlib.import_module(f"vipcli.evaluation.tasks.{_HOMES[name]}").TASKS
    return next(task for task in tasks if task.name == name)
