"""8-bit loading, which bitsandbytes runs on a CPU too: the same answers as `generate`, and nothing read twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vipcli.engine import Model, Request, open_engine
from vipcli.engine.loading import load
from vipcli.engine.local import LocalEngine
from vipcli.errors import UsageError

ASKED = "###Human: <image>\nWhat is within the red rectangle?###Assistant:"
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> LocalEngine:
    return load(Model("it", folder=checkpoint), load_in="8bit", device="cpu")


def test_the_layers_are_quantized_and_run_without_transformers_forward_pass(engine: LocalEngine) -> None:
    gate = engine.model.model.language_model.layers[0].mlp.gate_proj
    assert type(gate).__name__ == "Linear8bitLt"
    assert gate.weight.dtype.itemsize == 1
    assert engine.text is not None


def test_greedy_tokens_are_those_of_generate(engine: LocalEngine) -> None:
    request = Request(PICTURE, ASKED, max_new_tokens=24)
    ours = [token.id for token in engine.stream(request) if token.id is not None]
    inputs = engine.prepare(request)
    made = engine.model.generate(**inputs, do_sample=False, max_new_tokens=24)
    assert ours == [number for number in made[0, inputs["input_ids"].shape[1] :].tolist() if number != 2]


def test_a_follow_up_reads_only_what_is_new(engine: LocalEngine) -> None:
    assert engine.text is not None
    first = engine.stream(Request(PICTURE, ASKED, max_new_tokens=8)).finished()
    before = engine.text.tokens_read
    prompt = f"{ASKED} {first.text}###Human: And now?###Assistant:"
    engine.stream(Request(PICTURE, prompt, max_new_tokens=1)).finished()
    assert engine.text.tokens_read - before < first.prompt_tokens


def test_layers_that_four_bits_do_not_divide_are_refused_in_one_sentence() -> None:
    with pytest.raises(
        UsageError,
        match=r"^--load-in 4bit: on a CPU layers must be a multiple of 64 wide, and .* is 160$",
    ):
        open_engine("tiny", load_in="4bit", device="cpu")
