"""What the embedded model is taught is true."""

import numpy as np

from vipcli.scenes import SHAPES, THINGS
from vipcli.training.lessons import COLORS, UNMARKED, lesson

LESSONS = [lesson(np.random.default_rng(seed), 128, 16) for seed in range(120)]


def test_a_lesson_has_a_picture_labels_for_its_patches_and_turns():
    for one in LESSONS:
        assert one.pixels.shape == (128, 128, 3)
        for labels in (one.thing, one.shape, one.color, one.ink_shape, one.ink_color):
            assert labels.shape == (64,)
        assert len(one.turns) >= 2


def test_what_is_answered_is_in_the_picture():
    asked = [
        (answer.split()[-1], {THINGS[index] for index in one.thing if index < len(THINGS)})
        for one in LESSONS
        for question, answer in one.turns
        if question.startswith("What is the object")
    ]
    assert len(asked) > 30
    assert all(word in THINGS for word, _ in asked)
    # A very small thing fills a quarter of no patch.
    assert sum(word in words for word, words in asked) > 0.95 * len(asked)


def test_marked_patches_belong_to_things_and_carry_both_shape_and_colour():
    for one in LESSONS:
        background = one.thing == len(THINGS)
        assert (one.shape[background] == -100).all()
        assert ((one.shape == UNMARKED) == (one.color == UNMARKED)).all()
        assert one.shape.max() < len(SHAPES)
        assert one.color.max() < len(COLORS)


def test_every_shape_colour_and_thing_is_taught():
    assert {shape for one in LESSONS for shape in one.shape if shape >= 0} == set(range(len(SHAPES)))
    assert {color for one in LESSONS for color in one.color if color >= 0} == set(range(len(COLORS)))
