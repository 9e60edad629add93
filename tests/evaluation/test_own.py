"""A user's own questions, from their lines to what is asked and scored."""

import json
import warnings

import pytest
from evaluation.authors import lay, picture, prepared, texts

from vipcli.errors import UsageError
from vipcli.evaluation.answers import score
from vipcli.evaluation.cases import Reading
from vipcli.evaluation.styles import Style, all_styles
from vipcli.evaluation.tasks.own import task_for

LINE = {"image": "pictures/a.jpg", "question": "What is @1?", "markers": ["10,20,60,70"], "answer": "a cat"}
CHOICES = LINE | {"question": "What is it?", "choices": ["a cat", "a dog", "B"], "answer": "a dog"}


def write(folder, *lines):
    lay(folder, {"pictures/a.jpg": picture(), "elsewhere/pictures/a.jpg": picture()})
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    path = folder / "my.jsonl"
    path.write_text(text)
    return path


def cases(path, **how):
    return list(task_for(path).read(Reading(**how)))


def test_a_line_is_a_question(tmp_path):
    (case,) = cases(write(tmp_path, LINE))
    assert prepared(case).question == "What is the object within the blue rectangle?"  # seen best on gray
    assert (case.id, case.truth, case.rule, case.groups) == ("1", "a cat", "exact", {})
    assert case.image == str(tmp_path / "pictures/a.jpg")
    assert case.where == "my.jsonl, line 1"


def test_pictures_lie_beside_the_file_or_in_the_data_folder(tmp_path):
    path = write(tmp_path, LINE)
    (case,) = cases(path, folder=tmp_path / "elsewhere")
    assert case.image == str(tmp_path / "elsewhere/pictures/a.jpg")


def test_addresses_stay(tmp_path):
    for image in ("https://example.org/a.jpg", "data:image/png;base64,AAAA"):
        (case,) = cases(write(tmp_path, LINE | {"image": image}))
        assert case.image == image


def test_blank_lines_count_and_are_no_questions(tmp_path):
    one, two = cases(write(tmp_path, LINE, "\n", LINE | {"id": "named"}))
    assert (one.id, two.id, two.where) == ("1", "named", "my.jsonl, line 3")


def test_choices_stand_behind_the_question_as_the_authors_put_them(tmp_path):
    (case,) = cases(write(tmp_path, CHOICES))
    assert case.question == (
        "What is it?\nA. a cat\nB. a dog\nC. B\nAnswer with the option's letter from the given choices directly."
    )
    assert (case.rule, case.truth, case.choices) == ("letter", "B", ("A", "B", "C"))


@pytest.mark.parametrize(("answer", "letter"), [("a cat", "A"), ("a  dog", "B"), ("c", "C"), ("A", "A")])
def test_the_answer_is_a_choice_or_its_letter(tmp_path, answer, letter):
    (case,) = cases(write(tmp_path, CHOICES | {"answer": answer}))
    assert case.truth == letter


def test_there_may_be_more_than_four_choices(tmp_path):
    (case,) = cases(write(tmp_path, CHOICES | {"choices": [str(number) for number in range(12)], "answer": "11"}))
    assert (case.truth, case.choices[-1]) == ("L", "L")
    assert score(case.rule, case.truth, "The answer is L.", case.choices).outcome == "right"


@pytest.mark.parametrize(
    ("line", "answer", "outcome"),
    [
        ({"answer": "a cat"}, "A Cat", "right"),
        ({"answer": ["a cat", "a kitten"]}, "a kitten", "right"),
        ({"answer": 3}, "3", "right"),
        ({"answer": 3, "rule": "number"}, "There are three.", "right"),
        ({"answer": 2.50, "rule": "number"}, "2.5", "right"),
        ({"answer": 1234567890123456789}, "1234567890123456789", "right"),
        ({"answer": [3, "four"], "rule": "number"}, "4", "right"),
        ({"answer": ["cat", "dog"], "rule": "contains"}, "That is a dog.", "right"),
        ({"answer": "d", "rule": "letter"}, "(D)", "right"),
        ({"answer": "several\nlines"}, "several lines", "right"),
        ({"answer": ["a", "b"], "rule": "judged"}, "anything", "unscored"),
    ],
)
def test_an_answer_is_scored_by_its_rule(tmp_path, line, answer, outcome):
    (case,) = cases(write(tmp_path, LINE | line))
    assert score(case.rule, case.truth, answer, case.choices).outcome == outcome


def test_alternatives_of_a_judged_question_are_said_to_the_judge(tmp_path):
    (case,) = cases(write(tmp_path, LINE | {"answer": ["a cat", "a kitten"], "rule": "judged"}))
    assert case.truth == "a cat<OR>a kitten"


