"""A checkpoint's files: its configuration and class, its weights held against their own headers, its processor.

All of it is foreign data: whatever reading or running it raises becomes one sentence (`in_one_sentence`).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from vipcli.engine.catalog import WEIGHT_INDEX, Model, weight_files
from vipcli.engine.devices import is_out_of_memory
from vipcli.errors import ModelError, VipError, quote

__all__ = [
    "check_complete",
    "first_line",
    "in_one_sentence",
    "is_llava",
    "load_processor",
    "model_class",
    "read_config",
    "weigh",
]

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

_MAX_HEADER = 100_000_000  # bytes; safetensors' own limit
_BROKEN_JSON = (ValueError, LookupError, AttributeError, TypeError, RecursionError)  # what reading foreign JSON raises


def read_config(model: Model, folder: Path) -> Any:
    """The checkpoint's configuration."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{quote(str(folder))} holds no model: it has no config.json")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{quote(model.name)}: its config.json can't be read: {first_line(error)}") from None
    except Exception as error:  # whatever a foreign config brings transformers to raise
        raise ModelError(f"{quote(model.name)} can't be loaded: {first_line(error)}") from error


def model_class(config: Any) -> Any:
    """The class that runs this architecture: one of those that transformers knows for image-text models."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    name = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(config.model_type)
    if name is None:
        raise ModelError(f"a {quote(config.model_type)} model doesn't answer questions about pictures")
    return getattr(transformers, name if isinstance(name, str) else name[0])


def is_llava(config: Any) -> bool:
    """Whether this is ViP-LLaVA or LLaVA: one square of patches from CLIP in front of a text model."""
    return config.model_type in ("vipllava", "llava")


def weigh(model: Model, folder: Path) -> Counter[str]:
    """Bytes of the weights by dtype (safetensors' names); raises where files are missing, pickled or cut short."""
    shown = quote(model.name)
    names = weight_files(folder)
    if not names:
        raise ModelError(f"{shown}: its {WEIGHT_INDEX} can't be read; fetch the checkpoint again")
    missing = [name for name in names if not os.path.isfile(folder / name)]
    if missing and (folder / WEIGHT_INDEX).is_file():
        raise ModelError(
            f"{shown}: {len(missing)} of {len(names)} weight files are missing (first {quote(missing[0])}); "
            "fetch the checkpoint again, it goes on where it stopped"
        )
    if missing:
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
            raise ModelError(f"{shown}: its weights are pickled, which can run code; vip loads safetensors only")
        raise ModelError(f"{shown}: it has no model.safetensors")
    return sum((_weigh_whole(shown, folder / name) for name in names), Counter())


def _weigh_whole(shown: str, file: Path) -> Counter[str]:
    """Bytes by dtype of a safetensors file, its length held against its own header (8 bytes of length, JSON, data)."""
    held: Counter[str] = Counter()
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > min(size, _MAX_HEADER):
                raise ValueError
            header = json.loads(opened.read(length))
        needed = 8 + length
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                held[entry["dtype"]] += end - begin
                needed = max(needed, 8 + length + end)
    except OSError as error:
        raise ModelError(f"{shown}: {quote(file.name)} can't be read: {error.strerror}") from None
    except _BROKEN_JSON:
        raise ModelError(f"{shown}: {quote(file.name)} is no safetensors file, or is damaged") from None
    if size < needed:
        raise ModelError(
            f"{shown}: {quote(file.name)} is cut short ({size} of {needed} bytes); fetch the checkpoint again"
        )
    return held


def check_complete(model: Model, report: dict[str, Any]) -> None:
    """Hold what was loaded against what the architecture has: a weight that isn't there would be random."""
    for fault, keys in (
        ("are missing from its files", report["missing_keys"]),
        ("don't have the shape that its config.json says", [key for key, *_ in report["mismatched_keys"]]),
    ):
        if keys:
            raise ModelError(f"{quote(model.name)}: {len(keys)} of its weights {fault} (first {quote(min(keys))})")


def load_processor(model: Model, folder: Path, config: Any) -> Any:
    """The checkpoint's processor, with what older checkpoints lack filled in from the model's config."""
    architecture = transformers.LlavaProcessor if config.model_type == "vipllava" else transformers.AutoProcessor
    try:
        # Left out, trust_remote_code would *ask* on the terminal whether to run a tokenizer's code.
        processor = architecture.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever foreign files bring transformers to raise
        raise ModelError(
            f"{quote(model.name)}: its processor can't be loaded, preprocessor_config.json and tokenizer.json must be "
            f"there and whole ({first_line(error)})"
        ) from error
    if is_llava(config):
        vision = config.vision_config
        has_cls = "clip" in vision.model_type
        fill = {
            "patch_size": getattr(vision, "patch_size", None),
            "vision_feature_select_strategy": getattr(config, "vision_feature_select_strategy", None) or "default",
        }
        for name, value in fill.items():
            if getattr(processor, name, None) is None:
                setattr(processor, name, value)
        if not processor.num_additional_image_tokens:
            processor.num_additional_image_tokens = 1 if has_cls else 0
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def first_line(error: BaseException) -> str:
    """The first line of a foreign error, made harmless; its class where it says nothing."""
    if "trust_remote_code" in str(error):
        return "it needs code of its own, which vip never runs"
    lines = str(error).strip().splitlines()
    return quote(lines[0].rstrip(" :."), 200) if lines else type(error).__name__


@contextmanager
def in_one_sentence(name: str, device: torch.device, failed: str) -> Iterator[None]:
    """Make a `ModelError` of whatever fails inside: a checkpoint is foreign data, and running it may raise anything."""
    try:
        yield
    except VipError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            full = device.type if isinstance(error, torch.OutOfMemoryError) else "cpu"
            advice = "try --load-in 4bit, --device-map auto or a smaller model"
            raise ModelError(f"{quote(name)}: out of memory on {full}; {advice}") from error
        raise ModelError(f"{quote(name)} {failed}: {first_line(error)}") from error
