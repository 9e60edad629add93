"""Where a model goes: the device, the dtype there, and whether its weights fit the memory that is free."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from vipcli.errors import ModelError, UsageError, quote

__all__ = ["Placement", "choose_device", "choose_dtype", "free_memory", "is_out_of_memory", "place"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# What loading converts, by safetensors' names.
_FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_MEASURE_FROM = 1_000_000_000  # bytes of weights from which it pays to ask a CPU how fast it is in bf16
_ROOM = 20  # a model needs its weights and this part of them: what it remembers of 1400 tokens in the 7B's case


@dataclass(frozen=True)
class Placement:
    """A model on `device` in `dtype`: the bytes `needed` there, and those `free`."""

    device: torch.device
    dtype: torch.dtype
    needed: int
    free: int

    @property
    def fits(self) -> bool:
        """Whether there is memory enough."""
        return self.needed <= self.free


def place(device: torch.device, dtype: str, weights: Counter[str]) -> Placement:
    """How a checkpoint with `weights` (bytes by safetensors' dtype) goes onto `device`, in a `dtype` by name or auto.

    What loads and what ``auto`` takes for loadable are both decided here.
    """
    kind = choose_dtype(dtype, device, weights.total())
    held = _bytes_as(weights, kind)
    return Placement(device, kind, held + held // _ROOM, free_memory(device))


def choose_device(name: str) -> torch.device:
    """The device by name: cuda, cuda:N, mps, cpu, or ``auto``, which is the first of them that is there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {quote(name)}: use auto, cuda, cuda:N, mps or cpu") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"--device {quote(name)}: this torch sees no CUDA GPU (torch {torch.__version__})")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"--device {quote(name)}: there are {torch.cuda.device_count()} CUDA GPUs, from cuda:0")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError(f"--device {quote(name)}: this machine has no MPS")
    if device.type not in ("cuda", "mps", "cpu"):
        raise UsageError(f"--device {quote(name)}: use auto, cuda, cuda:N, mps or cpu")
    return device


def choose_dtype(name: str, device: torch.device, weights: int) -> torch.dtype:
    """The dtype by name; ``auto`` takes what the device does well, not what the checkpoint was saved in."""
    if name != "auto":
        if name not in _DTYPES:
            raise UsageError(f"--dtype {quote(name)}: use auto, {', '.join(_DTYPES)}")
        return _DTYPES[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if weights >= _MEASURE_FROM and _cpu_is_fast_in_bf16() else torch.float32


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; on the CPU torch says so in a sentence alone."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


def free_memory(device: torch.device) -> int:
    """Bytes that a model can still take on `device`; Apple's GPUs share the host's memory."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _host_memory()


@cache  # so that who asks again gets the same dtype
def _cpu_is_fast_in_bf16() -> bool:
    """Ask the CPU: one has AMX and is four times faster in bf16, another ten times slower. Takes about 50 ms."""
    import time

    def seconds(kind: torch.dtype) -> float:
        left, right = torch.ones(256, 1024, dtype=kind), torch.ones(1024, 1024, dtype=kind)
        _ = left @ right
        began = time.perf_counter()
        for _ in range(4):
            _ = left @ right
        return time.perf_counter() - began

    return seconds(torch.bfloat16) < 0.7 * seconds(torch.float32)


def _bytes_as(weights: Counter[str], kind: torch.dtype) -> int:
    """How many bytes the weights take in `kind`; what is stored in 8 bits or fewer (quantized) stays as it is."""
    return sum(size * kind.itemsize // _FLOATS.get(dtype, kind).itemsize for dtype, size in weights.items())


def _host_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that a program can still take, a container's limit included."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        counts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        # Pages of files count as used though they go at need, and a checkpoint just fetched is nothing but such pages.
        used -= int(counts["active_file"]) + int(counts["inactive_file"])
    except (OSError, ValueError, KeyError):  # no container, or one without a limit ("max")
        return free
    return max(0, min(free, limit - used))
