"""The exam asks what it says, in words and scenes of its own, and is scored as the card says."""

import itertools
from collections import Counter

import numpy as np
import pytest

from vipcli.evaluation.exam import CONTROL, OTHER_ART, Material, Question, exam
from vipcli.evaluation.scoring import Asked, Score, scores, sit, table
from vipcli.scenes import SHAPES, THINGS
from vipcli.scenes.art import shipped_art
from vipcli.scenes.facts import DONT_KNOW

PICTURE = np.zeros((40, 40, 3), np.uint8)


def asked(row, truth, answer, thing=None):
    return Asked(Question(row, PICTURE, (), "?", truth, thing), answer)


@pytest.mark.parametrize(
    ("truth", "answer", "right"),
    [
        ("a cat", "a cat", True),
        ("a cat", "A cat.", True),
        ("a cat", "a dog", False),
        ("a cat", "a cat and a dog", False),
        ("a cat", "", False),
        ("a cat, a dog and an owl", "an owl, a cat and a dog", True),
        ("a cat, a dog and an owl", "a cat and a dog", False),
        ("no, a dog", "no", False),
        (DONT_KNOW, "I don't know", True),
    ],
)
def test_an_answer_is_right_when_it_says_that_and_nothing_else(truth, answer, right):
    assert asked("x", truth, answer).right == right


def test_scores_are_counted_by_row_and_thing():
    rows = scores(
        [
            asked("one marker: box", "a cat", "a cat", "cat"),
            asked("one marker: arrow", "a cat", "a dog", "cat"),
            asked("one marker: arrow", "a dog", "a dog", "dog"),
            asked(CONTROL, "a cat", "nothing is marked"),
            asked("things it can't know", DONT_KNOW, DONT_KNOW),
            asked("color", "red", DONT_KNOW),
            asked(OTHER_ART, "a cat", DONT_KNOW),
        ]
    )
    assert (rows["one marker"].right, rows["one marker"].asked) == (2, 3)
    assert rows["one marker: box"].share == 1
    assert rows["the worst of 2 things (cat)"] == Score(1, 2)
    assert rows["gives up on what it knows"] == Score(1, 4)
    assert rows["gives up on other art"] == Score(1, 1)
    assert rows[CONTROL].share == 0
    assert "| things it can't know | 100.0 % | 1 |" in table(rows)


def test_the_whole_exam_has_enough_of_everything():
    """Counted by a tenth of it."""
    rows, things, kinds = Counter(), Counter(), Counter()
    for question in exam(0.1):
        rows[question.row] += 1
        if question.thing in THINGS:
            things[question.thing] += 1
        kinds.update(marker.kind for marker in question.markers)
        assert question.text.strip()
        assert question.truth
    assert sum(rows.values()) > 500
    assert set(kinds) == {kind.kind for kind in SHAPES}
    assert len(things) > 100
    assert {f"one marker: {kind.kind}" for kind in SHAPES} < set(rows)
    assert rows["in words of the user's own"] >= 70


def test_an_exam_is_the_same_again_and_another_one_is_other():
    def first(number):
        return [(q.text, q.truth) for q in itertools.islice(exam(0.02, number), 12)]

    assert first(0) == first(0)
    assert first(0) != first(1)


def test_photographs_and_other_art_are_asked_about_where_they_are_given():
    photograph = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    rows = Counter(question.row for question in exam(0.01, material=Material([photograph], shipped_art())))
    assert rows["photographs behind the things"]
    assert rows[OTHER_ART]


@pytest.mark.filterwarnings("ignore::vipcli.VipWarning")
def test_questions_go_through_the_whole_line():
    """What the engine gets is the marked picture and the conversation so far."""
    from vipcli import open_engine

    seen = []
    engine = open_engine("tiny")

    class Watched:
        def __getattr__(self, name):
            return getattr(engine, name)

        def stream(self, request):
            seen.append(request)
            return engine.stream(request)

    questions = [question for question in exam(0.01) if question.before is not None or question.row == CONTROL]
    done = list(sit(Watched(), questions))
    assert len(done) == len(questions)
    talk = next(i for i, question in enumerate(questions) if question.before)
    prompts = [request.prompt for request in seen]
    assert any(prompt.count("###Human:") == 2 for prompt in prompts)
    follow = next(prompt for prompt in prompts if questions[talk].text in prompt)
    assert questions[talk].before.text in follow
