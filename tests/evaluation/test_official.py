"""The files of ViP-Bench's own evaluation: written, read, refused, and a known result scored again."""

import json
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipcli.errors import UsageError
from vipcli.evaluation.cases import Case
from vipcli.evaluation.lines import Line
from vipcli.evaluation.official import read_grades, read_official, write_official
from vipcli.evaluation.results import results_of
from vipcli.evaluation.tasks import task_of

CAPABILITIES = ("Rec", "OCR", "Know", "Math", "Rel", "Lang")


def case(number, capabilities=("Rec",)):
    return Case(f"v1_{number}", f"{number}.png", "?", "a cat", "judged", groups={"capability": tuple(capabilities)})


CASES = [case(number) for number in range(3)]
ANSWERS = {"v1_0": "a cat", "v1_1": "a “dog”\n", "v1_2": ""}


def test_the_file_is_what_the_authors_script_writes(tmp_path):
    path = tmp_path / "answers.json"
    write_official(path, ANSWERS)
    assert path.read_text() == json.dumps(ANSWERS, indent=2)
    assert read_official(path, CASES) == ANSWERS


TEXT = st.text(st.characters(), max_size=40)


@settings(deadline=None, max_examples=50)
@given(st.lists(TEXT, min_size=1, max_size=8))
def test_every_answer_comes_back_as_it_was(tmp_path_factory, answers):
    path = tmp_path_factory.mktemp("official") / "answers.json"
    cases = [case(number) for number in range(len(answers))]
    said = {one.id: answer for one, answer in zip(cases, answers, strict=True)}
    write_official(path, said)
    assert read_official(path, cases) == said


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"{", "is no JSON object of answers"),
        (b"[]", "is no JSON object of answers"),
        (b"[" * 100_000, "is no JSON object of answers"),
        (b"\xff\xfe", "is no JSON object of answers"),
        (ANSWERS | {"v1_1": 3}, "the answer to v1_1 must be a text, got 3"),
        (ANSWERS | {"v1_1": None}, "the answer to v1_1 must be a text, got nothing"),
        (ANSWERS | {"v1_303": "x", "v1_9": "x"}, "has answers to 2 questions that aren't asked here, first v1_303"),
        ({"v1_0": "a cat"}, "lacks 2 of 3 answers, first v1_1: a score of some questions isn't the benchmark's"),
        (b'{"v1_0": "a", "v1_1": "b", "v1_2": "c", "v1_1": "d"}', "has v1_1 twice"),
    ],
)
def test_another_file_ends_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "answers.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(UsageError, match=sentence) as caught:
        read_official(path, CASES)
    assert str(caught.value).isprintable()


def test_no_file_ends_in_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="can't be read"):
        read_official(tmp_path / "none.json", CASES)


def graded(scores):
    return {"model": ["gpt-4-0613"] * len(scores), "content": [str(score) for score in scores], "score": scores}


@st.composite
def results(draw):
    """303 questions or so, each with capabilities and the scores of some runs."""
    runs = draw(st.integers(1, 5))
    tenths = st.integers(0, 10).map(lambda tenth: tenth / 10)
    item = st.tuples(
        st.lists(st.sampled_from(CAPABILITIES), min_size=1, unique=True), st.lists(tenths, min_size=runs, max_size=runs)
    )
    return draw(st.lists(item, min_size=1, max_size=40))


@settings(deadline=None, max_examples=50)
@given(results())
def test_a_known_result_has_the_means_that_arithmetic_says(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("grades") / "grade.json"
    cases = [case(number, capabilities) for number, (capabilities, _) in enumerate(items)]
    path.write_text(json.dumps({one.id: graded(scores) for one, (_, scores) in zip(cases, items, strict=True)}))
    grades = read_grades(path, cases)

    lines = []
    for one in cases:
        mean = sum(grades[one.id]) / len(grades[one.id])
        outcome = "right" if mean == 1 else "partly" if mean else "wrong"
        lines.append(Line(one.id, one.picture, one.question, one.truth, "x", mean, outcome, groups=one.groups))
    found = {row.name: row for row in results_of(lines, task_of("vip-bench"), "bbox").rows}

    # As the authors' script does: sums of each run by capability, over how many items have it, then the mean of runs.
    sums, counts = defaultdict(float), defaultdict(int)
    for capabilities, scores in items:
        for name in (*capabilities, "All"):
            sums[name] += sum(scores)
            counts[name] += 1
    runs = len(items[0][1])
    assert found.keys() == sums.keys()
    for name in sums:
        assert found[name].score == pytest.approx(100 * sums[name] / runs / counts[name])
        assert found[name].asked == counts[name]


@pytest.mark.parametrize(
    ("grade", "sentence"),
    [
        ({"score": []}, "the grade of v1_1 must be like"),
        ({"score": [1.5]}, "the grade of v1_1 must be like"),
        ({"score": ["0.5"]}, "the grade of v1_1 must be like"),
        ({"score": [True]}, "the grade of v1_1 must be like"),
        ({"score": [float("nan")]}, "the grade of v1_1 must be like"),
        (0.5, "the grade of v1_1 must be like"),
        (graded([0.5, 0.5]), "v1_1 has 2 scores and others have 1"),
    ],
)
def test_grades_that_are_none_end_in_one_sentence(tmp_path, grade, sentence):
    path = tmp_path / "grade.json"
    path.write_text(json.dumps({"v1_0": graded([1.0]), "v1_1": grade, "v1_2": graded([0.0])}))
    with pytest.raises(UsageError, match=sentence):
        read_grades(path, CASES)


def test_grades_that_are_missing_are_counted(tmp_path):
    path = tmp_path / "grade.json"
    path.write_text(json.dumps({"v1_0": graded([1.0])}))
    with pytest.raises(UsageError, match="lacks 2 of 3 grades, first v1_1"):
        read_grades(path, CASES)
