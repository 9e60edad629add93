"""What a training makes: a plain Hugging Face folder with a card, whole or not at all; the dense heads beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from vipcli import __version__
from vipcli.engine import located
from vipcli.files import write_whole
from vipcli.training.adapters import merged
from vipcli.training.assembling import Prepared, load_model
from vipcli.training.runs import identity

__all__ = ["write_heads", "write_model"]

_LLAMA = ("llama 2", "llama-2", "llama2", "vicuna", "vip-llava-7b", "vip-llava-13b")
_LLAMA_NOTE = """
## Licence

It was made from a model that is built on Llama 2: the
[Llama 2 Community License](https://ai.meta.com/llama/license/) applies to it and goes with every copy.
"Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c) Meta Platforms, Inc. All Rights Reserved." The
published ViP-LLaVA checkpoints were trained on CC BY-NC 4.0 data: research use.
"""


def write_model(
    prepared: Prepared, learnt: Mapping[str, torch.Tensor], folder: Path, figures: Mapping[str, float], seconds: float
) -> None:
    """Write what `learnt` makes of the model that the training began with; a folder that is there is replaced.

    What didn't learn is written as it was, not as the pass had it. figures: the last that were judged.
    """
    settings = prepared.settings
    dtype = getattr(torch, settings.model.dtype)
    model = load_model(prepared)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in merged(learnt, weights, settings.lora).items():
            weights[name].data = value.to("cpu", dtype)
    model.to(dtype)
    model.generation_config = _valid(model.generation_config)
    part, old = folder.with_name(f"{folder.name}.part"), folder.with_name(f"{folder.name}.old")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with _as_os_error():
            model.save_pretrained(part)
            prepared.processor.save_pretrained(part)
        (part / "README.md").write_text(card(prepared, figures, seconds), encoding="utf-8")
        mode = 0o666 & ~_umask()
        for file in filter(Path.is_file, part.rglob("*")):  # some templates lie in a folder of their own
            file.chmod(mode)  # safetensors keeps what it writes to its owner
            with file.open("rb") as written:
                os.fsync(written.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Make an `OSError` of what safetensors and tokenizers raise where a file can't be written, say on a full disk."""
    try:
        yield
    except Exception as error:
        found = None if isinstance(error, OSError) else re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_heads(heads: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write the dense heads, which the next stage may go on with."""
    from safetensors.torch import save

    write_whole(save({name: value.cpu().contiguous() for name, value in heads.items()}), file)


def _valid(config: Any) -> Any:
    """A generation config that can be written: transformers refuses some published ones for what they contradict."""
    try:
        config.validate(strict=True)
    except Exception:
        kept = {name: getattr(config, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        return transformers.GenerationConfig(**kept)
    return config


def card(prepared: Prepared, figures: Mapping[str, float], seconds: float) -> str:
    """The README.md of a model: what it was made from, how, and how well it does."""
    settings = prepared.settings
    start = settings.model.start
    llama = _is_llama(prepared)
    header = ["library_name: transformers", "pipeline_tag: image-text-to-text"]
    header += ["license: llama2"] if llama else []
    base = prepared.base
    header += [f"base_model: {json.dumps(base.repo)}"] if base is not None and base.repo else []
    origin = f"`{start}`" if start else "nothing (random weights)"
    world = settings.train.batch * settings.train.accumulate
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
    judged = f"| held out | |\n|---|---|\n{rows}" if rows else "Nothing was held out to judge it on."
    lines = "\n".join(f"| `{name}` | `{_cell(value)}` |" for name, value in identity(settings).items())
    return f"""---
{chr(10).join(header)}
---
# {settings.output.name}

A ViP-LLaVA made by `vip train` (vip {__version__}) from {origin}.
Stage {settings.train.stage}, {settings.train.steps:,} steps of {world} samples a device, {seconds / 60:.0f} minutes.

    vip ask picture.png --box 40,30,200,180 "What is @1?" -m {settings.output / "model"}

## Figures

{judged}

`token` is the share of the answers' tokens that it would have said, `exact` that of answers right to the last token.

## Settings

| key | value |
|---|---|
{lines}
{_LLAMA_NOTE if llama else ""}"""


def _cell(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("|", "\\|").replace("`", "'")


def _is_llama(prepared: Prepared) -> bool:
    """Whether the Llama 2 licence goes with the model, by its name or what its own card says."""
    base = prepared.base
    folder = None if base is None else located(base)
    if base is None or folder is None:
        return False
    said = f"{base.repo or ''} {base.name} "
    readme = folder / "README.md"
    if readme.is_file():
        said += readme.read_text(encoding="utf-8", errors="replace")
    return any(word in said.lower() for word in _LLAMA)
