"""A checkpoint on this machine, loaded with transformers: ViP-LLaVA, or another image-text model of its auto classes.

Weights are safetensors only; code that comes with a checkpoint is never run.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

from vipcli.engine.catalog import Model, located
from vipcli.engine.decode import decode, sampler
from vipcli.engine.protocol import Finish, Generation, Request, Token
from vipcli.errors import MissingExtra, ModelError, PromptError, UsageError, quote
from vipcli.images import Fit, fit
from vipcli.prompt import IMAGE, Template

__all__ = ["LocalEngine", "load", "memory_of_devices"]

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # what loading converts, in safetensors' names: bytes of a number
_MAX_HEADER = 100_000_000  # bytes; safetensors' own limit
_BROKEN_JSON = (ValueError, LookupError, AttributeError, TypeError, RecursionError)  # what reading foreign JSON raises
_MEASURE_FROM = 1_000_000_000  # bytes of weights from which it pays to ask a CPU how fast it is in bf16


class LocalEngine:
    """A loaded checkpoint; see `vipcli.engine.protocol.Engine` for its attributes.

    model: the transformers model, in eval mode; processor: its processor, complete.
    """

    def __init__(self, name: str, model: Any, processor: Any) -> None:
        self.name = name
        self.model = model
        self.processor = processor
        self.side = _side(processor)
        self.patch = int(getattr(getattr(model.config, "vision_config", None), "patch_size", None) or 14)
        self.template = _template(processor)
        self.special_tokens: Collection[str] = _special_tokens(processor.tokenizer)
        self._eos = _eos(model)

    def stream(self, request: Request) -> Generation:
        """Start answering `request`; see `vipcli.engine.protocol.Engine`."""
        inputs = self.prepare(request)
        count = inputs["input_ids"].shape[1]
        return Generation(self._decode(request, inputs), count)

    def prepare(self, request: Request) -> dict[str, torch.Tensor]:
        """The tensors of a request: ``input_ids`` (1, tokens), ``attention_mask``, ``pixel_values`` (1, 3, side, side).

        Raises `PromptError` where prompt and answer don't fit the context, or the prompt's placeholders the picture.
        """
        images = None
        if request.picture is not None:
            images = Image.fromarray(self.seen(request.picture, request.fit))
        # Some tokenizers add a beginning token; a chat template may have written it already.
        bos = self.processor.tokenizer.bos_token
        doubled = bool(bos) and request.prompt.startswith(bos)
        try:
            batch = self.processor(
                text=request.prompt,
                images=images,
                return_tensors="pt",
                truncation=False,
                add_special_tokens=not doubled,
            )
        except ValueError as error:
            raise PromptError(f"the prompt doesn't go with the picture: {_first_line(error)}") from error
        inputs: dict[str, torch.Tensor] = {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in batch.items()
            if isinstance(value, torch.Tensor) and name != "token_type_ids"
        }
        self._check_length(inputs["input_ids"].shape[1], request.max_new_tokens)
        return inputs

    def seen(self, picture: Any, mode: Fit) -> Any:
        """`picture` as the model gets it, before its colours are normalised: (side, side, 3) uint8."""
        return picture if self.side is None else fit(picture, self.side, mode).picture

    def _check_length(self, prompt: int, answer: int) -> None:
        text_config = self.model.config.get_text_config()
        room = getattr(text_config, "max_position_embeddings", None)
        if room and prompt + answer > room:
            over = prompt + answer - room
            raise PromptError(
                f"the prompt has {prompt} tokens and the answer may take {answer}: {over} too many for this model's "
                f"context of {room}; shorten the question or lower --max-new-tokens"
            )

    def _decode(self, request: Request, inputs: dict[str, torch.Tensor]) -> Generator[Token, None, Finish]:
        tokenizer = self.processor.tokenizer
        try:
            return (
                yield from decode(
                    self.model,
                    inputs,
                    sampler(request.temperature, request.top_p, request.seed, self.model.device),
                    lambda ids: tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
                    self._eos,
                    request.stop,
                    request.max_new_tokens,
                )
            )
        except torch.OutOfMemoryError as error:
            raise ModelError(f"{quote(self.name)}: {_out_of_memory(self.model.device)}") from error
        except (RuntimeError, ValueError, LookupError) as error:  # weights and config are foreign: running may fail
            raise ModelError(f"{quote(self.name)} can't answer: {_first_line(error)}") from error


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
    load_in: 8bit or 4bit (bitsandbytes, extra ``quant``). Raises `ModelError`, `UsageError` or `MissingExtra`.
    """
    if device_map not in (None, "auto"):
        raise UsageError(f"--device-map {quote(device_map)}: only auto is known")
    target = _device(device)
    folder = located(model)
    if folder is None:
        size = f" ({model.gigabytes:g} GB)" if model.gigabytes else ""
        raise ModelError(f"{quote(model.name)} isn't on this machine{size}; get it with: vip models pull {model.name}")
    config = _config(model, folder)
    architecture = _class(config)
    weights = _check_weights(model, folder)
    kind = _dtype(dtype, target, sum(weights.values()))
    options: dict[str, Any] = {
        "dtype": kind,
        "use_safetensors": True,
        "local_files_only": True,
        "trust_remote_code": False,
        "config": config,
        # What is missing or of another shape would be made up at random: better said than asked.
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,
    }
    if load_in is not None:
        options["quantization_config"] = _quantization(load_in, kind)
    if device_map is not None or load_in is not None or target.type != "cpu":
        options["device_map"] = device_map or {"": target}
    if device_map is None and load_in is None:
        _check_memory(model, target, _bytes_as(weights, kind))
    processor = _processor(model, folder, config)
    try:
        loaded, report = architecture.from_pretrained(folder, **options)
    except torch.OutOfMemoryError as error:
        raise ModelError(f"{quote(model.name)}: {_out_of_memory(target)}") from error
    except MemoryError as error:
        raise ModelError(f"{quote(model.name)}: {_out_of_memory(torch.device('cpu'))}") from error
    except Exception as error:  # a checkpoint is foreign data: loading may raise anything
        raise ModelError(f"{quote(model.name)} can't be loaded: {_first_line(error)}") from error
    _check_complete(model, report)
    return LocalEngine(model.name, loaded.eval(), processor)


