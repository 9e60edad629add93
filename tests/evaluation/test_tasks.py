"""Every task is there by its name, and wherever a user looks for one."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from vipcli.cli.eval.command import evaluate
from vipcli.errors import UsageError
from vipcli.evaluation.tasks import NAMES, task_of

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_found_by_its_name_in_the_help_and_in_the_readme(name: str) -> None:
    task = task_of(name)
    assert task.name == name
    assert bool(task.home) == task.needs_data, "who needs data is told where they are"
    assert not task.published or task.source, "a published figure has a source"
    assert all(key.endswith(task.splits) for key in task.published)
    assert name in inspect.cleandoc(evaluate.__doc__ or "").partition("Tasks: ")[2]
    assert f"`{name}`" in README.read_text(encoding="utf-8")


def test_another_name_ends_in_one_sentence_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"nothing is no task: use vip-bench, .*, or a \.jsonl file of your own"):
        task_of("nothing")
