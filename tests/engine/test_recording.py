"""`vipcli.engine.recording`: a step with fixed shapes reads as the plain pass does; on a GPU it is a recording."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engine.asked import noise

from vipcli.engine import Model, Request
from vipcli.engine.llama import Memory
from vipcli.engine.loading import load
from vipcli.engine.local import LocalEngine
from vipcli.engine.recording import Step

GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU"))
FIRST = "###Human: <image>\nWhat is within the red rectangle?###Assistant:"


def opened(checkpoint: Path, device: str, *, recorded: bool) -> LocalEngine:
    engine = load(Model("it", folder=checkpoint), device=device, dtype="float32")
    assert engine.text is not None
    assert engine.text.recorded == (device == "cuda"), "a CPU gains nothing by it"
    engine.text.recorded = recorded
    engine.eos = frozenset()  # so that an answer is as long as it may be
    return engine


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_conversation_is_the_same_with_it(device: str, checkpoint: Path) -> None:
    plain, with_steps = (opened(checkpoint, device, recorded=recorded) for recorded in (False, True))
    prompts = [FIRST, f"{FIRST} a cat###Human: And now?###Assistant:", FIRST.replace("red", "blue")]
    for prompt, tokens in zip(prompts, (5, 300, 20), strict=True):  # the second outgrows the first one's memory
        request = Request(noise(0), prompt, max_new_tokens=tokens)
        one, other = (engine.stream(request).finished() for engine in (plain, with_steps))
        assert (one.text, one.answer_tokens) == (other.text, other.answer_tokens) == (one.text, tokens)
    assert plain.text is not None
    assert with_steps.text is not None
    assert plain.text.tokens_read == with_steps.text.tokens_read


@pytest.mark.parametrize("device", ["cpu", GPU])
@torch.inference_mode()
def test_its_logits_are_those_of_the_plain_pass(device: str, checkpoint: Path) -> None:
    text = opened(checkpoint, device, recorded=True).text
    assert text is not None
    memories = [Memory(), Memory()]
    for memory in memories:
        text.reserve(memory, 50)
    step = Step(text, memories[1])
    for number in range(40):  # on a GPU it is recorded on the way
        token = 7 + number
        plain = text.read(text.embed(torch.tensor([[token]], device=text.device)), memories[0])
        torch.testing.assert_close(step.read(token, number), plain, rtol=1e-4, atol=1e-5)
        for memory in memories:
            memory.ids.append(token)
    assert step.fits(memories[1])
    text.reserve(memories[1], 400)
    assert not step.fits(memories[1]), "it has moved"