def memory_of_devices() -> dict[str, int]:
    """Bytes that each device could hold: the whole memory of GPUs, what is available of the host's."""
    result = {"cpu": _host_memory()}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        result[f"cuda:{index}"] = torch.cuda.get_device_properties(index).total_memory
    return result


def _device(name: str) -> torch.device:
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


def _dtype(name: str, device: torch.device, weights: int) -> torch.dtype:
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


def _config(model: Model, folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{quote(str(folder))} holds no model: it has no config.json")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{quote(model.name)}: its config.json can't be read: {_first_line(error)}") from None
    except Exception as error:  # whatever a foreign config brings transformers to raise
        raise ModelError(f"{quote(model.name)} can't be loaded: {_first_line(error)}") from error


def _class(config: Any) -> Any:
    """The class that runs this architecture: ViP-LLaVA's own, or transformers' auto class for image-text models."""
    if config.model_type == "vipllava":
        return transformers.VipLlavaForConditionalGeneration
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if config.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise ModelError(f"a {quote(config.model_type)} model doesn't answer questions about pictures")
    return transformers.AutoModelForImageTextToText


def _check_weights(model: Model, folder: Path) -> Counter[str]:
    """Bytes of the weights by dtype (safetensors' names); raises where files are missing, pickled or cut short."""
    shown = quote(model.name)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted({str(name) for name in json.loads(index.read_text("utf-8"))["weight_map"].values()})
        except _BROKEN_JSON:
            names = []
        if not names:
            raise ModelError(f"{shown}: its {index.name} can't be read; fetch the checkpoint again")
    else:
        names = ["model.safetensors"]
    missing = [name for name in names if not os.path.isfile(folder / name)]
    if missing and index.is_file():
        raise ModelError(
            f"{shown}: {len(missing)} of {len(names)} weight files are missing (first {quote(missing[0])}); "
            "fetch the checkpoint again, it goes on where it stopped"
        )
    if missing:
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
            raise ModelError(f"{shown}: its weights are pickled, which can run code; vip loads safetensors only")
        raise ModelError(f"{shown}: it has no model.safetensors")
    return sum((_check_whole(shown, folder / name) for name in names), Counter())


