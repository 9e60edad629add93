"""The embedded model on real questions, through the whole line; `examples/tiny/judge.py` measures its figures."""

import json
import re
from pathlib import Path

import pytest
from safetensors import safe_open

from vipcli import mark, open_engine, to_request
from vipcli.engine import MODELS, card, size_on_disk
from vipcli.evaluation.exam import CONTROL, exam
from vipcli.evaluation.scoring import scores, sit, table
from vipcli.scenes import SHAPES, THINGS

TINY = MODELS["tiny"].folder
EXAMPLES = Path(__file__).parents[1] / "examples"
FLOORS = {
    "one marker": 99,
    "marker moved": 99,
    "two to four markers, by color": 97,
    "two to four markers, by kind": 96,
    "where it lies": 99,
    "where in the picture": 98,
    "bigger or smaller": 98,
    "same or different kind": 89,
    "same color": 91,
    "counting to six": 95,
    "is there a ...": 98,
    "what is left of @1, and so on": 98,
    "list all objects": 91,
    "color of the thing marked": 95,
    "is it a ...": 97,
    "what marks the ...": 90,
    "follow-up questions": 99,
    "in words of the user's own": 92,
    "things it can't know": 91,
    "a thing that it never saw": 89,
    "rotated by up to 20 degrees": 98,
    "JPEG of quality 30": 99,
    "64 to 2,000 pixels, any shape": 99,
    "photographs behind the things": 85,
}


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


def test_it_knows_at_least_120_things():
    assert len(THINGS) >= 120
    words = set(re.findall(r"\w+", card(TINY)))
    assert words >= set(THINGS), "the card lists them"


def test_the_card_has_a_figure_for_everything_that_the_exam_asks(figures):
    assert {f"one marker: {kind.kind}" for kind in SHAPES} < set(figures)
    assert {question.row for question in exam(0.01)} < set(figures)
    assert sum(asked for _, asked in figures.values()) > 4000


def test_the_card_is_no_worse_than_what_was_shipped_before(figures):
    for row, least in FLOORS.items():
        assert figures[row][0] >= least, row


@pytest.mark.filterwarnings("ignore::vipcli.VipWarning")
def test_fresh_questions_are_answered_as_the_card_says(engine, figures):
    """Questions that neither training nor the card's figures have seen: within what chance allows for so few."""
    found = scores(sit(engine, exam(0.06, first=1)))
    print(table(found))
    for row, score in found.items():
        if row not in figures or score.asked < 8:
            continue
        share = figures[row][0] / 100
        # Four standard errors, of a share that isn't quite 0 or 1: one run in 10,000 fails by chance.
        slack = 4 * (max(share * (1 - share), 0.03) / score.asked) ** 0.5 + 0.02
        assert score.share >= share - slack or row == CONTROL, row


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
