"""One token's way through a text model, recorded as a CUDA graph: between its kernels a GPU waits for no Python.

On an H100 (torch 2.11, bf16, weights of the 7B) a token takes 7.0 ms so, 13.2 ms without and 32 ms in ``generate``;
reading the weights and what was read before takes 4.4 ms at the speed at which torch sums up four gigabytes.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from vipcli.engine.llama import LlamaText, Memory

__all__ = ["Step"]

_FIRST = 16  # tokens that are read without it: a short answer isn't worth recording


class Step:
    """Reads one token behind what a memory holds, with shapes and addresses that never change.

    It is of the memory as it is now: one that grows needs another. On a GPU it is recorded once it was taken a number
    of times, and replayed from then on. Where that fails, for lack of memory or since a part of the model can't be
    recorded, `text` reads without from then on.
    """

    def __init__(self, text: LlamaText, memory: Memory) -> None:
        self._text, self._keys, self._values = text, memory.keys, memory.values
        self._angles = text.angles
        self._inputs = torch.zeros(2, dtype=torch.long, device=text.device)  # the token and its position
        self._places = torch.arange(memory.keys[0].shape[2], device=text.device)
        self._taken = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = torch.empty(0)

    def read(self, token: int, position: int) -> torch.Tensor:
        """Returns logits, (1, vocabulary). position: how many tokens come before."""
        self._inputs.copy_(torch.tensor([token, position]))
        self._taken += 1
        if self._graph is None and self._text.device.type == "cuda" and self._taken > _FIRST:
            self._record()
        if self._graph is None:
            return self._through()
        self._graph.replay()
        self._text.tokens_read += 1
        return self._logits.clone()

    def _record(self) -> None:
        before = self._text.tokens_read
        self._angles = self._text.angles  # read where they lie, also when the text model has longer ones later
        try:
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the GPU meanwhile. Kernels can't be loaded now, but all have been used before.
            with torch.cuda.device(self._text.device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._logits = self._through()
            self._graph = graph
        except RuntimeError:
            self._text.recorded = False
        self._text.tokens_read = before

    def _through(self) -> torch.Tensor:
        text, at = self._text, self._inputs[1:]
        hidden = torch.zeros(len(self._places), dtype=text.kept, device=text.device)
        hidden = hidden.masked_fill(self._places > at, -torch.inf)[None, None, None]

        def attend(layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            all_keys, all_values = self._keys[layer], self._values[layer]
            all_keys.index_copy_(2, at, keys.to(text.kept))
            all_values.index_copy_(2, at, values.to(text.kept))
            return functional.scaled_dot_product_attention(
                queries.to(text.kept), all_keys, all_values, attn_mask=hidden, enable_gqa=text.grouped
            ).to(queries.dtype)

        return text.through(text.embed(self._inputs[:1][None]), at, attend, slice(-1, None))
