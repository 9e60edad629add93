"""One row times a matrix, the way that is fastest on this machine: the whole of a decode step but its attention.

On a CPU the ways differ by a factor of two, and which one wins depends on the CPU. Figures of 2 cores of an EPYC that
knows avx512_bf16, (1, 1024) by (1024, 5632), where memory can be read at 31 GB/s: fp32 `plain` 16 GB/s, since MKL's
matrix-vector product keeps to one core, `in_blocks` 33, `by_onednn` 38; bf16 `plain` 20 GB/s, `without_onednn` 37.
"""

from __future__ import annotations

import math
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


def by_onednn(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """By oneDNN, which `torch.nn.Linear` asks in 16 bits alone; an operator that torch keeps for its compiler."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


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
    ways: list[Way] = [in_blocks, by_onednn] if first.dtype == torch.float32 else [without_onednn]
    row = torch.ones(1, 1, first.shape[1], dtype=first.dtype)
    seconds = {way: _seconds(way, row, weights) for way in (plain, *ways)}
    best = min(seconds, key=seconds.__getitem__)
    # Near a tie it is the plain way, so that the last bits of an answer don't hang on a moment's noise.
    return best if seconds[best] < 0.85 * seconds[plain] else plain


@torch.inference_mode()
def _seconds(way: Way, row: torch.Tensor, weights: list[torch.Tensor]) -> float:
    """The shortest of several times, without end where this torch can't go that way."""
    shortest = math.inf
    for _ in range(_TRIES):
        began = time.perf_counter()
        try:
            for weight in weights:
                way(row, weight)
        except (AttributeError, RuntimeError):  # NotImplementedError is one of these
            return math.inf
        shortest = min(shortest, time.perf_counter() - began)
    return shortest
