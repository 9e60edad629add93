"""The embedded model on real questions, through the whole line; `examples/tiny/judge.py` measures its figures."""

import json
import re
from pathlib import Path

import pytest
from safetensors import safe_open

from vipcli import mark, open_engine, to_request
from vipcli.engine import MODELS, card, size_on_disk
from vipcli.evaluation.scenes import items, judge, table
from vipcli.scenes import SHAPES, THINGS

TINY = MODELS["tiny"].folder
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def engine():
    return open_engine("tiny")


@pytest.fixture(scope="module")
def figures():
    """The card's table: row -> (per cent right, questions asked)."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) % \| ([\d,]+) \|$", card(TINY), re.M)
    return {name: (float(right), int(asked.replace(",", ""))) for name, right, asked in rows}


def test_it_is_a_plain_small_fp16_checkpoint_that_transformers_loads_by_itself():
    from transformers import AutoModelForImageTextToText, AutoProcessor

    assert size_on_disk(TINY) < 20_000_000
    with safe_open(TINY / "model.safetensors", "pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"torch.float16"}  # noqa: SIM118
    assert type(AutoModelForImageTextToText.from_pretrained(TINY)).__name__ == "VipLlavaForConditionalGeneration"
    assert type(AutoProcessor.from_pretrained(TINY)).__name__ == "LlavaProcessor"


def test_it_knows_at_least_sixty_things():
    assert len(THINGS) >= 60
    words = set(re.findall(r"\w+", card(TINY)))
    assert words >= set(THINGS), "the card lists them"


def test_the_card_has_a_figure_for_every_kind_of_marker_and_number_of_them(figures):
    assert {f"one marker: {kind.kind}" for kind in SHAPES} < set(figures)
    for row in ("one marker", "marker moved", "two or three markers"):
        assert figures[row][1] >= 500


def test_the_card_is_no_worse_than_the_first_version_shipped(figures):
    assert figures["one marker"][0] >= 92
    assert figures["marker moved"][0] >= 92
    assert figures["two or three markers"][0] >= 85
    assert all(figures[f"one marker: {kind.kind}"][0] >= 85 for kind in SHAPES)


@pytest.mark.filterwarnings("ignore::vipcli.VipWarning")
def test_fresh_scenes_are_answered_as_the_card_says(engine, figures):
    """Scenes that neither training nor the card's figures have seen: within what chance allows for so few."""
    scores = judge(list(items(engine, scenes=64, first=1_000_000)))
    print(table(scores))
    for row in ("one marker", "marker moved", "two or three markers"):
        share, count = figures[row][0] / 100, scores[row].asked
        slack = (
            4 * (share * (1 - share) / count) ** 0.5 + 0.02
        )  # four standard errors: one run in 10,000 fails by chance
        assert scores[row].share >= share - slack, row


def test_greedy_tokens_equal_those_of_generate(engine):
    for name, marker, question in [
        ("meadow.png", "440,118,598,283", "What is this?"),
        ("party.jpg", "point:240,370@red", "What is the object at the red point?"),
        ("pond.png", "58,49,259,237", "Tell me a long story about everything that you see."),
    ]:
        request = to_request(mark(EXAMPLES / name, [marker]), question, engine, max_new_tokens=24)
        inputs = engine.prepare(request)
        theirs = engine.model.generate(**inputs, max_new_tokens=24, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        ours = [token.id for token in engine.stream(request) if token.id is not None]
        eos = engine.model.generation_config.eos_token_id
        assert ours == [number for number in theirs.tolist() if number != eos]


def test_the_config_names_what_the_published_checkpoints_name():
    config = json.loads((TINY / "config.json").read_text())
    assert config["model_type"] == "vipllava"
    assert len(config["vision_feature_layer"]) == 5
    assert config["vision_config"]["model_type"] == "clip_vision_model"
    assert config["text_config"]["model_type"] == "llama"
