"""How a model reads: a prompt, then token by token, each time giving the logits of what comes next.

`RememberingReader` does it for LLaVA-like models with a Llama or Mistral inside: nothing that was read for the last
prompt, and no picture that was seen of late, is computed twice. `PlainReader` does it for whatever transformers runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from vipcli.engine.llama import LlamaText, Memory
from vipcli.engine.vision import FeatureCache, features
from vipcli.errors import ModelError

__all__ = ["PlainReader", "Prompt", "Reader", "RememberingReader"]


@dataclass(frozen=True)
class Prompt:
    """A prompt as a model reads it.

    ids: its tokens, with an image token for every patch. picture: a digest of the pixels, None without a picture.
    tensors: makes what the processor makes of it (``input_ids``, ``attention_mask``, ``pixel_values``).
    """

    ids: list[int]
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

    def __init__(self, model: Any, text: LlamaText, seen: FeatureCache, memory: Memory) -> None:
        self._model, self._text, self._seen = model, text, seen
        self.memory = memory

    @torch.inference_mode()
    def begin(self, prompt: Prompt, answer: int) -> torch.Tensor:
        """Read a prompt from where it differs from what was read last, and make room for `answer` tokens.

        Returns logits, (1, vocabulary).
        """
        image_token = self._model.config.image_token_id
        if prompt.picture is not None and image_token not in prompt.ids:
            raise ModelError("its tokenizer and its config.json don't agree on which token stands for the picture")
        memory = self.memory
        begin = min(memory.common(prompt.ids, prompt.picture, image_token), len(prompt.ids) - 1)
        del memory.ids[begin:]
        memory.picture = prompt.picture
        self._text.reserve(memory, len(prompt.ids) + answer)
        new = prompt.ids[begin:]
        embedded = self._text.embed(torch.tensor([new], device=self._model.device))  # (1, tokens, width)
        if image_token in new:
            here = [number for number, token in enumerate(new) if token == image_token]
            seen = self._features(prompt)  # (patches, width)
            if prompt.ids.count(image_token) != len(seen):
                raise ModelError(f"its tokenizer makes {prompt.ids.count(image_token)} tokens of {len(seen)} patches")
            embedded[0, here] = seen[-len(here) :].to(embedded.dtype)
        logits = self._text.read(embedded, memory)
        memory.ids += new
        return logits

    @torch.inference_mode()
    def read(self, token: int) -> torch.Tensor:
        """Read one more token; returns logits, (1, vocabulary)."""
        logits = self._text.read(self._text.embed(torch.tensor([[token]], device=self._model.device)), self.memory)
        self.memory.ids.append(token)
        return logits

    def _features(self, prompt: Prompt) -> torch.Tensor:
        assert prompt.picture is not None
        found = self._seen.get(prompt.picture)  # (patches, width)
        if found is None:
            found = features(self._model, prompt.tensors()["pixel_values"])
            self._seen.put(prompt.picture, found)
        return found


Reader = PlainReader | RememberingReader
