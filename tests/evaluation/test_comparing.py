"""`vipcli.evaluation.comparing`: two runs, question by question."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from evaluation.hand import failed, line

from vipcli.errors import UsageError
from vipcli.evaluation.comparing import compare
from vipcli.evaluation.tables import comparison_tables, to_json, to_markdown


def runs(both: int = 20, only_a: int = 3, only_b: int = 12, neither: int = 5):
    """So many questions that both have right, and so on."""
    sides = [(1.0, 1.0)] * both + [(1.0, 0.0)] * only_a + [(0.0, 1.0)] * only_b + [(0.0, 0.0)] * neither
    groups = [{"size": ("small" if n % 2 else "large",)} for n in range(len(sides))]
    return tuple([line(n, pair[side], groups=groups[n]) for n, pair in enumerate(sides)] for side in (0, 1))


def test_it_counts_who_has_what_right():
    a, b = runs()
    row = compare(a, b).overall
    assert (row.both, row.only_a, row.only_b, row.neither, row.asked) == (20, 3, 12, 5, 40)
    assert (row.a, row.b, row.difference) == pytest.approx((57.5, 80, 22.5))
    assert row.p == pytest.approx(0.03515625), "2 * (1 + 15 + 105 + 455) / 2 ** 15"
    assert 0 < row.interval[0] < 22.5 < row.interval[1]
    back = compare(b, a).overall
    assert back.interval == pytest.approx((-row.interval[1], -row.interval[0]), abs=1e-9)
    assert (back.difference, back.p) == (pytest.approx(-22.5), row.p)


def test_each_group_has_its_own_row_and_the_order_of_lines_is_nothing():
    a, b = runs()
    rows = compare(a, b[::-1]).rows
    assert [(row.heading, row.name, row.asked) for row in rows] == [
        ("", "All", 40),
        ("size", "large", 20),
        ("size", "small", 20),
    ]
    assert sum(row.only_b for row in rows[1:]) == 12
    assert compare(a, a).overall.p == 1


def test_a_score_between_counts_in_the_difference_but_is_not_right():
    a, b = [line(1, 0.6), line(2, 0.0)], [line(1, 1.0), line(2, 0.5)]
    row = compare(a, b).overall
    assert row.difference == pytest.approx(45)
    assert (row.both, row.only_a, row.only_b, row.neither) == (0, 0, 1, 1)


def test_no_caption_is_right_whatever_its_score():
    a, b = [line(1, 2.5), line(2, 0.4)], [line(1, 0.7), line(2, 1.3)]
    found = compare(a, b)
    assert (found.overall.both, found.overall.only_a, found.overall.only_b, found.overall.neither) == (0, 0, 0, 2)
    assert "| 2 | – | 2 |" in to_markdown(comparison_tables(found)), "and McNemar has nothing to say"


def test_runs_of_two_machines_are_compared_wherever_the_pictures_lay():
    ours, theirs = line(1, picture="/data/v7w/1.jpg"), line(1, picture="../v7w/1.jpg")
    assert compare([ours], [theirs]).overall.both == 1


def test_what_one_lacks_a_score_of_is_left_out_and_said():
    a, b = runs()
    b[0], a[39] = failed(0, groups=b[0].groups), line(39, None, groups=a[39].groups)
    found = compare(a, b)
    assert not found.complete
    assert (found.overall.scored, found.overall.both, found.overall.neither) == (38, 19, 4)
    text = to_markdown(comparison_tables(found))
    assert "2 of 40 questions lack a score in one or both" in text
    assert "| 38 of 40 |" in text
    nothing = compare([failed(1)], [line(1)]).overall
    assert (nothing.a, nothing.difference, nothing.interval, nothing.p) == (None, None, None, 1.0)


def test_only_the_questions_as_the_task_has_them_are_compared():
    a, b = runs()
    more = [line(n, 1.0, "red box") for n in range(40)] + [line(n, 0.0, "removed") for n in range(40)]
    assert compare(a + more, b) == compare(a, b)


def refusal(ours, theirs, **names: str) -> str:
    with pytest.raises(UsageError) as caught:
        compare(ours, theirs, **names)
    return str(caught.value)


def test_other_questions_are_refused_in_one_sentence():
    a, b = runs()
    assert refusal(a, [*b[3:], line(99)], a="one", b="two") == (
        "one and two aren't over the same questions: 3 only in the first, 1 only in the second, 37 in both"
    )
    for what, other in {"picture": "x.jpg", "truth": "an owl", "question": "Who?"}.items():
        changed = [line(n, **{what: other}) if n in (4, 5) else one for n, one in enumerate(b)]
        assert refusal(a, changed) == (
            f"A and B aren't over the same questions: 2 of 40 differ, the first of them, q-4, in its {what}"
        )
    assert refusal(a, []) == "B has no questions to compare"
    assert refusal([*a, a[0]], b) == "A has q-0 twice: it can't be compared"
    assert "\x1b" not in refusal(a, [], b="\x1b[31m")


def test_a_question_may_name_other_markers_where_they_are_others():
    a = [line(1, question="What is within the red rectangle?", markers=("box:1,2,3,4@red",)), line(2)]
    b = [line(1, question="What is within the blue rectangle?", markers=("box:1,2,3,4@blue",)), line(2)]
    found = compare(a, b, a="red", b="blue")
    assert found.restyled == 1
    assert "1 questions are marked otherwise in blue." in to_markdown(comparison_tables(found))
    other = replace(a[0], markers=(), answer=None, score=None, error="no picture")
    assert compare(a, [other, line(2)]).restyled == 0, "of what failed no markers are known"


def test_it_is_written_as_json_and_markdown():
    found = compare(*runs(), a="tiny", b="7b")
    shown = json.loads(to_json(found))
    assert (shown["a"], shown["rows"][0]["only_b"], shown["rows"][0]["complete"]) == ("tiny", 12, True)
    assert shown["rows"][0]["interval"] == list(found.overall.interval)
    text = to_markdown(comparison_tables(found))
    assert text.startswith("## 7b beside tiny\n\n|  | tiny | 7b | difference |")
    assert "| All | 57.5 | 80.0 | +22.5 | +" in text
    assert "| 0.035 | 40 |" in text
