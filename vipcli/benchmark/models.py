"""Two sides with the same weights: vip's engine, and the model and processor of a plain transformers script."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from vipcli.engine import (
    MODELS,
    LocalEngine,
    choose_device,
    choose_dtype,
    located,
    model_class,
    open_engine,
    read_config,
    resolve,
    trim_tower,
)
from vipcli.errors import ModelError, UsageError, quote

__all__ = ["CONFIGS", "Sides", "sides_of_config", "sides_of_model"]

# Vicuna's text models as published; `small` has the same eyes and a text model that a laptop can hold.
_TEXT: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 12, "num_attention_heads": 16},
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "13b": {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
}
_VISION: dict[str, Any] = {  # CLIP ViT-L/14 at 336 pixels
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
}
CONFIGS = tuple(_TEXT)
"""Architectures that can be built with random weights, on whose values speed doesn't depend."""


@dataclass(frozen=True, eq=False)
class Sides:
    """Two sides with the same weights.

    engine: ours. model, processor: the plain script's. load_seconds: (ours, plain), and
    the checkpoint's folder; None where nothing is loaded.
    """

    engine: LocalEngine
    model: Any
    processor: Any
    load_seconds: tuple[float, float] | None
    folder: Path | None


def sides_of_model(ref: str, device: str, dtype: str) -> Sides:
    """Load the model that `ref` names, with vip and as the documentation of transformers does it."""
    model = resolve(ref)
    open_engine("tiny")  # so that what transformers imports at the first loading counts on neither side
    began = time.perf_counter()
    engine = open_engine(ref, device=device, dtype=dtype)
    ours = time.perf_counter() - began
    if not isinstance(engine, LocalEngine) or engine.text is None:
        raise ModelError(f"{quote(ref)} is no ViP-LLaVA or LLaVA: there is nothing to compare")
    kind, target = engine.model.dtype, engine.model.device
    del engine
    folder = located(model)
    assert folder is not None
    architecture = model_class(read_config(model, folder))
    began = time.perf_counter()
    plain = architecture.from_pretrained(folder, dtype=kind)
    plain = plain.to(target)
    processor = transformers.LlavaProcessor.from_pretrained(str(folder))
    return _sides(ref, plain, processor, (ours, time.perf_counter() - began), folder)


def sides_of_config(name: str, device: str, dtype: str) -> Sides:
    """Build an architecture of `CONFIGS` with random weights, and the embedded model's tokens in front of it."""
    if name not in CONFIGS:
        raise UsageError(f"--config {quote(name)}: use {', '.join(CONFIGS)}")
    target = choose_device(device)
    config = transformers.VipLlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**_VISION),
        text_config=transformers.LlamaConfig(
            **_TEXT[name],
            vocab_size=32064,
            num_key_value_heads=_TEXT[name]["num_attention_heads"],
            max_position_embeddings=4096,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=3,
        ),
        vision_feature_layer=[-2, -5, -8, -11, 6],
        image_token_index=4,
        image_seq_length=576,
    )
    with torch.device("meta"):
        model: Any = transformers.VipLlavaForConditionalGeneration(config)
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    kind = choose_dtype(dtype, target, weights)
    # Buffers (positions, angles) hold no random numbers: they are made anew, below.
    model = model.to(kind).to_empty(device=target)
    generator = torch.Generator(target).manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.02, generator=generator)
            else:
                parameter.fill_(1.0)
    model.model.vision_tower.embeddings.position_ids = torch.arange(577, device=target)[None]
    model.model.language_model.rotary_emb = type(model.model.language_model.rotary_emb)(config.text_config).to(target)
    processor = transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}),
        transformers.AutoTokenizer.from_pretrained(str(MODELS["tiny"].folder)),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )
    return _sides(f"{name} (random weights)", model.eval(), processor, None, None)


def _sides(
    name: str, plain: Any, processor: Any, load_seconds: tuple[float, float] | None, folder: Path | None
) -> Sides:
    """Ours is a second set of modules around the same weights, so that the plain side keeps its whole tower."""
    shared = {id(one): one for one in (*plain.parameters(), *plain.buffers())}
    ours = copy.deepcopy(plain, shared)
    trim_tower(ours)
    engine = LocalEngine(name, ours.eval(), processor)
    engine.eos = frozenset()  # every answer is as long as it may be
    return Sides(engine, plain.eval(), processor, load_seconds, folder)