@pytest.mark.parametrize(
    "line",
    [
        {"groups": {"scene": "indoors", "kind": ["pet", "small"]}},
        {"groups": ["scene", "kind"], "scene": "indoors", "kind": ["pet", "small"]},
    ],
)
def test_groups_are_said_or_named(tmp_path, line):
    (case,) = cases(write(tmp_path, LINE | line | {"note": "is only carried"}))
    assert case.groups == {"scene": ("indoors",), "kind": ("pet", "small")}


def test_a_limit_takes_lines_from_all_over(tmp_path):
    assert [case.id for case in cases(write(tmp_path, *[LINE] * 10), limit=2)] == ["1", "6"]


def test_with_a_style_the_markers_change_and_the_words_with_them(tmp_path):
    line = LINE | {
        "question": "Is @dog left of @2?",
        "markers": ["dog=10%,20%,30%,70%@blue", "contour:70,10,90,10,90,60"],
    }
    (case,) = cases(write(tmp_path, line), style=Style("arrow", "lime", None))
    assert prepared(case).question == (
        "Is the dog pointed to by the lime arrow left of the object pointed to by the blue arrow?"
    )
    assert all("arrow:" in text for text in texts(case))
    for style in all_styles():
        for restyled in cases(write(tmp_path, line), style=style):
            prepared(restyled)


FAULTS = [
    ({"image": None}, "its image must be a text, got nothing"),
    ({"image": "pictures/b.jpg"}, "its picture is missing: .*b.jpg"),
    ({"question": ""}, "its question must be a text"),
    ({"markers": [1]}, "one of its markers must be a text, got 1"),
    ({"answer": None}, "its answer must be a text, a number or a list of them, got nothing"),
    ({"answer": True}, "its answer must be a text, a number or a list of them, got true"),
    ({"answer": []}, "its answer must be a text"),
    ({"answer": " "}, "its answer is empty"),
    ({"rule": "fuzzy"}, "its rule must be one of exact, contains, letter, number, judged, got .fuzzy"),
    ({"rule": "number"}, "its answer must be a number, got .a cat"),
    ({"rule": "number", "answer": 10**400}, "its answer must be a number, got .1000"),
    ({"rule": "letter"}, "its answer must be a letter, got .a cat"),
    ({"choices": ["a cat"]}, "its choices must be 2 to 26, got 1"),
    ({"choices": "a cat"}, "its choices must be a list of texts"),
    ({"choices": ["a dog", "an owl"]}, "its answer must be one of its choices or a letter up to B, got .a cat"),
    (
        {"choices": ["x", "A"], "answer": "A"},
        "its answer must be one of its choices or a letter up to B, got .A., which may be several",
    ),
    ({"choices": ["a cat", "x"], "rule": "exact"}, "its choices go with the rule letter, not with exact"),
    ({"groups": "x"}, "its groups must be an object"),
    ({"groups": ["scene"]}, "its groups name 'scene', which is no field of its own"),
    ({"groups": {"scene": 3}}, "its scene must be a text, got 3"),
    ({"id": [1]}, "its id must be a text or a number, got a list of 1"),
]


@pytest.mark.parametrize(("fault", "sentence"), FAULTS)
def test_a_fault_names_the_file_and_the_line(tmp_path, fault, sentence):
    with pytest.raises(UsageError, match=f"my.jsonl, line 2: {sentence}") as caught:
        cases(write(tmp_path, LINE, LINE | fault))
    assert "\n" not in str(caught.value)


def test_a_line_that_is_no_object(tmp_path):
    with pytest.raises(UsageError, match=r"my.jsonl, line 2: it is no JSON object"):
        cases(write(tmp_path, LINE, "{no\n"))


def test_two_lines_with_one_id(tmp_path):
    with pytest.raises(UsageError, match=r"my.jsonl, line 2: its id '1' is that of my.jsonl, line 1 too"):
        cases(write(tmp_path, LINE, LINE | {"id": 1}))


def test_no_lines_and_no_file(tmp_path):
    with pytest.raises(UsageError, match="has no questions"):
        cases(write(tmp_path, "\n\n"))
    with pytest.raises(UsageError, match="can't be read"):
        cases(tmp_path / "none.jsonl")


def test_what_a_style_has_outside_the_picture_is_no_warning_of_ours(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (case,) = cases(write(tmp_path, LINE | {"markers": ["0,0,60,70"]}), style=Style("ellipse", "red"))
    assert texts(case)[0].startswith("ellipse:")


def test_a_marker_that_cannot_be_restyled_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"my.jsonl, line 1: its markers can't be drawn as"):
        cases(write(tmp_path, LINE | {"markers": ["10,20"]}), style=Style())
    with pytest.raises(UsageError, match=r"line 1: .* points at a thing and doesn't say how far that reaches"):
        cases(write(tmp_path, LINE | {"markers": ["arrow:10,20,30,40"]}), style=Style())
