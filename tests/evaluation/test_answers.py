"""What is read from an answer, and what it is worth: a table."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipcli.evaluation.answers import Scored, is_refusal, listed, score
from vipcli.evaluation.letters import read_letter
from vipcli.evaluation.numerals import read_number
from vipcli.scenes.facts import DONT_KNOW

RULES = ("exact", "contains", "letter", "equals-letter", "number", "list", "judged", "caption")

LETTERS = {
    "B": [
        *("B", "b", " B \n", "(B)", "[B]", "B)", "b.", "B:", "**B**", "`B`", "“B”", "Ｂ", "$B$", "<B>", r"\boxed{B}"),
        *("B. the cat", "b) a cat", "B: the cat", "B - the cat", "B, the cat", "B. The A train", "B. Team C"),
        *(
            "Option B",
            "option b",
            "Option (B)",
            "Choice: B",
            "The letter is B",
            "Answer B",
            "Answer:B",
            "Answer: **B**",
        ),
        *(
            "The answer is B.",
            "the answer is b",
            "The correct answer is (B).",
            "My answer would be B.",
            "Answer: B. cat",
        ),
        *(
            "The answer is option B: the dog",
            "The best option is B.",
            "the answer should be B",
            "Correct answer: B. Dog",
        ),
        *("I think B", "I think it's B.", "I choose B", "I'd go with B", "Definitely B!", "B because it is red"),
        *("B is correct.", "It is B because the dog is left.", "B, not C", "The correct option is B, not C."),
        *("B\nbecause it is red", "Let me think.\nB", "Let me think.\n\n(B)", "B. B", "A man is holding (B) a cup"),
        *("A shows a dog. C shows a cat. So the answer is B.", "It could be A or C, but the answer is B."),
        *("Not A. The answer is B.", "It isn't (A), so it must be (B).", "Answer: the cat (B)"),
    ],
    "A": [
        *("A", "a", "A.", "(a)", "A. A cat", "A - a red car", "The answer is A.", "The answer is a"),
        *(
            "The answer is A because it is red",
            "The answer is A, a red car.",
            "A is the right one",
            "Option A is right",
        ),
        *("option a", "Answer: a. cat"),
    ],
    None: [
        *("", "   ", "the cat", "none of these", "E", "(E)", "The object within the red rectangle"),
        *("A cat", "A cat.", "a cat", "The answer is a cat.", "The answer is A cat", "A cat is in A."),
        *(
            "A or B",
            "A, B",
            "a, b",
            "A and C",
            "B/C",
            "(A) or (B)",
            "(A) cat (B) dog",
            "A B C D",
            "Both A and B are right",
        ),
        *("The answer is B or C.", "The answer is either B or C.", "Answer: A, C", "Option B and option C"),
        *("A. cat\nB. dog", "B.\nC.", "B. No wait, C.", "Answer: none of A, B, C, D", "All of A, B, C"),
        *("not B", "It is not B.", "The answer is not (B).", "Neither A nor B"),
        *("It is vitamin C", "Plan B was used", "The A4 paper", "C-shaped thing", "D.C. area", "e.g. a cat", "cat(s)"),
        *("B's", "I am B", "It's a B"),
    ],
}


@pytest.mark.parametrize(("letter", "answer"), [(letter, text) for letter, texts in LETTERS.items() for text in texts])
def test_a_letter_is_read_or_it_is_not(letter, answer):
    assert read_letter(answer, "ABCD") == letter
    found = score("letter", "B", answer, "ABCD")
    assert found.read == (letter or "")
    assert found.outcome == {"B": "right", None: "unparsable"}.get(letter, "wrong")
    assert found.score == float(letter == "B")


NUMBERS = [
    *[("3", 3), ("3.", 3), ("three", 3), ("Three.", 3), ("There are three dogs.", 3), ("It is 3, I think", 3)],
    *[("3.5", 3.5), ("0.75", 0.75), (".75", 0.75), ("1,234", 1234), ("1,234.5 m", 1234.5), ("-3", -3), ("−3", -3)],
    *[("twenty-one", 21), ("twenty one", 21), ("one hundred and five", 105), ("two thousand three hundred", 2300)],
    *[("forty-two thousand and seven", 42007), ("a dozen", 12), ("two dozen", 24), ("a hundred", 100), ("$50", 50)],
    *[("none", 0), ("zero", 0), ("three (3)", 3), ("one", 1), ("There is one.", 1), ("I see one dog", 1)],
    *[(text, None) for text in ("", "many", "dozens of dogs", "3 or 4", "two and three", "two three", "3/4", "12:30")],
    *[(text, None) for text in ("5cm", "1st", "12,34", "1e5", "v1_3", "someone", "weight", "none of the 3")],
    *[(text, None) for text in ("half a dozen", "two and a half", "4 and a half", "three quarters", "one third")],
    *[(text, None) for text in ("the red one", "this one", "one of them", "the other one is red")],
]


@pytest.mark.parametrize(("answer", "number"), NUMBERS)
def test_a_number_is_read_or_it_is_not(answer, number):
    assert read_number(answer) == number
    found = score("number", "3\n1,234", answer)
    assert found.outcome == ("unparsable" if number is None else "right" if number in (3, 1234) else "wrong")
    assert found.read == ("" if number is None else f"{number:.15g}")


@pytest.mark.parametrize(
    ("rule", "truth", "answer", "outcome"),
    [
        ("exact", "a cat", " A  Cat\n", "right"),
        ("exact", "a cat", "a cat.", "wrong"),  # as the authors compare
        ("exact", "Straße", "STRASSE", "right"),
        ("exact", "a cat\na kitten", "a kitten", "right"),
        ("exact", "a cat", "", "wrong"),
        ("exact", "a cat", "I don't know", "refused"),
        ("exact", DONT_KNOW, "i don't know", "right"),
        ("exact", DONT_KNOW, "a cat", "wrong"),
        ("contains", "cat", "It is a Cat, I think.", "right"),
        ("contains", "cat", "a category", "wrong"),
        ("contains", "cat\ndog", "hot dog", "right"),
        ("contains", "+5", "it says 3+5", "right"),
        ("contains", "red car", "a red  car", "right"),
        ("contains", "cat", "I can't tell whether it is a cat", "refused"),
        ("contains", DONT_KNOW, "Sorry, I don't know.", "right"),
        ("letter", "B", "I'm sorry, but I can't see the picture.", "refused"),
        ("letter", "B", "I'm sorry, but it must be (B)", "right"),
        ("letter", "b", "B", "right"),
        ("equals-letter", "B", "B", "right"),
        ("equals-letter", "B", " b\n", "right"),
        ("equals-letter", "B", "(B)", "wrong"),
        ("equals-letter", "B", "The answer is B.", "wrong"),
        ("equals-letter", "B", "the cat", "unparsable"),
        ("equals-letter", "B", "I cannot tell.", "refused"),
        ("number", "3", "I don't know", "refused"),
        ("number", "3", "I'm sorry, but 3 is a guess", "refused"),
        ("number", "three", "3.0", "right"),
        ("list", "a cat, a dog and an owl", "an owl, a cat and a dog.", "right"),
        ("list", "a cat", "a cat and a dog", "wrong"),
        ("list", "a cat", "I don't know", "refused"),
        ("list", DONT_KNOW, "I don't know.", "right"),
        ("judged", "a cat", "a cat", "unscored"),
        ("judged", "a cat", "I don't know", "unscored"),
        ("caption", "a cat", "a cat", "unscored"),
    ],
)
def test_an_answer_is_held_against_the_truth(rule, truth, answer, outcome):
    found = score(rule, truth, answer)
    assert found.outcome == outcome
    assert found.score == {"right": 1.0, "unscored": None}.get(outcome, 0.0)


def test_the_strict_rule_tells_what_a_generous_reading_finds():
    assert score("equals-letter", "B", "The answer is B.", "ABCD") == Scored(0.0, "wrong", "B")


@pytest.mark.parametrize(
    "answer", ["I don't know", "I don’t know.", "I can't.", "I'm sorry, but no.", "Sorry, no", "As an AI"]
)
def test_a_refusal_is_known(answer):
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", ["a sorry sight", "I see a cat", "the word unable", "I can see it", "unknown", ""])
def test_what_only_looks_like_a_refusal_is_none(answer):
    assert not is_refusal(answer)


def test_letters_beyond_the_choices_are_not_read():
    assert read_letter("The answer is F.", "ABCD") is None
    assert read_letter("The answer is F.") == "F"
    assert read_letter("The answer is L.", "ABCDEFGHIJKL") == "L"


TEXTS = st.text(max_size=200) | st.lists(
    st.sampled_from(
        "A B C a b I one two hundred million the answer is not or and ( ) . , / 3 12 \n ** \\boxed{ option".split(" ")
    ),
    max_size=40,
).map(" ".join)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(RULES), TEXTS, TEXTS)
def test_no_answer_is_too_strange(rule, truth, answer):
    found = score(rule, truth, answer, "ABCD")
    assert found.score in (None, 0.0, 1.0)
    assert (found.score == 1.0) == (found.outcome == "right")
    assert (found.score is None) == (found.outcome == "unscored")
    assert rule not in ("letter", "equals-letter") or found.read in ("", *"ABCD")


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a cat", "a dog", "an owl", "a red car"]), min_size=1, max_size=5).flatmap(
        lambda names: st.tuples(st.just(names), st.permutations(names))
    )
)
def test_a_list_may_be_in_any_order(lists):
    def said(names):
        *most, last = names
        return f"{', '.join(most)} and {last}" if most else last

    assert listed(said(lists[0])) == listed(said(lists[1]))
    assert score("list", said(lists[0]), said(lists[1])).outcome == "right"


def test_a_long_answer_takes_no_time():
    began = time.perf_counter()
    for text in (
        "B or " * 5_000,
        "(" * 50_000,
        "twenty " * 7_000,
        "million " * 7_000,
        "9" * 50_000,
        "A" + " " * 50_000 + "B",
    ):
        for rule in RULES:
            score(rule, "B", text, "ABCD")
    assert time.perf_counter() - began < 20


def test_a_hundred_thousand_answers_are_scored_in_seconds():
    texts = [text for texts in LETTERS.values() for text in texts]
    answers = [f"{texts[i % len(texts)]} {i}"[:60] for i in range(50_000)]
    began = time.perf_counter()
    for text in answers:
        score("letter", "B", text, "ABCD")
        score("exact", "a cat", text)
    assert time.perf_counter() - began < 5


def test_the_table_can_be_printed():  # what is read is told to people
    assert json.dumps([score("number", "1", text).read for text, _ in NUMBERS])
