"""What ``vip eval`` is to ask, from the command line: a task, its data, and how its regions are marked."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.evaluation import Plan, Style, Task

__all__ = ["plan_of"]

_STYLE = re.compile(r"(\w+)(?:@(\w+))?(?:,width=(\d+(?:\.\d+)?))?")


def plan_of(
    name: str,
    data: Path | None,
    split: str | None,
    limit: int | None,
    style: str | None,
    max_new_tokens: int | None,
    *,
    styles: bool,
    control: bool,
) -> Plan:
    """The plan of a task, or of a user's own file. Raises `UsageError` for flags that don't go with it."""
    from vipcli.engine import Request
    from vipcli.evaluation import Plan, Reading, all_styles

    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: must be 1 or more")
    task, folder = _task(name, data)
    if max_new_tokens is not None:
        Request(None, "", max_new_tokens=max_new_tokens)  # which says what is wrong with it
        task = replace(task, max_new_tokens=max_new_tokens)
    if split is not None and split not in task.splits:
        known = " or ".join(task.splits) if task.splits != ("",) else "none"
        raise UsageError(f"--split {quote(split)}: {task.name} has {known}")
    for flag, given in (("--style", style is not None), ("--styles", styles)):
        if given and not task.can_restyle:
            raise UsageError(f"{flag}: {task.name} has no regions that could be marked otherwise")
    if control and not task.marks and style is None:
        raise UsageError(f"--control: the markers of {task.name} are in its pictures and can't be left out")
    if style is not None and styles:
        raise UsageError("--style and --styles: the one is a single style, the other is all of them; use one")
    reading = Reading(folder, split or task.splits[0], None if style is None else _style(style), limit)
    return Plan(task, reading, control, tuple(all_styles()) if styles else ())


def _task(name: str, data: Path | None) -> tuple[Task, Path | None]:
    from vipcli.evaluation import task_for, task_of

    if name.lower().endswith((".jsonl", ".ndjson")):
        return task_for(Path(name)), data
    task = task_of(name)
    if task.needs_data and data is None:
        raise UsageError(f"{name} needs its data: --data DIR ({task.home})")
    if not task.needs_data and data is not None:
        raise UsageError(f"--data: {name} draws its own pictures and reads none")
    return task, data


def _style(text: str) -> Style:
    """A style as it is typed: ``arrow@blue,width=5``."""
    from vipcli.evaluation import PALETTE, Style
    from vipcli.markers import KINDS

    match = _STYLE.fullmatch(text)
    kinds = [kind for kind in KINDS if kind != "tag"]
    if match is None:
        raise UsageError(f"--style {quote(text)}: write it like arrow, arrow@blue or arrow@blue,width=5")
    kind, color, width = match.groups()
    if kind not in kinds:
        raise UsageError(f"--style {quote(text)}: a kind is one of {', '.join(kinds)}")
    if color is not None and color not in PALETTE:
        raise UsageError(f"--style {quote(text)}: a color is one of {', '.join(PALETTE)}")
    if width is not None and not 0 < float(width) <= 100:
        raise UsageError(f"--style {quote(text)}: a width is above 0 and at most 100")
    return Style(kind, color or "red", None if width is None else float(width))
