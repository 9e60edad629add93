"""`vipcli.evaluation.results` and `tables`: the figures are what arithmetic says."""

from __future__ import annotations

import json
import time
from itertools import product

import numpy as np
import pytest
from evaluation.hand import CAPABILITIES, failed, line, task

from vipcli.errors import UsageError
from vipcli.evaluation.lines import read_lines, write_lines
from vipcli.evaluation.results import results_of
from vipcli.evaluation.styles import all_styles
from vipcli.evaluation.tables import result_tables, to_json, to_markdown


def test_the_score_is_the_mean_and_every_answer_is_counted():
    lines = [
        line(1),
        line(2, 0.6),
        line(3, 0.0),
        line(4, 0.0, outcome="refused"),
        line(5, 0.0, outcome="unparsable"),
        line(6, 1.0),
    ]
    row = results_of(lines, task()).overall
    assert row.score == pytest.approx(100 * 2.6 / 6)
    counts = (row.asked, row.answered, row.right, row.partly, row.wrong, row.refused, row.unparsable, row.failed)
    assert counts == (6, 6, 2, 1, 1, 1, 1, 0)
    assert row.complete
    low, high = row.interval
    assert 0 <= low < row.score < high <= 100


def test_each_name_of_a_heading_has_the_mean_of_its_own_questions_in_order_of_appearance():
    """As ViP-Bench counts: a question with several capabilities counts in each, All counts it once."""
    lines = [
        line(1, 1.0, groups={"capability": ("Rec", "OCR")}),
        line(2, 0.5, groups={"capability": ("OCR", "Math")}),
        line(3, 0.0, groups={"capability": ("Rec",), "size": ("small",)}),
        line(4, 0.2, groups={"capability": ("Rec", "Rec", "Know"), "size": ("large",)}),
    ]
    rows = results_of(lines, task()).rows
    found = {(row.heading, row.name): (round(row.score, 4), row.asked) for row in rows}
    assert list(found.items()) == [
        (("", "All"), (42.5, 4)),
        (("capability", "Rec"), (40.0, 3)),
        (("capability", "OCR"), (75.0, 2)),
        (("capability", "Math"), (50.0, 1)),
        (("capability", "Know"), (20.0, 1)),
        (("size", "small"), (0.0, 1)),
        (("size", "large"), (20.0, 1)),
    ]


def test_a_part_never_passes_for_the_whole():
    groups = {"capability": ("Rec",)}
    results = results_of([line(1), line(2, 0.0), failed(3), line(4, None), line(5, groups=groups)], task())
    row = results.overall
    assert (row.score, row.scored, row.failed, row.unscored) == (pytest.approx(200 / 3), 3, 1, 1)
    assert not row.complete
    assert not results.complete
    assert results.rows[1].complete
    text = to_markdown(result_tables(results))
    assert "2 of 5 questions have no score (1 failed, 1 not judged): the score is that of the other 3" in text
    assert json.loads(to_json(results))["rows"][0]["complete"] is False
    assert json.loads(to_json(results))["complete"] is False


def test_a_group_without_a_score_has_none_and_nothing_asked_is_no_error():
    results = results_of([failed(1, groups={"kind": ("x",)}), line(2)], task())
    assert results.rows[1].score is None
    assert results.rows[1].interval is None
    assert "| kind: x | – | – | 1 | 0 |" in to_markdown(result_tables(results))
    assert results_of([], task()).overall.score is None


def test_published_figures_are_those_of_the_split_and_say_where_they_stand():
    figures = {"7b bbox": 48.4, "13b bbox": 48.3, "7b human": 48.3, "13b human": 48.2}
    made = task(splits=("bbox", "human"), published=figures, source="arXiv 2312.00784")
    assert results_of([line(1)], made).published == {"7b": 48.4, "13b": 48.3}
    results = results_of([line(1)], made, "human")
    assert results.published == {"7b": 48.3, "13b": 48.2}
    text = to_markdown(result_tables(results))
    assert "## made-up human" in text
    assert "| published: 7b | 48.3 | – |" in text
    assert "Published figures: arXiv 2312.00784." in text
    assert results_of([line(1)], task(published={"7b": 86.09})).published == {"7b": 86.09}


def controlled() -> list:
    """Ten questions: 8 right with the marker, 3 without it; chance is a quarter."""
    plain = [line(n, float(n < 8)) for n in range(10)]
    return plain + [line(n, float(n in (0, 1, 9)), "removed") for n in range(10)]


def test_a_control_tells_the_share_of_the_score_that_comes_from_the_marker():
    [control] = results_of(controlled(), task(chance=0.25)).controls
    assert (control.variant, control.pairs, control.complete) == ("removed", 10, True)
    assert (control.plain, control.control, control.difference) == pytest.approx((80, 30, 50))
    assert control.share == pytest.approx(100 * 50 / 80)
    assert control.above_chance == pytest.approx(100 * 50 / 55)
    assert control.interval[0] < 50 < control.interval[1]
    assert control.share_interval[0] < control.share < control.share_interval[1]
    assert control.above_chance_interval[0] < control.above_chance < control.above_chance_interval[1]
    assert results_of(controlled(), task()).controls[0].above_chance is None


