"""The embedded model with answers that never end, for what happens in the middle of one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

_TINY = Path(__file__).parents[1] / "vipcli" / "models" / "tiny"
_WORDS = ("Ġcat", "Ġtree")


def endless_model(folder: Path) -> Path:
    """Write the embedded model to `folder`, which it makes, so that it says nothing but ``cat`` and ``tree``, for ever.

    Of two opposite rows of logits one is above zero, whatever the state, and all others are zero: greedy decoding never
    comes to a token that ends the answer, or to a text that does. Sampling now and then would.
    """
    shutil.copytree(_TINY, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 100_000
    (folder / "config.json").write_text(json.dumps(config))
    pieces = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    weights = load_file(folder / "model.safetensors")
    head = torch.zeros_like(weights["language_model.lm_head.weight"])
    row = torch.randn(head.shape[1], generator=torch.Generator().manual_seed(0)).to(head.dtype)
    head[pieces[_WORDS[0]]], head[pieces[_WORDS[1]]] = row, -row
    save_file({**weights, "language_model.lm_head.weight": head}, folder / "model.safetensors", {"format": "pt"})
    return folder