def _check_whole(shown: str, file: Path) -> Counter[str]:
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


def _check_complete(model: Model, report: dict[str, Any]) -> None:
    """Hold what was loaded against what the architecture has: a weight that isn't there would be random."""
    for fault, keys in (
        ("are missing from its files", report["missing_keys"]),
        ("don't have the shape that its config.json says", [key for key, *_ in report["mismatched_keys"]]),
    ):
        if keys:
            raise ModelError(f"{quote(model.name)}: {len(keys)} of its weights {fault} (first {quote(min(keys))})")


def _bytes_as(weights: Counter[str], kind: torch.dtype) -> int:
    """How many bytes the weights take in `kind`; what is stored in 8 bits or fewer (quantized) stays as it is."""
    return sum(size * kind.itemsize // _FLOATS.get(dtype, kind.itemsize) for dtype, size in weights.items())


def _check_memory(model: Model, device: torch.device, needed: int) -> None:
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _host_memory()
    if needed > free:
        raise ModelError(
            f"{quote(model.name)} needs {needed / 1e9:.1f} GB of memory on {device.type} and {free / 1e9:.1f} GB are "
            "free; try --load-in 4bit or --device-map auto"
        )


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


def _out_of_memory(device: torch.device) -> str:
    return f"out of memory on {device.type}; try --load-in 4bit, --device-map auto or a smaller model"


def _quantization(load_in: str, kind: torch.dtype) -> Any:
    if load_in not in ("8bit", "4bit"):
        raise UsageError(f"--load-in {quote(load_in)}: use 8bit or 4bit")
    import importlib.util

    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra(f"--load-in {load_in} needs bitsandbytes", "quant")
    if load_in == "8bit":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=kind)


def _processor(model: Model, folder: Path, config: Any) -> Any:
    """The checkpoint's processor, with what older checkpoints lack filled in from the model's config."""
    architecture = transformers.LlavaProcessor if config.model_type == "vipllava" else transformers.AutoProcessor
    try:
        # Left out, trust_remote_code would *ask* on the terminal whether to run a tokenizer's code.
        processor = architecture.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever foreign files bring transformers to raise
        raise ModelError(
            f"{quote(model.name)}: its processor can't be loaded, preprocessor_config.json and tokenizer.json must be "
            f"there and whole ({_first_line(error)})"
        ) from error
    if config.model_type in ("vipllava", "llava"):
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


def _side(processor: Any) -> int | None:
    """The side of the square that the image processor cuts out, or None where it takes any shape."""
    its = getattr(processor, "image_processor", None)
    crop = getattr(its, "crop_size", None) or getattr(its, "size", None) or {}
    crop = crop if isinstance(crop, dict) else vars(crop)
    height, width = crop.get("height"), crop.get("width")
    return int(height) if height and height == width else None


def _template(processor: Any) -> Template | None:
    if not getattr(processor, "chat_template", None):
        return None
    return lambda messages: processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def _special_tokens(tokenizer: Any) -> frozenset[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return frozenset([*tokenizer.all_special_tokens, *(token.content for token in added), IMAGE])


def _eos(model: Any) -> frozenset[int]:
    eos = model.generation_config.eos_token_id
    if eos is None:
        eos = model.config.get_text_config().eos_token_id
    return frozenset(eos if isinstance(eos, list) else [] if eos is None else [eos])


def _first_line(error: BaseException) -> str:
    """The first line of a foreign error, made harmless; its class where it says nothing."""
    if "trust_remote_code" in str(error):
        return "it needs code of its own, which vip never runs"
    lines = str(error).strip().splitlines()
    return quote(lines[0].rstrip(" :."), 200) if lines else type(error).__name__
