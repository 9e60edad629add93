"""The loop of all tasks, with the embedded model on its own scenes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from vipcli import VipWarning, open_engine
from vipcli.batch import Facts, Journal, Workers
from vipcli.engine import Engine
from vipcli.evaluation import Case, Line, Plan, Reading, Style, Task, ask, scored, task_of
from vipcli.evaluation.running import thumbnails
from vipcli.evaluation.scoring import sit
from vipcli.evaluation.tasks.synthetic import draw_scene


@pytest.fixture(scope="module")
def tiny() -> Engine:
    return open_engine("tiny")


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(1) as pool:
        yield pool


def run(plan: Plan, engine: Engine, workers: Workers, folder: Path) -> tuple[list[Line], int]:
    """The lines of a plan, and how many questions were asked this time."""
    path = folder / "answers.jsonl"
    facts = Facts(side=engine.side, patch=engine.patch, special_tokens=frozenset(engine.special_tokens))
    with Journal(path, {"task": plan.task.name}) as journal:
        events = ask(plan, engine, journal, path, workers, facts, options={"max_new_tokens": plan.task.max_new_tokens})
        asked = sum(1 for _ in events)
    return list(scored(plan, path)), asked


def test_synthetic_answers_are_to_the_item_those_of_the_cards_script(
    tiny: Engine, workers: Workers, tmp_path: Path
) -> None:
    plan = Plan(task_of("synthetic"), Reading(limit=70))
    cases = {case.id: case for _, case in plan.cases() if case.scored}
    assert any(case.before for case in cases.values())  # a conversation is among them

    lines, _ = run(plan, tiny, workers, tmp_path)

    assert [line.id for line in lines] == list(cases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VipWarning)
        sat = list(sit(tiny, (draw_scene(case.image) for case in cases.values())))
    for line, one in zip(lines, sat, strict=True):
        assert (line.answer, line.score == 1) == (one.answer, one.right)
        assert (line.question, line.truth) == (one.question.text, one.question.truth)
        assert one.question.row in line.groups["ability"]


def test_time_is_that_of_both_parts_of_the_work(tiny: Engine, workers: Workers, tmp_path: Path) -> None:
    """Questions that follow another one are asked behind all others, by the same clock."""
    path = tmp_path / "answers.jsonl"
    plan = Plan(task_of("synthetic"), Reading(limit=40))
    assert any(case.before for _, case in plan.cases())
    facts = Facts(side=tiny.side, patch=tiny.patch, special_tokens=frozenset(tiny.special_tokens))
    with Journal(path, {}) as journal:
        seconds = [event.seconds for event in ask(plan, tiny, journal, path, workers, facts)]
    assert seconds == sorted(seconds)


def test_what_was_answered_is_not_asked_again_and_a_larger_limit_asks_the_rest(
    tiny: Engine, workers: Workers, tmp_path: Path
) -> None:
    small, large = (Plan(task_of("synthetic"), Reading(limit=limit)) for limit in (6, 10))
    first, asked = run(small, tiny, workers, tmp_path)
    assert asked >= 6
    assert run(small, tiny, workers, tmp_path) == ([*map(same, first)], 0)
    lines, asked = run(large, tiny, workers, tmp_path)
    assert 4 <= asked <= 8
    assert {line.id for line in first} < {line.id for line in lines}


class same:
    """Equal to a line with the same fields."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def __eq__(self, other: object) -> bool:
        return vars(self.line) == vars(other)


def test_controls_ask_the_same_without_the_marker_and_with_it_elsewhere(
    tiny: Engine, workers: Workers, tmp_path: Path
) -> None:
    plan = Plan(task_of("synthetic"), Reading(limit=40, style=Style("box", "red")), control=True)
    lines, _ = run(plan, tiny, workers, tmp_path)
    by_variant = {name: [line for line in lines if line.variant == name] for name in ("", "removed", "moved")}
    assert {len(some) for some in by_variant.values()} == {40}
    for plain, removed, moved in zip(*by_variant.values(), strict=True):
        assert plain.question == removed.question == moved.question == "What is the object within the red rectangle?"
        assert plain.truth == removed.truth == moved.truth
        assert (len(plain.markers), len(removed.markers), len(moved.markers)) == (1, 0, 1)
        assert plain.markers != moved.markers
    right = {name: sum(line.score or 0 for line in some) for name, some in by_variant.items()}
    assert right[""] > right["removed"] + 8  # the marker is what it answers by
    assert right[""] > right["moved"] + 8


def test_styles_draw_the_same_scenes_in_other_markers(tiny: Engine, workers: Workers, tmp_path: Path) -> None:
    styles = (Style("arrow", "blue", None), Style("mask", "lime", None))
    plan = Plan(task_of("synthetic"), Reading(limit=3), styles=styles)
    lines, _ = run(plan, tiny, workers, tmp_path)
    assert [line.variant for line in lines] == [""] * 3 + ["blue arrow"] * 3 + ["lime mask"] * 3
    assert lines[3].question == "What is the object pointed to by the blue arrow?"
    assert lines[6].question == "What is the object with the lime mask?"


def test_pictures_of_the_report_are_small_and_come_in_order(tiny: Engine, workers: Workers, tmp_path: Path) -> None:
    plan = Plan(task_of("synthetic"), Reading(limit=5), control=True)
    lines, _ = run(plan, tiny, workers, tmp_path)
    shown = list(thumbnails(plan, lines, workers, Facts(), most=100))
    assert [line for line, _ in shown] == lines
    assert all(picture is not None and picture.startswith(b"\xff\xd8") for _, picture in shown)
    plain_only = list(thumbnails(plan, lines, workers, Facts(), most=5))
    assert [line.variant for line, _ in plain_only] == [""] * 5
    assert len(list(thumbnails(plan, lines, workers, Facts(), most=2))) == 2


def test_an_item_that_fails_has_a_line_that_says_why(tiny: Engine, workers: Workers, tmp_path: Path) -> None:
    cases = [
        Case("gone", str(tmp_path / "gone.png"), "What is this?", "a cat", "exact"),
        Case("after", str(tmp_path / "gone.png"), "Are you sure?", "yes", "exact", before="gone"),
    ]
    plan = Plan(Task("mine", "", lambda _: iter(cases)), Reading())
    lines, _ = run(plan, tiny, workers, tmp_path)
    assert [line.outcome for line in lines] == ["failed", "failed"]
    assert "gone.png" in (lines[0].error or "")
    assert "the question before it has no answer" in (lines[1].error or "")


def test_an_answer_that_was_never_asked_for_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text(json.dumps({"id": "x", "input": "0", "answer": "y", "fields": {}}) + "\n")
    case = Case("a", "a.png", "What?", "x", "exact")
    plan = Plan(Task("mine", "", lambda _: iter([case])), Reading())
    (line,) = scored(plan, tmp_path / "answers.jsonl")
    assert (line.outcome, line.error) == ("failed", "it was not asked")
