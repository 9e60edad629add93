"""One row times a matrix, the way that is fastest on this machine: the whole of a decode step but its attention.

On a CPU the ways differ by a factor of two, and which one wins depends on the CPU. Figures of 2 cores of an EPYC that
knows avx512_bf16, (1, 1024) by (1024, 5632), where memory can be read at 31 GB/s: fp32 `plain` 16 GB/s, since MKL's
matrix-vector product keeps to one core, `in_blocks` 27; bf16 `plain` 20 GB/s, `without_onednn` 37.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn import functional

__all__ = ["Way", "fastest"]

Way = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(1, 1, width) and a weight (out, width) -> (1, 1, out)."""

_LARGE = 2**19  # numbers in a matrix from which it matters
_TRIES = 5


def plain(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """As `torch.nn.Linear` does it."""
    return functional.linear(x, weight)


def in_blocks(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """As a batch of products with equal parts of the matrix, which go to different cores."""
    cores = torch.get_num_threads()
    blocks = next((count for count in range(cores, 4 * cores) if weight.shape[0] % count == 0), 1)
    parts = weight.view(blocks, -1, weight.shape[1]).transpose(1, 2)
    return torch.bmm(x.expand(blocks, 1, -1), parts).view(1, 1, -1)


def without_onednn(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """By ATen's own kernel for 16-bit rows."""
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        return functional.linear(x, weight)
    finally:
        torch.backends.mkldnn.enabled = True  # type: ignore[assignment]


def fastest(weights: list[torch.Tensor]) -> Way:
    """Measure on a few of a model's matrices, (out, width) each, which way is fastest; takes about 20 ms.

    Several, so that they come from memory as in earnest and not from a cache.
    """
    first = weights[0]
    if first.device.type != "cpu" or first.numel() < _LARGE or not torch.backends.mkldnn.enabled:
        return plain
    ways: list[Way] = [plain, in_blocks] if first.dtype == torch.float32 else [plain, without_onednn]
    row = torch.ones(1, 1, first.shape[1], dtype=first.dtype)
    seconds = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        for _ in range(_TRIES):
            for way in ways:
                began = time.perf_counter()
                for weight in weights:
                    way(row, weight)
                seconds[way] = min(seconds[way], time.perf_counter() - began)
    best = min(ways, key=seconds.__getitem__)
    # Near a tie it is the plain way, so that the last bits of an answer don't hang on a moment's noise.
    return best if seconds[best] < 0.85 * seconds[plain] else plain
