"""What the embedded model is taught is true, and not in the words of its exam."""

import itertools
import tomllib
from collections import Counter
from importlib.resources import files

import numpy as np
import torch

from vipcli.markers import Arrow, Contour
from vipcli.scenes import COLORS, SHAPES, THINGS
from vipcli.scenes.facts import ABILITIES
from vipcli.scenes.talks import FOLLOW_UPS
from vipcli.training.dense import IGNORED, INKS, LOOKING, UNMARKED, Heads, Patches
from vipcli.training.lessons import Lessons
from vipcli.training.looking import Words, look_up, name_patches, wanted_of
from vipcli.training.questions import Questions, phrases
from vipcli.training.samples import plan

SOURCE = Lessons(128, 16, None, Questions())
LESSONS = [SOURCE.sample(0, np.random.default_rng(seed)) for seed in range(80)]
TURNS = [turn for one in LESSONS for talk in one.conversations for turn in talk]


def test_a_lesson_has_a_picture_labels_for_its_patches_and_conversations():
    for one in LESSONS:
        assert one.picture.shape == (128, 128, 3)
        assert one.patches.extent.shape == (64, 5)
        assert one.patches.thing.shape == one.patches.ink_color.shape == (64,)
        assert 1 <= len(one.conversations) <= 7
    assert any(len(one.conversations) == 1 for one in LESSONS), "all in one, as in a chat"


def test_marked_patches_belong_to_things_and_carry_shape_colour_and_extent():
    for patches in (one.patches for one in LESSONS):
        background = patches.thing == len(THINGS) + 1
        assert (patches.shape[background] == IGNORED).all()
        assert np.isnan(patches.extent[background]).all()
        boxes, sizes = patches.extent[~background, :4], patches.extent[~background, 4]
        assert ((boxes >= -0.01) & (boxes <= 1.01)).all()
        sides = boxes[:, 2:] - boxes[:, :2]
        assert np.allclose(np.exp(sizes) ** 2, sides[:, 0] * sides[:, 1], rtol=1e-4)
        assert ((patches.shape == UNMARKED) == (patches.color == UNMARKED)).all()
        assert patches.shape.max() < len(SHAPES)
        assert patches.color.max() < len(INKS)
        assert patches.tint.max() < len(COLORS)


def test_every_shape_and_colour_is_taught():
    assert {shape for one in LESSONS for shape in one.patches.shape if shape >= 0} == set(range(len(SHAPES)))
    assert {color for one in LESSONS for color in one.patches.color if color >= 0} == set(range(len(INKS)))


def test_the_words_vary():
    asked = Counter(turn.question for turn in TURNS)
    assert len(asked) > 0.9 * len(TURNS)
    assert any(question.islower() for question in asked)


def test_training_never_has_the_words_of_the_exam():
    held_out = tomllib.loads((files("vipcli") / "evaluation" / "phrases.toml").read_text(encoding="utf-8"))
    assert set(held_out) == set(phrases()) == {*ABILITIES, *FOLLOW_UPS}

    def bare(text):
        return "".join(letter for letter in text.lower() if letter.isalnum() or letter in "{} ").strip()

    taught = {bare(phrase) for some in phrases().values() for phrase in some}
    for ability, its in held_out.items():
        assert len(its["phrases"]) >= 30, ability
        assert not taught & {bare(phrase) for phrase in its["phrases"]}, ability


def test_alike_lengths_come_in_one_batch():
    class Mixed:
        count, weight = 1000, 1.0

        def length(self, entry):
            return entry

    batches = list(itertools.islice(plan([Mixed()], 10, 0), 100))
    spread = [max(one.entry for one in batch) - min(one.entry for one in batch) for batch in batches]
    assert np.mean(spread) < 50, "ten of a thousand at random lie 800 apart"


