"""`vipcli.training.fresh` and `lessons`: a model that knows nothing, and what it is taught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vipcli.scenes import SHAPES, THINGS
from vipcli.training.dense import IGNORED, UNMARKED
from vipcli.training.fresh import fresh_config, fresh_model, fresh_processor
from vipcli.training.lessons import Lessons
from vipcli.training.questions import Questions
from vipcli.training.settings import Fresh

LESSONS = [Lessons(128, 16, None, Questions()).sample(0, np.random.default_rng(seed)) for seed in range(80)]


def test_any_text_survives_the_tokenizer_and_the_model_answers_something(tmp_path: Path) -> None:
    from vipcli import ask

    sizes = Fresh(side=64, width=32, vision_layers=4, text_layers=1, vocabulary=400)
    processor = fresh_processor(sizes.vocabulary, sizes.side, sizes.patch)
    pieces = processor.tokenizer
    for text in ("What is the object within the red rectangle?", "Was ist das? 犬 🐕 \t\n", "1234 ### <image"):
        assert pieces.decode(pieces.encode(text, add_special_tokens=False)) == text
    fresh_model(sizes, len(pieces)).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    answer = ask(np.zeros((40, 60, 3), np.uint8), "Hm?", model=str(tmp_path), max_new_tokens=3)
    assert answer.answer_tokens <= 3


def test_a_fresh_model_has_room_for_its_picture_and_for_words() -> None:
    for side in (128, 512, 1024):
        config = fresh_config(Fresh(side=side), 400)
        assert config.text_config.max_position_embeddings >= (side // 16) ** 2 + 512


def test_a_lesson_has_a_picture_labels_for_its_patches_and_conversations() -> None:
    for one in LESSONS:
        assert one.picture is not None
        assert one.patches is not None
        assert one.picture.shape == (128, 128, 3)
        for labels in (one.patches.thing, one.patches.shape, one.patches.color, one.patches.ink_shape):
            assert labels.shape == (64,)
        assert all(turn.answer for turns in one.conversations for turn in turns)
    assert sum(len(turns) for one in LESSONS for turns in one.conversations) > 6 * len(LESSONS)


def test_marked_patches_belong_to_things_and_carry_both_shape_and_colour() -> None:
    for one in LESSONS:
        assert one.patches is not None
        background = one.patches.thing == len(THINGS) + 1
        assert (one.patches.shape[background] == IGNORED).all()
        assert ((one.patches.shape == UNMARKED) == (one.patches.color == UNMARKED)).all()


def test_every_shape_is_taught() -> None:
    taught = {int(shape) for one in LESSONS if one.patches for shape in one.patches.shape if shape >= 0}
    assert taught == set(range(len(SHAPES)))


@pytest.mark.parametrize("kind", SHAPES[:2])
def test_only_the_markers_that_are_wanted_are_drawn(kind: type) -> None:
    lessons = Lessons(128, 16, None, None, (kind,))
    for seed in range(12):
        patches = lessons.sample(0, np.random.default_rng(seed)).patches
        assert patches is not None
        assert {int(shape) for shape in patches.shape if shape >= 0} <= {SHAPES.index(kind)}
