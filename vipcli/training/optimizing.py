"""What learns, how fast, and the weights it keeps in float32 while the pass may run in 16 bits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from vipcli.errors import UsageError
from vipcli.training.settings import Train

__all__ = ["Diverged", "Learning", "need_muon", "rate_at"]

_PARTS = {"vision_tower": "vision", "multi_modal_projector": "projector"}


def rate_at(step: int, train: Train) -> float:
    """The share of the learning rate at a step: warm up, hold, and fall over the last `train.fall` of the steps."""
    left = (train.steps - step) / max(1.0, train.fall * train.steps)
    if left >= 1:
        fallen = 1.0
    elif train.shape == "cosine":
        fallen = 0.5 - 0.5 * math.cos(math.pi * left)
    else:
        fallen = left
    return min((step + 1) / max(1, train.warmup), max(train.floor, fallen))


def _share(name: str, train: Train) -> float:
    """The learning rate of a parameter as a share of ``train.rate``; 0: it doesn't learn."""
    part = next((part for word, part in _PARTS.items() if word in name), "text")
    if train.stage == "vision":
        return 1.0 if part == "vision" else 0.0
    if train.stage == "projector":
        return train.projector if part == "projector" else 0.0
    if train.stage == "lora" and part == "text":
        return train.text if "lora_" in name else 0.0
    return {"vision": train.vision, "projector": train.projector, "text": train.text}[part]


def need_muon() -> None:
    """Raise `UsageError` before any work is done, where torch has no Muon."""
    if not hasattr(torch.optim, "Muon"):
        raise UsageError(f'train.optimizer = "muon" needs torch 2.9 or newer, and this is {torch.__version__}')


class Diverged(Exception):
    """The gradients aren't numbers any more."""


class Learning:
    """The parameters that learn, their float32 masters, their running average, and the optimizers over them.

    model: its parameters go into ``train.precision`` here, after the masters of those that learn were taken, and the
    others are frozen. Muon takes the matrices inside the layers where ``train.optimizer`` says so (Jordan et al., 2024;
    scaled as in Liu et al., 2025, "Muon is scalable"); AdamW all the rest.
    """

    def __init__(self, model: nn.Module, heads: nn.Module | None, train: Train) -> None:
        self._train = train
        self.names: list[str] = []
        self.working: list[nn.Parameter] = []
        self.masters: list[nn.Parameter] = []
        matrices: dict[float, list[nn.Parameter]] = {}
        others: dict[float, list[nn.Parameter]] = {}
        dtype = getattr(torch, train.precision)
        named = [(name, parameter, _share(name, train), dtype) for name, parameter in model.named_parameters()]
        if heads is not None:
            its = heads.named_parameters()
            named += [(f"heads.{name}", parameter, train.heads, torch.float32) for name, parameter in its]
        for name, parameter, share, passing in named:
            parameter.requires_grad_(share > 0)
            kept = parameter.detach()
            if kept.dtype != passing:
                parameter.data = kept.to(passing)  # buffers stay: in 16 bits rotary frequencies would lose their end
            if not share:
                continue
            master = parameter if passing == torch.float32 else nn.Parameter(kept.float().clone())
            self.names.append(name)
            self.working.append(parameter)
            self.masters.append(master)
            inside = train.optimizer == "muon" and parameter.ndim == 2 and ".layers." in name
            (matrices if inside else others).setdefault(share, []).append(master)
        self.average = [master.detach().clone() for master in self.masters] if train.average else []
        self.tools: list[torch.optim.Optimizer] = []
        if matrices:
            self.tools.append(
                torch.optim.Muon(_groups(matrices), weight_decay=train.weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        if others:
            betas = (0.9, 0.98 if train.optimizer == "muon" else 0.999)
            self.tools.append(torch.optim.AdamW(_groups(others), betas=betas, weight_decay=train.weight_decay))

    def step(self, number: int) -> float:
        """Take gradients from the working weights, learn, and put the result back. Returns the gradients' norm.

        Raises `Diverged`, with nothing changed, where they aren't finite.
        """
        rate = self._train.rate * rate_at(number, self._train)
        for working, master in zip(self.working, self.masters, strict=True):
            if working is not master:
                master.grad = None if working.grad is None else working.grad.float()
                working.grad = None
        norm = float(nn.utils.clip_grad_norm_([m for m in self.masters if m.grad is not None], 1.0))
        if not math.isfinite(norm):
            raise Diverged
        for tool in self.tools:
            for group in tool.param_groups:
                group["lr"] = rate * group["share"]
            tool.step()
            tool.zero_grad()
        with torch.no_grad():
            for working, master in zip(self.working, self.masters, strict=True):
                if working is not master:
                    working.copy_(master)
            keep = min(self._train.average, (number + 1) / (number + 20))
            for average, master in zip(self.average, self.masters, strict=bool(self.average)):
                average.lerp_(master, 1 - keep)
        return norm

    def averaged(self) -> _Swapped:
        """A context in which the working weights are the averaged ones, for judging and writing."""
        return _Swapped(self)

    def result(self) -> dict[str, torch.Tensor]:
        """What was learnt, by the names of the parameters: the averaged weights where there are, in float32."""
        kept = self.average or [master.detach() for master in self.masters]
        return dict(zip(self.names, kept, strict=True))

    def state(self) -> dict[str, Any]:
        """All of it, for `restore`."""
        return {
            "masters": {name: master.detach() for name, master in zip(self.names, self.masters, strict=True)},
            "average": dict(zip(self.names, self.average, strict=bool(self.average))),
            "tools": [tool.state_dict() for tool in self.tools],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`. Raises `LookupError` or `RuntimeError` where it is of another model."""
        for kept, values in ((self.masters, state["masters"]), (self.average, state["average"])):
            _copy(kept, [values[name] for name in self.names] if kept else [])
        _copy(self.working, self.masters)
        for tool, its in zip(self.tools, state["tools"], strict=True):
            tool.load_state_dict(its)


class _Swapped:
    def __init__(self, learning: Learning) -> None:
        self._learning = learning

    def __enter__(self) -> None:
        if self._learning.average:
            self._kept = [parameter.detach().clone() for parameter in self._learning.working]
            _copy(self._learning.working, self._learning.average)

    def __exit__(self, *error: object) -> None:
        if self._learning.average:
            _copy(self._learning.working, self._kept)


@torch.no_grad()
def _copy(targets: Iterable[torch.Tensor], values: Iterable[torch.Tensor]) -> None:
    for target, value in zip(targets, values, strict=True):
        if target is not value:
            target.copy_(value)


def _groups(by_share: dict[float, list[nn.Parameter]]) -> list[dict[str, Any]]:
    return [{"params": parameters, "lr": 0.0, "share": share} for share, parameters in by_share.items()]
