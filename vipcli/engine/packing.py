"""Matrix products on a CPU as oneDNN does them, on weights that lie in memory as its kernels want them.

Nearly all of an answer's time is products of some rows with a weight. `torch.nn.Linear` has MKL do them in fp32, which
on AMD keeps to AVX2 and, for a single row, to one core; in 16 bits it has oneDNN sort the weight anew at every call.
Figures of 2 cores of an EPYC with AVX-512, 24 weights of (2816, 1024), torch 2.13, in GB/s of weights for 1 and 8 rows
and in GFLOP/s for 1024: fp32 17, 14 and 210 plain, 45, 37 and 470 packed; bf16 26, 23 and 870 plain, 48, 39 and 930.
"""

from __future__ import annotations

import time

import torch
from torch import nn
from torch.nn import functional

from vipcli.allocating import give_back

__all__ = ["Packed", "pack", "pack_all"]

_SMALL = 2**14  # numbers in a weight below which a call costs more than its arithmetic
_CACHED = 2**20  # bytes
_ROWS = 64  # what a weight is packed for; it serves any number of rows
_TRIES = 30
_ENOUGH = 0.02  # seconds that are enough for asking
_GIVE_BACK = 8_000_000  # bytes of weights freed from which it is worth a call


class Packed(nn.Module):
    """A linear module with a packed weight, (out, in) as before; it has no gradient and can't be saved.

    A weight that a core's cache holds stays beside it as it was: for a single row that is faster.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
        self.bias = None if bias is None else bias.detach()
        self.weight = weight.detach() if weight.nbytes < _CACHED else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., rows, in) -> (..., rows, out)."""
        if self.weight is not None and x.shape[-2] == 1:
            return functional.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")


def pack_all(model: nn.Module) -> None:
    """Pack the weights of a model on the CPU one by one, each in the place of what it was; does it where it pays."""
    if any(parameter.device.type != "cpu" for parameter in model.parameters()):
        return
    places = [
        (parent, name)
        for parent in model.modules()
        for name, one in parent.named_children()
        if type(one) is nn.Linear and one.weight.numel() >= _SMALL and not hasattr(one, "_hf_hook")
    ]
    if places and _pays(max((getattr(*place) for place in places), key=lambda one: one.weight.numel())):
        give_back()
        freed = 0
        for parent, name in places:  # nothing else holds what was there, so its memory is free for the next
            freed += getattr(parent, name).weight.nbytes
            setattr(parent, name, pack(getattr(parent, name)))
            if freed > _GIVE_BACK:
                give_back()
                freed = 0


def pack(linear: nn.Linear) -> Packed:
    """The same as a packed module."""
    return Packed(linear.weight, linear.bias)


@torch.inference_mode()
def _pays(linear: nn.Linear) -> bool:
    """Ask this CPU and this torch whether a packed weight is faster; takes some milliseconds.

    Both sides in turn, and of each the shortest time: what else the machine does just then can only lengthen one.
    """
    try:
        packed = pack(linear)
        some = [torch.ones(1, rows, linear.in_features, dtype=linear.weight.dtype) for rows in (1, _ROWS)]
        fastest: dict[tuple[str, int], float] = {}
        began = time.perf_counter()
        for number in range(_TRIES):
            for side, product in (("packed", packed), ("plain", linear)):
                for x in some:
                    seconds = _seconds(product, x)
                    if number:  # the first time warms up
                        at = side, x.shape[1]
                        fastest[at] = min(seconds, fastest.get(at, seconds))
            if number >= 3 and time.perf_counter() - began > _ENOUGH:
                break
        return sum(fastest["packed", rows] / fastest["plain", rows] for rows in (1, _ROWS)) < 2 * 0.95
    except (AttributeError, RuntimeError):  # NotImplementedError is one of these: this torch has no oneDNN
        return False


def _seconds(product: nn.Module, x: torch.Tensor) -> float:
    began = time.perf_counter()
    product(x)
    return time.perf_counter() - began