def test_a_control_is_paired_with_the_same_question_only():
    lines = [*controlled()[:-2], failed(8, "removed"), failed(10), line(11)]
    control = results_of(lines, task()).controls[0]
    assert (control.asked, control.pairs, control.complete) == (12, 8, False)
    assert (control.plain, control.control) == pytest.approx((100, 25))


def test_the_share_is_left_out_where_there_is_hardly_a_score_to_share():
    lines = [line(n, float(n < 4)) for n in range(12)] + [line(n, float(n < 1), "moved") for n in range(12)]
    [control] = results_of(lines, task(chance=0.25)).controls
    assert control.difference == pytest.approx(100 * 3 / 12)
    assert control.share == pytest.approx(75), "the score is above nothing"
    assert control.above_chance is None, "but not above guessing"
    none = [line(n, 0.0) for n in range(12)] + [line(n, 0.0, "moved") for n in range(12)]
    assert results_of(none, task()).controls[0].share is None


def styled() -> list:
    answers = {
        "": ["cat", "dog", "cow"],
        "red box": ["cat", "dog", "cow"],
        "blue box": ["Cat.", "dog", "pig"],
        "red point": ["cat", "owl", None],
    }
    return [
        failed(n, variant) if said is None else line(n, float(said != "owl"), variant, answer=said)
        for variant, some in answers.items()
        for n, said in enumerate(some)
    ]


def test_styles_tell_accuracy_and_agreement():
    results = results_of(styled(), task())
    found = {row.name: (row.row.score, row.agreement, row.with_plain) for row in results.styles.rows}
    third = 100 / 3
    assert found == {
        "red box": pytest.approx((100, 100, 100)),
        "blue box": pytest.approx((100, 2 * third, 2 * third)),
        "red point": pytest.approx((50, third, third)),
    }
    assert results.styles.unanimous == pytest.approx(third)
    assert results.styles.best.name == "red box"
    assert "Highest: red box, 100.0 (29.2 to 100.0), as 1 other." in to_markdown(result_tables(results))
    assert not results.complete, "red point lacks one"
    alone = results_of([one for one in styled() if one.variant], task()).styles
    assert [row.with_plain for row in alone.rows] == [None] * 3


def test_answers_are_the_same_when_the_same_was_read_from_them():
    lines = [line(1, 1.0, "red box", answer="B", read="B"), line(1, 1.0, "red arrow", answer="(B) it is", read="B")]
    assert results_of(lines, task()).styles.unanimous == 100


def test_styles_meet_in_a_grid_of_kind_and_colour_and_one_of_widths():
    lines = [line(n, float(n % 2), style.name) for style, n in product(all_styles(), range(2))]
    styles = results_of(lines, task()).styles
    assert all(row.style is not None and row.style.name == row.name for row in styles.rows)
    colors, widths = styles.by_color(), styles.by_width()
    assert len(colors) == 8
    assert {len(its) for its in colors.values()} == {9}
    assert colors["point"]["gold"].name == "gold point"
    assert {width: row.name for width, row in widths["contour"].items()} == {
        1.0: "red contour",
        0.5: "red contour, width 1",
        2.0: "red contour, width 4",
    }
    titles = [table.title for table in result_tables(results_of(lines, task()))]
    assert titles[2:] == ["accuracy, kind by color", "accuracy, kind by width (of the usual one)"]
    odd = results_of([line(1, 1.0, "my own style")], task()).styles
    assert (odd.rows[0].style, odd.by_color(), odd.by_width()) == (None, {}, {})


def test_markdown_has_no_markup_of_a_name():
    results = results_of([line(1, groups={"a|b": ("<script>", "x\n# y\x1b[31m", "*_`[")})], task())
    rows = to_markdown(result_tables(results)).splitlines()[4:8]
    assert [row.split(" | ")[0] for row in rows] == [
        "| All",
        r"| a\|b: &lt;script&gt;",
        r"| a\|b: x\\x0a# y\\x1b\[31m",
        r"| a\|b: \*\_\`\[",
    ]


def test_a_hundred_thousand_answers_take_seconds():
    rng = np.random.default_rng(0)
    names = [tuple(rng.choice(CAPABILITIES, 2, False).tolist()) for _ in range(100)]
    lines = [
        line(n, float(rng.random() < 0.5), picture=f"{n * 3 // 5}.jpg", groups={"capability": names[n % 100]})
        for n in range(100_000)
    ]
    start = time.process_time()
    results = results_of(lines, task())
    assert time.process_time() - start < 4
    assert results.overall.interval[1] - results.overall.interval[0] < 1


@pytest.mark.parametrize(
    "edited", [{"score": "x"}, {"score": -1}, {"score": True}, {"outcome": "nice"}, {"picture": [1]}, {"id": 3}]
)
def test_a_line_that_was_edited_into_nonsense_is_none(tmp_path, edited):
    path = tmp_path / "scored.jsonl"
    write_lines([line(1)], path)
    assert [one.id for one in read_lines(path)] == ["q-1"]
    path.write_text(path.read_text() + json.dumps(json.loads(path.read_text()) | edited) + "\n")
    with pytest.raises(UsageError, match=r"scored.jsonl, line 2: is no line of vip eval"):
        list(read_lines(path))