def test_heads_learn_what_lies_on_the_patches():
    """Free to choose what they are told, the heads say what is there after a few steps."""
    torch.manual_seed(0)
    patches = Patches.stack([one.patches for one in LESSONS[:8]])
    heads, told = Heads(64, 32).seen, torch.nn.Parameter(torch.randn(8, 64, 64))
    optimizer = torch.optim.Adam([told, *heads.parameters()], 0.05)
    losses = []
    for _ in range(60):
        loss, right = heads(told, patches)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 4
    assert all(right[name] > 0.9 for name in ("thing", "shape", "color", "ink_shape"))


def test_image_tokens_come_to_lie_near_the_words_for_what_they_show():
    torch.manual_seed(0)
    thing = Patches.stack([one.patches for one in LESSONS[:8]])["thing"]
    words, features = torch.randn(len(THINGS), 32), torch.nn.Parameter(torch.randn(8, 64, 32))
    optimizer = torch.optim.Adam([features], 0.1)
    for _ in range(40):
        loss, right = name_patches(features, words, thing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert right > 0.95
    known = thing < len(THINGS)
    assert not features.grad[~known].any(), "background and strangers have no word"


def test_words_learn_to_look_at_what_they_name_and_to_tell_of_it_and_at_nothing_where_it_isnt():
    """Four patches: two of a dog that a red arrow marks, one of a cat with a red mask contour, and background."""
    torch.manual_seed(0)
    texts = ["image", "dog", "dogs", "cat", "red", "arrow", "mask", "contour", "bus", "the"]
    token = {text: number for number, text in enumerate(texts)}
    words = Words.of(lambda word: token.get(word, len(texts)), len(texts) + 1)
    asked = ["image"] * 4 + ["the", "red", "arrow", "red", "mask", "contour", "cat", "dogs", "bus", "contour"]
    ids = torch.tensor([[token[text] for text in asked]])
    dog, cat, arrow, contour = THINGS.index("dog"), THINGS.index("cat"), SHAPES.index(Arrow), SHAPES.index(Contour)
    patches = {
        "thing": torch.tensor([[dog, dog, cat, len(THINGS) + 1]]),
        "color": torch.tensor([[INKS.index("red")] * 3 + [IGNORED]]),
        "shape": torch.tensor([[arrow, arrow, contour, IGNORED]]),
        "extent": torch.tensor([[[0, 0, 0.5, 0.5, -0.69]] * 2 + [[0.6, 0.5, 0.9, 1, -0.95]] + [[torch.nan] * 5]]),
    }
    scores = torch.nn.Parameter(torch.zeros(1, 3, len(asked), len(asked)))
    hidden, heads = torch.randn(1, len(asked), 16), Heads(64, 16)
    optimizer = torch.optim.Adam([scores, *heads.found.parameters(), *heads.tells.parameters()], 0.2)
    for step in range(120):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - step / 120)
        wanted = wanted_of(ids, words, patches)
        loss, right = look_up(scores.log_softmax(-1), hidden, heads, ids == token["image"], wanted, patches)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(right[f"found_{name}"] == 1 for name in LOOKING)
    assert all(right[f"{what}_{name}"] < 0.02 for what in ("box", "size") for name in LOOKING)
    told = [name for name in right if "_tells_" in name and not name.startswith("color")]  # red marks two things
    assert len(told) == 4
    assert all(right[name] == 1 for name in told)
    at = scores.softmax(-1)[0]
    for head, where, its in (
        (0, 10, [2]),  # cat
        (0, 11, [0, 1]),  # dogs
        (1, 5, [0, 1, 2]),  # red
        (2, 6, [0, 1]),  # red arrow
        (2, 9, [2]),  # red mask contour
        (2, 13, [2]),  # contour
    ):
        assert at[head, where, its].sum() > 0.9, (head, where)
    assert at[0, 12, :4].sum() < 0.1, "there is no bus"
    assert not scores.grad[0, :, :5].any(), "nothing is asked of other tokens"
    assert not scores.grad[0, 2, 8].any(), "nor of the mask of a mask contour"
