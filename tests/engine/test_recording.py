"""`vipcli.engine.recording`: a step with fixed shapes reads as the plain pass does; on a GPU it is a recording."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from engine.asked import noise
from torch import nn

from vipcli.engine import Model, Request
from vipcli.engine.llama import LlamaText, Memory, _fused
from vipcli.engine.loading import load
from vipcli.engine.local import LocalEngine
from vipcli.engine.recording import Step
from vipcli.errors import ModelError

GPU = pytest.param(
    "cuda", marks=pytest.mark.skipif("VIP_TEST_GPU" not in os.environ, reason="asked for by VIP_TEST_GPU=0")
)
FIRST = "###Human: <image>\nWhat is within the red rectangle?###Assistant:"


def opened(checkpoint: Path, device: str, *, recorded: bool, dtype: str = "float32") -> LocalEngine:
    engine = load(Model("it", folder=checkpoint), device=device, dtype=dtype)
    assert engine.text is not None
    assert engine.text.recorded == (device == "cuda"), "a CPU gains nothing by it"
    engine.text.recorded = recorded
    engine.eos = frozenset()  # so that an answer is as long as it may be
    return engine


def text_of(engine: LocalEngine) -> LlamaText:
    assert engine.text is not None
    return engine.text


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_conversation_is_the_same_with_it(device: str, checkpoint: Path) -> None:
    plain, with_steps = (opened(checkpoint, device, recorded=recorded) for recorded in (False, True))
    prompts = [FIRST, f"{FIRST} a cat###Human: And now?###Assistant:", FIRST.replace("red", "blue")]
    for prompt, tokens in zip(prompts, (5, 300, 20), strict=True):  # the second outgrows the first one's memory
        request = Request(noise(0), prompt, max_new_tokens=tokens)
        one, other = (engine.stream(request).finished() for engine in (plain, with_steps))
        assert (one.text, one.answer_tokens) == (other.text, other.answer_tokens) == (one.text, tokens)
    assert text_of(plain).tokens_read == text_of(with_steps).tokens_read


def test_two_at_a_time_each_have_their_own(checkpoint: Path) -> None:
    plain, with_steps = (opened(checkpoint, "cpu", recorded=recorded) for recorded in (False, True))
    requests = [Request(noise(seed), FIRST, max_new_tokens=tokens) for seed, tokens in ((0, 40), (1, 300))]
    alone = [plain.stream(request).finished().text for request in requests]
    first, second = (with_steps.stream(request) for request in requests)
    for _ in zip(first, second, strict=False):
        pass  # in turns, until the first has ended
    assert [one.finished().text for one in (first, second)] == alone


@pytest.mark.parametrize("device", ["cpu", GPU])
@torch.inference_mode()
def test_its_logits_are_those_of_the_plain_pass(device: str, checkpoint: Path) -> None:
    text = text_of(opened(checkpoint, device, recorded=True))
    memories = [Memory(), Memory()]
    for memory in memories:
        text.reserve(memory, 50)
    step = memories[1].step = Step(text, memories[1])
    for number in range(40):
        if number == 30:
            text.room(1000)  # another text is longer: the table of angles lies elsewhere from now on
        token = 7 + number
        plain = text.read(text.embed(torch.tensor([[token]], device=text.device)), memories[0])
        torch.testing.assert_close(step.read(token, number), plain, rtol=1e-4, atol=1e-5)
        for memory in memories:
            memory.ids.append(token)
    assert (step._graph is not None) == (device == "cuda"), "it was recorded on the way"
    text.reserve(memories[1], 400)
    assert memories[1].step is None, "the memory has moved"


@pytest.mark.parametrize("recorded", [False, True])
def test_numbers_that_overflowed_arent_met_again(recorded: bool, checkpoint: Path) -> None:
    engine = opened(checkpoint, "cpu", recorded=recorded)
    short, long = (Request(noise(0), prompt, max_new_tokens=8) for prompt in (FIRST, FIRST.replace("red", "red " * 9)))
    expected = engine.stream(short).finished().text
    engine.forget()
    weight = text_of(engine)._embed.weight.data
    kept = weight.clone()
    weight.fill_(torch.nan)
    with pytest.raises(ModelError, match="overflow"):
        engine.stream(long).finished()
    weight.copy_(kept)
    assert engine.stream(short).finished().text == expected


def test_weights_that_are_joined_become_parts_of_the_whole() -> None:
    """As on a GPU, where nothing may lie in memory twice: neither for us nor for another model around them."""
    linears = [nn.Linear(8, size, bias=False) for size in (4, 6, 2)]
    before = [one.weight.detach().clone() for one in linears]
    others = copy.deepcopy(linears, {id(one.weight): one.weight for one in linears})
    fused = _fused(linears, shared=True)
    x = torch.randn(3, 8)
    torch.testing.assert_close(fused(x), torch.cat([one(x) for one in others], dim=-1))
    for one, other, weight in zip(linears, others, before, strict=True):
        assert one.weight is other.weight
        assert torch.equal(one.weight, weight)
        assert one.weight.untyped_storage().data_ptr() == fused.weight.untyped_storage().data_ptr()
