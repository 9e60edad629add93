"""How a model reads: a prompt, then token by token, each time giving the logits of what comes next.

`RememberingReader` does it for LLaVA-like models with a Llama or Mistral inside: nothing that was read for the last
prompt, and no picture that was seen of late, is computed twice. `PlainReader` does it for whatever transformers runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vipcli.engine.llama import LlamaText, Memory
from vipcli.engine.recording import Step
from vipcli.engine.vision import Eyes
from vipcli.errors import ModelError

__all__ = ["Look", "PlainReader", "Prompt", "Reader", "RememberingReader", "embed"]


Look = Callable[[Mapping[bytes, Any]], Mapping[bytes, torch.Tensor]]
"""What looks at pictures: see `Eyes.look`."""


@dataclass(frozen=True)
class Prompt:
    """A prompt as a model reads it.

    ids: its tokens, with an image token for every patch. square: the picture as the model gets it, before its colours
    are normalised, and picture: a digest of that; None without a picture. tensors: makes what the processor makes of
    it (``input_ids``, ``attention_mask``, ``pixel_values``).
    """

    ids: list[int]
    square: Any
    picture: bytes | None
    tensors: Callable[[], dict[str, torch.Tensor]]


class PlainReader:
    """Any model that transformers can call; it reads every prompt anew."""

    def __init__(self, model: Any) -> None:
        self._model = model
        # Renamed in transformers 5.24; the older name goes with 5.40.
        known = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in known else "past_key_values"
        self._options = {"use_cache": True, **({"logits_to_keep": 1} if "logits_to_keep" in known else {})}
        self._cache: Any = None
        self._count = 0

    @torch.inference_mode()
    def begin(self, prompt: Prompt, _answer: int) -> torch.Tensor:
        """Read a prompt; returns logits, (1, vocabulary)."""
        self._count = len(prompt.ids)
        return self._logits(**prompt.tensors())

    @torch.inference_mode()
    def read(self, token: int) -> torch.Tensor:
        """Read one more token; returns logits, (1, vocabulary)."""
        self._count += 1
        device = self._model.device
        ids, mask = torch.tensor([[token]], device=device), torch.ones(1, self._count, dtype=torch.long, device=device)
        return self._logits(input_ids=ids, attention_mask=mask, **{self._cache_name: self._cache})

    def _logits(self, **inputs: Any) -> torch.Tensor:
        output = self._model(**inputs, **self._options)
        self._cache = output[self._cache_name]
        return output.logits[:, -1]


class RememberingReader:
    """A LLaVA-like model around `LlamaText`, with what it has read and seen."""

    def __init__(self, model: Any, text: LlamaText, eyes: Eyes, memory: Memory) -> None:
        self._image_token, self._text, self._eyes = model.config.image_token_id, text, eyes
        self.memory = memory

    @torch.inference_mode()
    def begin(self, prompt: Prompt, answer: int) -> torch.Tensor:
        """Read a prompt from where it differs from what was read last, and make room for `answer` tokens.

        Returns logits, (1, vocabulary).
        """
        memory = self.memory
        begin = min(memory.common(prompt.ids, prompt.picture, self._image_token), len(prompt.ids) - 1)
        del memory.ids[begin:]
        memory.picture = prompt.picture
        self._text.reserve(memory, len(prompt.ids) + answer)
        (embedded,) = embed([prompt], self._text, self._eyes.look, self._image_token, begin)
        logits = self._text.read(embedded[None], memory)
        memory.ids += prompt.ids[begin:]
        return logits

    @torch.inference_mode()
    def read(self, token: int) -> torch.Tensor:
        """Read one more token; returns logits, (1, vocabulary)."""
        text, memory = self._text, self.memory
        if text.recorded:
            if memory.step is None:
                memory.step = Step(text, memory)
            logits = memory.step.read(token, len(memory.ids))
        else:
            logits = text.read(text.embed(torch.tensor([[token]], device=text.device)), memory)
        memory.ids.append(token)
        return logits


def embed(
    prompts: Sequence[Prompt],
    text: LlamaText,
    look: Look,
    image_token: int,
    begin: int = 0,
) -> list[torch.Tensor]:
    """What the text model reads of each prompt from token `begin` on: its tokens and, among them, its picture.

    look: see `Eyes.look`. Returns (tokens, width) each. Raises `ModelError` where the tokens don't go with the picture.
    """
    squares = {}
    for prompt in prompts:
        if prompt.picture is not None and image_token not in prompt.ids:
            raise ModelError("its tokenizer and its config.json don't agree on which token stands for the picture")
        if prompt.picture is not None and image_token in prompt.ids[begin:]:
            squares[prompt.picture] = prompt.square
    seen = look(squares)  # (patches, width) each
    found = []
    for prompt in prompts:
        new = torch.tensor(prompt.ids[begin:], device=text.device)
        embedded = text.embed(new)
        if prompt.picture is not None and prompt.picture in seen:
            patches, here = seen[prompt.picture], (new == image_token).nonzero()[:, 0]
            if (count := prompt.ids.count(image_token)) != len(patches):
                raise ModelError(f"its tokenizer makes {count} tokens of {len(patches)} patches")
            embedded[here] = patches[-len(here) :].to(embedded.dtype)
        found.append(embedded)
    return found


Reader = PlainReader | RememberingReader
