"""What the machine allows: how fast it reads memory and multiplies matrices, and what that makes of a model's work."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from vipcli.engine import pack

__all__ = ["decode_floor", "matmul_rate", "prefill_floor", "read_rate", "vision_floor", "wait_for"]


def read_rate(device: torch.device) -> float:
    """Bytes a second at which `device` reads memory, by summing up half a gigabyte."""
    data = torch.ones(2**27, device=device)
    return data.nbytes / _best(lambda: data.sum(), device)


def matmul_rate(device: torch.device, dtype: torch.dtype, rows: int) -> float:
    """Operations a second at which `device` multiplies matrices of `rows` rows in `dtype`.

    The best of four sizes, and on a CPU of torch's way and of a packed weight.
    """
    rates = []
    for width, out in ((1024, 4096), (4096, 1024), (2048, 2048), (4096, 4096)):
        linear = nn.Linear(width, out, bias=False, device=device, dtype=dtype)
        ways: list[nn.Module] = [linear]
        if device.type == "cpu":
            with contextlib.suppress(AttributeError, RuntimeError):  # this torch can't
                ways.append(pack(linear))
        left = torch.randn(rows, width, device=device).to(dtype)
        with torch.inference_mode():
            rates += [2 * rows * width * out / _best(functools.partial(way, left), device) for way in ways]
    return max(rates)


def decode_floor(model: Any, tokens: int, rate: float) -> float:
    """Seconds that a token takes behind `tokens` others: its weights, the keys and the values must be read once.

    rate: of `read_rate`. The table of embeddings isn't read, but for one row.
    """
    config = model.config.text_config
    text = model.model.language_model
    weights = sum(p.nbytes for p in (*text.layers.parameters(), *text.norm.parameters(), *model.lm_head.parameters()))
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * text.layers[0].self_attn.head_dim
    return (weights + per_token * tokens * model.dtype.itemsize) / rate


def vision_floor(model: Any, needed: int, rate: float) -> float:
    """Seconds that a picture takes: so many layers of the tower as are needed, and the projector.

    model: with its weights as they were loaded. rate: of `matmul_rate`.
    """
    tower, config = model.model.vision_tower, model.config.vision_config
    patches = (config.image_size // config.patch_size) ** 2 + 1
    layers = tower.encoder.layers[:needed]
    flops = 2 * patches * sum(p.numel() for p in layers.parameters() if p.ndim == 2)
    flops += len(layers) * 4 * patches**2 * config.hidden_size  # attention: scores, and what they weigh
    flops += 2 * patches * sum(p.numel() for p in model.model.multi_modal_projector.parameters() if p.ndim == 2)
    flops += 2 * patches * config.hidden_size * 3 * config.patch_size**2
    return flops / rate


def prefill_floor(model: Any, tokens: int, rate: float) -> float:
    """Seconds that a prompt of `tokens` takes in the text model, its last in the head. rate: of `matmul_rate`."""
    config, layers = model.config.text_config, model.model.language_model.layers
    flops = 2 * tokens * sum(p.numel() for p in layers.parameters() if p.ndim == 2)
    flops += len(layers) * 2 * tokens**2 * config.hidden_size  # attention sees half of the square
    return (flops + 2 * model.lm_head.weight.numel()) / rate


def wait_for(device: torch.device) -> None:
    """Return when what was begun on `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _best(work: Callable[[], object], device: torch.device, times: int = 7) -> float:
    """The shortest of several times, in seconds; on a GPU of many calls at once, since one waits for its launch."""
    calls = 1 if device.type == "cpu" else 50
    found = []
    for _ in range(times):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        wait_for(device)
        found.append((time.perf_counter() - began) / calls)
    return min(found)
