"""Pictures with regions as samples: marked afresh, fitted, and spoken of in the trained phrases."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vipcli.errors import PictureError, VipWarning
from vipcli.images import CLIP_MEAN
from vipcli.markers import Box, Color, Ellipse, Tag
from vipcli.prompt import Turn
from vipcli.training.marking import Region, Written
from vipcli.training.regions import Entry, Regions, phrase_of, refer

IN = "within the red rectangle"
AT = "at the blue point"


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "grey.png"
    Image.new("RGB", (120, 60), (90, 90, 90)).save(path)
    return str(path)


def entry(image: str | None, *texts: str, **more: object) -> Entry:
    turns = tuple(Turn(*pair) for pair in zip(texts[::2], texts[1::2], strict=True))
    regions = (Region((10, 10, 50, 50)), Region((70, 10, 110, 50)))
    return Entry(
        **{"id": "a", "where": "a.json, entry 1", "image": image, "regions": regions, "conversations": (turns,), **more}
    )  # type: ignore[arg-type]


# Phrases


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        # behind a noun, as the authors' data has it
        ("What is the person <bbox0> doing?", f"What is the person {IN} doing?"),
        ("the person<bbox0>", f"the person {IN}"),
        ("Describe the object <bbox>.", f"Describe the object {IN}."),
        ("The man (<bbox0>) smiles.", f"The man ({IN}) smiles."),
        ("The painting <bbox0> is old", f"The painting {IN} is old"),
        ("a red building <bbox0>", f"a red building {IN}"),
        ("the can <bbox0>", f"the can {IN}"),
        ("the man's name <bbox0>", f"the man's name {IN}"),
        ("He <bbox0> waves", f"He {IN} waves"),
        # where a noun is missing
        ("What is <bbox0>?", f"What is the object {IN}?"),
        ("what’s <bbox0>?", f"what’s the object {IN}?"),
        ("Describe <bbox0>", f"Describe the object {IN}"),
        ("focusing on <bbox0> and <bbox1>.", f"focusing on the object {IN} and the object {AT}."),
        ("The man holding <bbox0>", f"The man holding the object {IN}"),
        ("Both, <bbox0>, <bbox1>", f"Both, the object {IN}, the object {AT}"),
        ('It says "<bbox0>"', f'It says "the object {IN}"'),
        ("(A) <bbox0> (B) <bbox1>", f"(A) the object {IN} (B) the object {AT}"),
        ("<bbox0> <bbox1>", f"The object {IN} the object {AT}"),
        # where its article is there
        ("What is the <bbox0>?", f"What is the object {IN}?"),
        ("What does this <bbox0> say?", f"What does this object {IN} say?"),
        ("the man's <bbox1>", f"the man's object {AT}"),
        # at the beginning of a sentence
        ("<bbox0> is a cat", f"The object {IN} is a cat"),
        ("Look! <bbox0> is a cat", f"Look! The object {IN} is a cat"),
        ("Which?\n<bbox0>", f"Which?\nThe object {IN}"),
        # what is none
        ("<bbox7> and <bbox> <box0> <bboxx>", f"<bbox7> and the object {IN} <box0> <bboxx>"),
        ("nothing", "nothing"),
    ],
)
def test_the_word_before_a_placeholder_decides_what_becomes_of_it(text, filled):
    assert refer(text, {0: IN, 1: AT}) == filled


@given(st.text(), st.text())
def test_what_stands_around_a_placeholder_stays(before, after):
    text = refer(f"{before}<bbox0>{after}", {0: "PHRASE"})
    assert re.fullmatch(
        re.escape(refer(before, {0: "PHRASE"})) + "(| )(|object |the object |The object )PHRASE.*", text, re.DOTALL
    )


def test_phrases_are_those_of_the_training_data():
    assert phrase_of(Box(1, 1, 5, 5, color=Color.of("red"))) == IN
    assert phrase_of(Tag(1, 1, color=Color.of("red")), 2) == "with the red tag 2"


# Samples


def test_a_sample_is_the_fitted_picture_with_fresh_markers_and_their_phrases(picture):
    source = Regions([entry(picture, "What is <bbox0>?", "A cat near <bbox1>.")], 48, weight=2)
    assert (source.count, source.weight) == (1, 2)
    seen = set()
    for seed in range(40):
        sample = source.sample(0, np.random.default_rng(seed))
        assert sample.picture.shape == (48, 48, 3)
        assert sample.picture.dtype == np.uint8
        assert tuple(sample.picture[0, 0]) == CLIP_MEAN, "padded"
        ((turn,),) = sample.conversations
        colors = re.findall(
            r"the (\w+) (?:rectangle|ellipse|point|arrow|triangle|scribble)\b", f"{turn.question} {turn.answer}"
        )
        assert len(set(colors)) == 2
        assert turn.question.startswith("What is the object ")
        seen.add(turn.question)
        rgb = np.array(Color.of(colors[0]).rgb) - 90.0
        marked = sample.picture[12:36].astype(float) - 90
        cosine = (marked @ rgb) / (np.linalg.norm(marked, axis=2) * np.linalg.norm(rgb) + 1e-9)
        strong = np.linalg.norm(marked, axis=2) > 15
        assert (cosine[strong] > 0.95).any(), "a marker of the colour that the text speaks of"
    assert len(seen) > 15


def test_the_same_numbers_give_the_same_sample_and_entries_stay_as_they_are(picture):
    one = entry(picture, "What is <bbox0>?", "A cat.")
    source = Regions([one], 48)
    first, second = (source.sample(0, np.random.default_rng(3)) for _ in range(2))
    assert (first.picture == second.picture).all()
    assert first.conversations == second.conversations
    assert one.conversations == ((Turn("What is <bbox0>?", "A cat."),),)


def test_only_the_wanted_kinds_are_drawn(picture):
    source = Regions([entry(picture, "<bbox0>", "<bbox1>")], 48, [Ellipse])
    for seed in range(20):
        ((turn,),) = source.sample(0, np.random.default_rng(seed)).conversations
        assert "ellipse" in turn.question
        assert "ellipse" in turn.answer


def test_some_regions_are_chosen_afresh_each_with_its_own_conversation(picture):
    labels = "abcde"
    regions = tuple(Written(f"{20 * i},5,{20 * i + 15},50") for i in range(5))
    conversations = tuple((Turn(f"What is the object <bbox>? {label}", label),) for label in labels)
    one = entry(picture, regions=regions, conversations=conversations, at_once=3)
    source = Regions([one], 48)
    counts, chosen = set(), set()
    for seed in range(80):
        sample = source.sample(0, np.random.default_rng(seed))
        counts.add(len(sample.conversations))
        texts = [turn.question for (turn,) in sample.conversations]
        assert all(
            re.fullmatch(rf"What is the object [a-z ]+\? {turn.answer}", turn.question)
            for (turn,) in sample.conversations
        )
        assert len({text[:-2] for text in texts}) == len(texts)
        chosen |= {turn.answer for (turn,) in sample.conversations}
    assert counts == {1, 2, 3}
    assert chosen == set(labels)
    assert source.length(0) == sum(len(c[0].question) + 1 for c in conversations) * 3 // 5


def test_entries_without_regions_and_without_a_picture_work(picture):
    plain = entry(picture, "What is this?", "Grey.", regions=())
    bare = entry(None, "Hello", "Hi", regions=())
    source = Regions([plain, bare], 48)
    sample = source.sample(0, np.random.default_rng(0))
    assert tuple(sample.picture[24, 24]) == (90, 90, 90)
    assert sample.conversations == plain.conversations
    sample = source.sample(1, np.random.default_rng(0))
    assert sample.picture is None
    assert sample.conversations == bare.conversations
    assert source.length(1) == 7


def test_where_a_picture_cant_be_opened_after_all_the_next_entry_is_taken_and_said(picture, tmp_path):
    cut = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:4000])
    broken = entry(str(cut), "What is <bbox0>?", "A cat.")
    source = Regions([entry(picture, "Yes?", "Yes."), broken], 48)
    with pytest.warns(VipWarning, match=r"a.json, entry 1: .*cut off.*; another is taken for it"):
        sample = source.sample(1, np.random.default_rng(0))
    assert sample.conversations == ((Turn("Yes?", "Yes."),),)
    with pytest.warns(VipWarning), pytest.raises(PictureError, match="cut off"):
        Regions([broken], 48).sample(0, np.random.default_rng(0))
