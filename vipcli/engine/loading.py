"""From a checkpoint's files to its engine, by way of transformers.

Weights are safetensors only; code that comes with a checkpoint is never run.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open

from vipcli.engine.catalog import Model, input_square, located, weight_files
from vipcli.engine.checkpoint import (
    check_complete,
    in_one_sentence,
    is_llava,
    load_processor,
    model_class,
    read_config,
    weigh,
)
from vipcli.engine.devices import Placement, choose_device, place
from vipcli.engine.local import LocalEngine
from vipcli.engine.processor import special_tokens_of, template_of
from vipcli.engine.vision import trim_tower
from vipcli.errors import MissingExtra, ModelError, UsageError, quote
from vipcli.prompt import Template

__all__ = ["Outline", "load", "outline"]

_BLOCK = 64  # numbers that share a scale in 4 bits: bitsandbytes on a CPU wants whole ones in each row


@dataclass(frozen=True)
class Outline:
    """What prompts and pictures must know of a model, without its weights; see `vipcli.engine.protocol.Engine`."""

    name: str
    side: int | None
    patch: int
    template: Template | None
    special_tokens: Collection[str]


def outline(model: Model) -> Outline:
    """Read `model`'s files but for its weights. Raises `ModelError` where it isn't here, or isn't one."""
    folder = _folder_of(model)
    with in_one_sentence(model.name, torch.device("cpu"), "can't be read"):
        processor = load_processor(model, folder, read_config(model, folder))
        square = input_square(model)
        side, patch = (None, 14) if square is None else (square.side, square.patch)
        return Outline(model.name, side, patch, template_of(processor), special_tokens_of(processor.tokenizer))


def load(
    model: Model,
    *,
    device: str = "auto",
    dtype: str = "auto",
    device_map: str | None = None,
    load_in: str | None = None,
) -> LocalEngine:
    """Load `model` and return its engine.

    device: auto (CUDA, else Apple's MPS, else CPU), cuda, cuda:N, mps or cpu. dtype: auto (what the device does well),
    float32, bfloat16 or float16. device_map: ``auto`` spreads the layers over several GPUs and the CPU (accelerate).
    load_in: 8bit or 4bit (needs bitsandbytes). Raises `ModelError`, `UsageError` or `MissingExtra`.
    """
    if device_map not in (None, "auto"):
        raise UsageError(f"--device-map {quote(device_map)}: only auto is known")
    target = choose_device(device)
    folder = _folder_of(model)
    with in_one_sentence(model.name, target, "can't be loaded"):
        config = read_config(model, folder)
        architecture = model_class(config)
        weights = weigh(model, folder)
        placement = place(target, dtype, weights)
        options: dict[str, Any] = {
            "dtype": placement.dtype,
            "local_files_only": True,
            "trust_remote_code": False,
            "config": config,
            # What is missing or of another shape would be made up at random: better said than asked.
            "output_loading_info": True,
            "ignore_mismatched_sizes": True,
        }
        if load_in is not None:
            options["quantization_config"] = _quantization(load_in, placement, config)
        if device_map is not None or load_in is not None or target.type != "cpu":
            options["device_map"] = device_map or {"": target}
        if device_map is None and load_in is None:
            _check_memory(model, placement)
        processor = load_processor(model, folder, config)
        quantized = hasattr(config, "quantization_config")
        if target.type == "cpu" and not quantized and "device_map" not in options:
            loaded, report = _load_unmapped(architecture, folder, options)
        else:
            loaded, report = architecture.from_pretrained(folder, use_safetensors=True, **options)
        check_complete(model, report)
        if is_llava(config):
            trim_tower(loaded)
        return LocalEngine(model.name, loaded.eval(), processor)


def _folder_of(model: Model) -> Path:
    folder = located(model)
    if folder is None:
        size = f" ({model.gigabytes:g} GB)" if model.gigabytes else ""
        raise ModelError(f"{quote(model.name)} isn't on this machine{size}; get it with: vip models pull {model.name}")
    return folder


def _load_unmapped(architecture: Any, folder: Path, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load weight by weight through memory that is freed again.

    transformers maps the file, and what is mapped stays beside what it was converted to or packed for: three times a
    checkpoint's size from fp16 to fp32.
    """
    files = [safe_open(folder / name, "pt", backend="pread") for name in weight_files(folder)]
    weights = {name: file.get_slice(name) for file in files for name in file.keys()}  # noqa: SIM118
    loaded, report = architecture.from_pretrained(None, state_dict=weights, **options)
    if (folder / "generation_config.json").is_file():  # found by the folder's name otherwise
        loaded.generation_config = transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
    return loaded, report


def _check_memory(model: Model, placement: Placement) -> None:
    if not placement.fits:
        needed, free = placement.needed / 1e9, placement.free / 1e9
        raise ModelError(
            f"{quote(model.name)} needs {needed:.1f} GB of memory on {placement.device.type} and {free:.1f} GB are "
            "free; try --load-in 4bit or --device-map auto"
        )


def _quantization(load_in: str, placement: Placement, config: Any) -> Any:
    if load_in not in ("8bit", "4bit"):
        raise UsageError(f"--load-in {quote(load_in)}: use 8bit or 4bit")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra(f"--load-in {load_in}", "bitsandbytes")
    if load_in == "8bit":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    if placement.device.type == "cpu":
        parts = [config.get_text_config(), getattr(config, "vision_config", None)]
        widths = [getattr(part, name, None) for part in parts for name in ("hidden_size", "intermediate_size")]
        odd = [width for width in widths if isinstance(width, int) and width % _BLOCK]
        if odd:
            raise UsageError(
                f"--load-in 4bit: on a CPU layers must be a multiple of {_BLOCK} wide, and one of this model's is "
                f"{odd[0]}"
            )
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of kernels that it would rather have
    return transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=placement.dtype)
