"""Synthetic scenes: what they claim to show is where they say it is."""

import json

import numpy as np
import pytest
from PIL import Image

from vipcli.markers import Mask, coverage
from vipcli.scenes import SHAPES, THINGS, Look, compose, mark_thing, with_article
from vipcli.scenes.art import mix, read_art, shipped_art

SIZES = [(640, 480), (300, 1500), (1500, 300), (60, 60), (33, 700)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_things_lie_inside_the_picture_and_apart(size):
    scene = compose(np.random.default_rng(1), size, 4)
    assert scene.picture.shape == (size[1], size[0], 3)
    assert scene.things
    covered = np.zeros((size[1], size[0]), int)
    for thing in scene.things:
        rows, columns = np.nonzero(thing.mask)
        assert thing.xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        covered += thing.mask
    assert covered.max() == 1


def test_a_seed_draws_the_same_scene_again():
    one, two = (compose(np.random.default_rng(7), (320, 240), 4) for _ in range(2))
    assert np.array_equal(one.picture, two.picture)
    assert [thing.name for thing in one.things] == [thing.name for thing in two.things]


def test_a_stranger_may_be_half_of_one_thing_and_half_of_another(monkeypatch):
    cat, dog = (shipped_art().things[name][0] for name in ("cat", "dog"))
    for one, its, other in zip(mix(cat, dog, 0).levels, cat.levels, dog.levels, strict=True):
        half = len(one) // 2
        assert np.array_equal(one[:, :half], its[:, :half])
        assert np.allclose(one[:, half:], other[:, half:], atol=2)
    made = []
    monkeypatch.setattr("vipcli.scenes.composing.mix", lambda *its: made.append(its) or mix(*its))
    for mixed in (0, 1):
        scene = compose(np.random.default_rng(5), (320, 240), 4, look=Look(strangers=1, mixed=mixed))
        assert not any(thing.known for thing in scene.things)
        assert len(made) == mixed * len(scene.things)


def test_what_is_on_several_sheets_has_several_styles(tmp_path):
    """As many for a thing that is shipped too, which is the first; what is on one sheet alone has one."""
    drawn = {"flat": ("red", ["cat", "dog"]), "old": ("blue", ["dog", "cat"]), "odd": ("lime", ["sofa"])}
    for name, (color, names) in drawn.items():
        sheet = Image.new("RGBA", (64, 32), color)
        sheet.save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.json").write_text(json.dumps({"side": 32, "columns": 2, "names": names}))
    sheets = [tmp_path / f"{name}.json" for name in drawn]
    art = read_art(sheets[:2], sheets)
    assert {name: [style.color for style in styles] for name, styles in art.strangers.items()} == {
        "cat": ["red", "blue"],
        "dog": ["red", "blue"],
        "sofa": ["green"],
    }
    assert art.things["cat"][0] is shipped_art().things["cat"][0]
    assert [style.color for style in art.things["cat"][1:]] == ["red", "blue"]
    assert len(art.things["bicycle"]) == 1
    assert set(art.things) == set(THINGS)
    assert list(read_art(sheets[:2], [], shipped=False).things) == ["cat", "dog"]
    with pytest.raises(ValueError, match="no word 'sofa'"):
        read_art(sheets, [])


def test_no_thing_comes_twice_and_every_thing_comes():
    names = set()
    for seed in range(150):
        scene = compose(np.random.default_rng(seed), (400, 400), 5)
        here = [thing.name for thing in scene.things]
        assert len(set(here)) == len(here)
        names |= set(here)
    assert names == set(THINGS)


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.kind)
def test_a_marker_lies_on_or_around_its_thing(kind):
    """More of the marker's filled-out shape lies on its own thing than on any other."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scene = compose(rng, (500, 380), 4)
        thing = scene.things[0]
        marker = mark_thing(rng, thing, kind, vary=bool(seed % 2))
        x, y = (int(part) for part in marker.anchor)
        assert thing.xyxy[0] - 2 <= x <= thing.xyxy[2] + 2
        assert thing.xyxy[1] - 2 <= y <= thing.xyxy[3] + 2
        mask, left, top = coverage(marker, (500, 380))
        rows, columns = np.nonzero(mask > 127)
        assert len(rows)
        if kind is Mask:
            assert thing.mask[rows + top, columns + left].mean() > 0.5  # a donut has a hole


def test_words_take_the_right_article():
    assert with_article("owl") == "an owl"
    assert with_article("cat") == "a cat"
    assert with_article("scissors") == "scissors"
