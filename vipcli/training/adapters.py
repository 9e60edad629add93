"""Low-rank adapters in the language model, by way of peft, and what they come to once they are merged."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import torch

from vipcli.errors import MissingExtra
from vipcli.training.settings import Lora

__all__ = ["add_adapters", "merged", "need_peft"]

# The linear layers of the language model, as the authors' script has them; tower and projector are left alone.
_TARGETS = r".*language_model\..*\.(q|k|v|o|gate|up|down)_proj"
_DOWN, _UP = ".lora_A.default", ".lora_B.default"


def need_peft() -> None:
    """Raise `MissingExtra` before any work is done, where peft isn't installed."""
    if importlib.util.find_spec("peft") is None:
        raise MissingExtra('train.stage = "lora"', "peft")


def add_adapters(model: Any, lora: Lora) -> None:
    """Put adapters into the language model, which add nothing yet."""
    need_peft()
    from peft import LoraConfig, inject_adapter_in_model

    options: dict[str, Any] = {"r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
    inject_adapter_in_model(LoraConfig(target_modules=_TARGETS, **options), model)


def merged(learnt: Mapping[str, torch.Tensor], base: Mapping[str, torch.Tensor], lora: Lora) -> dict[str, torch.Tensor]:
    """The weights of the plain model that learnt parameters come to, by their names in `base`; float32.

    learnt: by their names in the model with adapters.
    """
    found = {}
    for name, value in learnt.items():
        if _UP in name:
            continue
        if _DOWN not in name:
            found[name] = value
            continue
        up = learnt[name.replace(_DOWN, _UP)].float()
        plain = name.replace(_DOWN, "")
        found[plain] = base[plain].float() + (lora.alpha / lora.rank) * (up @ value.float()).to(base[plain].device)
    return found
