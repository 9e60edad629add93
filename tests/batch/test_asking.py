"""Question templates, and how a picture's markers become questions."""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipcli.batch.asking import Asking, asked, check_template, fill
from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.errors import UsageError
from vipcli.markers.formats import Rle
from vipcli.prompt import expand

TWO = (MarkerText("box:dog=1,2,3,4"), MarkerText("5,6"))


def ask(template: str, item: Item | None = None, **more) -> list[Item | BadItem]:
    return list(asked(item or Item("a", "a.jpg", "", TWO, fields={"label": "cat"}), Asking(template, **more)))


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("Is {label} here?", "Is cat here?"),
        ("{ label }: {n} of {share}", "cat: 3 of 0.5"),
        ("{{label}} is {label}", "{label} is cat"),
        ("{{{label}}}", "{cat}"),
        ("a } or a { alone", "a } or a { alone"),
        ("{flag}, {list}, {text}", 'true, [1, "ü"], {label}'),
        ("mail {mail}, look at @1", "mail a@@b.c, look at @1"),
        ("@{number}", "@1"),
    ],
)
def test_names_in_braces_become_what_the_item_has(template, filled):
    values = {"label": "cat", "n": 3, "share": 0.5, "flag": True, "list": [1, "ü"], "text": "{label}"}
    assert fill(template, {**values, "mail": "a@b.c", "number": "1"}) == filled


@pytest.mark.parametrize("template", ["{lable}", "{}", '{"a": 1}', "{gone}", "{label.upper}", "{0}", "{a\x1b}"])
def test_a_name_that_the_item_lacks_is_said_with_those_it_has(template):
    with pytest.raises(UsageError) as caught:
        fill(template, {"label": "cat", "gone": None, "x\x1by": 1})
    assert "which this item lacks; it has {label}, {gone}, {x\\x1by} (and {{ is a brace)" in str(caught.value)
    assert "\x1b" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("{}@ a1#\n"), max_size=12), st.text(st.sampled_from("{}@ a1#\x00\ud800"), max_size=8))
def test_whatever_the_template_and_the_value_nothing_else_is_raised(template, value):
    with contextlib.suppress(UsageError):
        filled = fill(template, {"a": value, "1": 1})
        assert "{a}" not in template.replace("{{", "") or value.replace("@", "@@") in filled


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20), st.sampled_from(["", "a", " ", "."]), st.sampled_from(["", "a", " ", "."]))
def test_a_value_is_never_a_markers_name(value, before, after):
    """What the model reads has the value as it was, whatever stands around it."""
    assert expand(fill(before + "{v}" + after, {"v": value}), {}) == before + value + after


@settings(max_examples=60, deadline=None)
@given(st.text(string.ascii_letters + "{}", max_size=20))
def test_doubled_braces_are_braces(text):
    assert fill(text.replace("{", "{{").replace("}", "}}"), {}) == text


def test_a_question_knows_the_items_id_its_own_question_and_the_first_markers_name():
    item = Item("a", "a.jpg", "How many?", TWO, fields={"id": "other", "question": "other"})
    (one,) = ask("{id} {name} {question}", item)
    assert one.question == "a dog How many?"
    (one,) = ask("{name}", Item("a", "a.jpg", "", (Rle((2, 2), "04"),)))
    assert one.question == "1"
    (one,) = ask("{name}", Item("a", "a.jpg", "", TWO, fields={"name": "Rex"}))
    assert one.question == "Rex", "a manifest's column goes first"
    (one,) = ask("{name}", Item("a", "a.jpg", ""))
    assert isinstance(one, BadItem)
    assert "the question has {name}" in one.sentence


def test_a_manifests_own_question_is_no_template():
    (one,) = asked(Item("a", "a.jpg", "Why {braces} @1?", TWO), Asking())
    assert one.question == "Why {braces} @1?"


@pytest.mark.parametrize("question", ["", " \n"])
def test_an_item_without_a_question_is_said(question):
    (one,) = asked(Item("a", "a.jpg", question, where="list.csv, line 2"), Asking())
    assert one == BadItem("a", "list.csv, line 2", "it has no question, and no -q asks one", "a.jpg")


@pytest.mark.parametrize(("lacking", "whole"), [(100, 1), (1, 3)])
def test_a_name_that_none_of_the_first_items_has_is_misspelt(lacking, whole):
    broken = BadItem("z", "list, line 1", "it is no JSON object")
    bad = [BadItem(str(number), f"list, line {number + 2}", "no {lable}", lacks=True) for number in range(lacking)]
    good = [Item("a", "a.jpg", "What?")] * whole
    check_template([broken])
    check_template([broken, *good, *bad])
    if lacking < 100:
        check_template([broken, *bad, *good])
        return
    with pytest.raises(UsageError, match=r"^list, line 2: no {lable}$"):
        check_template([broken, *bad, *good])


def test_each_asks_about_one_marker_at_a_time_and_all_about_all():
    extra = MarkerText("7,8", "point")
    each = ask("What is {name}?", each=True, markers=(extra,))
    assert [(one.id, one.markers, one.question) for one in each] == [
        ("a#1", (TWO[0],), "What is dog?"),
        ("a#2", (TWO[1],), "What is 1?"),
        ("a#3", (extra,), "What is 1?"),
    ]
    for how in (False, None):
        (one,) = ask("What?", each=how, markers=(extra,))
        assert (one.id, one.markers) == ("a", (*TWO, extra))
    (one,) = ask("What?", Item("a", "a.jpg", "", TWO[:1]), each=True)
    assert one.id == "a", "the only marker needs no number"
