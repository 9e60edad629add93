"""A checkpoint on this machine, loaded with transformers: ViP-LLaVA, or another image-text model of its auto classes.

Weights are safetensors only; code that comes with a checkpoint is never run.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors import safe_open

from vipcli.allocating import keep
from vipcli.engine.batching import answer_together, rows_that_fit
from vipcli.engine.catalog import Model, input_square, located, square_side, weight_files
from vipcli.engine.checkpoint import (
    check_complete,
    first_line,
    is_llava,
    load_processor,
    model_class,
    read_config,
    weigh,
)
from vipcli.engine.decode import Writing, decode, sampler
from vipcli.engine.devices import Placement, choose_device, place
from vipcli.engine.llama import LlamaText, Memory, fuse_small
from vipcli.engine.packing import pack_all
from vipcli.engine.protocol import Feed, Finish, Generation, Request, Result, Token
from vipcli.engine.readers import PlainReader, Prompt, Reader, RememberingReader
from vipcli.engine.vision import Eyes, lookup, one_pass_activations, trim_tower
from vipcli.errors import MissingExtra, ModelError, PromptError, UsageError, VipError, quote
from vipcli.images import Fit, fit
from vipcli.prompt import IMAGE, Template

__all__ = ["LocalEngine", "Outline", "eos_of", "image_tokens", "load", "outline", "special_tokens_of", "template_of"]


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
    with _in_one_sentence(model.name, torch.device("cpu"), "can't be read"):
        processor = load_processor(model, folder, read_config(model, folder))
        square = input_square(model)
        side, patch = (None, 14) if square is None else (square.side, square.patch)
        return Outline(model.name, side, patch, template_of(processor), special_tokens_of(processor.tokenizer))


class LocalEngine:
    """A loaded checkpoint; see `vipcli.engine.protocol.Engine` for its attributes.

    model: the transformers model, in eval mode; processor: its processor, complete. text: the text model by itself,
    where it is one that vip runs itself (`LlamaText`). eos: the ids that end an answer.
    """

    def __init__(self, name: str, model: Any, processor: Any) -> None:
        self.name = name
        self.model = model
        self.processor = processor
        its = getattr(processor, "image_processor", None)
        self.side = square_side({name: getattr(its, name, None) for name in ("crop_size", "size")})
        # A picture that was fitted goes in as it is: some processors would enlarge it and cut its edges off.
        undone = ("do_resize", "do_center_crop") if self.side else ()
        self._images_kwargs = {name: False for name in undone if getattr(its, name, None)}
        patch = getattr(getattr(model.config, "vision_config", None), "patch_size", None)
        self.patch = patch if isinstance(patch, int) else 14
        self.template = template_of(processor)
        self.special_tokens: Collection[str] = special_tokens_of(processor.tokenizer)
        room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.context: int | None = room or None
        self.eos = eos_of(model.generation_config, model.config)
        self.text: LlamaText | None = None
        self._lookup: Callable[[list[Any]], np.ndarray] | None = None
        if self.side and is_llava(model.config) and LlamaText.runs(model):
            self._lookup = lookup(its, self.side, **self._images_kwargs)
            fuse_small(model)
            one_pass_activations(model)
            pack_all(model)
            self.text = LlamaText(model)
            if self.text.small and model.device.type == "cpu":
                keep()
        self.eyes, self._memory = Eyes(model, self._pixels), Memory()
        self._last_square: tuple[np.ndarray, Fit, np.ndarray, bytes] | None = None
        self._image_tokens = None if self.text is None else image_tokens(processor, self.side)

    def stream(self, request: Request) -> Generation:
        """Start answering `request`; see `vipcli.engine.protocol.Engine`."""
        prompt = self.prompt_of(request)
        return Generation(self._decode(request, prompt), len(prompt.ids))

    def room(self, request: Request) -> int | None:
        """How many tokens an answer to `request` may have; see `vipcli.engine.protocol.Engine`."""
        return None if self.context is None else self.context - len(self._prompt(request).ids)

    def prompt_of(self, request: Request) -> Prompt:
        """The prompt of `request` as the model reads it. Raises `PromptError` where the context has no room for it."""
        prompt = self._prompt(request)
        self._check_length(len(prompt.ids), request.max_new_tokens)
        return prompt

    def answers(self, feed: Feed, at_once: int | None = None) -> Iterator[Result]:
        """Answer many requests; see `vipcli.engine.protocol.Engine`.

        A model whose text part vip doesn't run itself (`LlamaText`) answers them one after the other.
        """
        with _in_one_sentence(self.name, self.model.device, "can't answer"):
            if self.text is None:
                yield from self._one_by_one(feed)
            else:
                yield from answer_together(self, feed, at_once)

    def _one_by_one(self, feed: Feed) -> Iterator[Result]:
        while (job := feed.take(wait=True)) is not None:
            try:
                running = self.stream(job.request)
                for token in running:
                    if job.said is not None and not job.said(token):
                        running.close()
                yield Result(job.key, running.answer)
            except VipError as error:
                yield Result(job.key, None, error)

    @property
    def rows(self) -> int:
        """How many requests `answers` answers at a time by itself."""
        return 1 if self.text is None else rows_that_fit(self)

    def forget(self) -> None:
        """Forget what was read and seen, as if nothing had been asked yet."""
        self.eyes.forget()
        self._memory = Memory()

    def prepare(self, request: Request) -> dict[str, torch.Tensor]:
        """The tensors of a request: ``input_ids`` (1, tokens), ``attention_mask``, ``pixel_values`` (1, 3, side, side).

        Raises `PromptError` where the prompt's placeholders don't go with the picture, and `ModelError` where a foreign
        processor fails.
        """
        picture, _ = self._square(request)
        return self._tensors(request.prompt, picture)

    def _prompt(self, request: Request) -> Prompt:
        """The tokens of a request, what the model may not have seen yet still to be made into tensors."""
        picture, digest = self._square(request)
        tensors = functools.cache(lambda: self._tensors(request.prompt, picture))
        if self._image_tokens is None or request.prompt.count(IMAGE) != (picture is not None):
            return Prompt(tensors()["input_ids"][0].tolist(), picture, digest, tensors)
        with _in_one_sentence(self.name, self.model.device, "can't take this prompt"):
            expanded = request.prompt.replace(IMAGE, IMAGE * self._image_tokens)
            ids = self.processor.tokenizer(expanded, add_special_tokens=not self._has_bos(expanded))["input_ids"]
        return Prompt(ids, picture, digest, tensors)

    def _square(self, request: Request) -> tuple[Any, bytes | None]:
        """A request's picture as the model gets it, and a digest of its pixels.

        Remembered for the next question where nobody can have changed the picture since.
        """
        if request.picture is None:
            return None, None
        last = self._last_square
        if last is None or last[0] is not request.picture or last[1] != request.fit:
            square = self.seen(request.picture, request.fit)
            digest = hashlib.blake2b(square.tobytes(), digest_size=16).digest()
            last = (request.picture, request.fit, square, digest)
            self._last_square = None if request.picture.flags.writeable else last
        return last[2:]

    def _tensors(self, prompt: str, picture: Any) -> dict[str, torch.Tensor]:
        with _in_one_sentence(self.name, self.model.device, "can't take this prompt"):
            try:
                batch = self.processor(
                    text=prompt,
                    images=None if picture is None else Image.fromarray(picture),
                    return_tensors="pt",
                    truncation=False,
                    add_special_tokens=not self._has_bos(prompt),
                    images_kwargs=self._images_kwargs,
                )
            except ValueError as error:
                raise PromptError(f"the prompt doesn't go with the picture: {first_line(error)}") from error
            return {
                name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
                for name, value in batch.items()
                if isinstance(value, torch.Tensor) and name != "token_type_ids"
            }

    def _pixels(self, squares: list[Any]) -> torch.Tensor:
        """Pictures as the model gets them -> ``pixel_values``."""
        if self._lookup is not None:
            return torch.from_numpy(self._lookup(squares)).to(self.model.device, self.model.dtype)
        pictures = [Image.fromarray(square) for square in squares]
        batch = self.processor.image_processor(images=pictures, return_tensors="pt", **self._images_kwargs)
        return batch["pixel_values"].to(self.model.device, self.model.dtype)

    def _has_bos(self, prompt: str) -> bool:
        """Whether a chat template has written the beginning token already, which some tokenizers add."""
        bos = self.processor.tokenizer.bos_token
        return bool(bos) and prompt.startswith(bos)

    def seen(self, picture: Any, mode: Fit) -> Any:
        """`picture` as the model gets it, before its colours are normalised: (side, side, 3) uint8."""
        return picture if self.side is None else fit(picture, self.side, mode).picture

    def _check_length(self, prompt: int, answer: int) -> None:
        if self.context and prompt + answer > self.context:
            over = prompt + answer - self.context
            raise PromptError(
                f"the prompt has {prompt} tokens and the answer may take {answer}: {over} too many for this model's "
                f"context of {self.context}; shorten the question or lower --max-new-tokens"
            )

    def _decode(self, request: Request, prompt: Prompt) -> Generator[Token, None, Finish]:
        reader = self._reader()
        try:
            with _in_one_sentence(self.name, self.model.device, "can't answer"):
                return (
                    yield from decode(
                        reader.begin(prompt, request.max_new_tokens),
                        reader.read,
                        sampler(request.temperature, request.top_p, request.seed, self.model.device),
                        self.writing(request),
                    )
                )
        finally:
            if isinstance(reader, RememberingReader):
                self._memory = reader.memory

    def writing(self, request: Request) -> Writing:
        """The answer to `request`, before its first token."""
        tokenizer = self.processor.tokenizer
        return Writing(
            lambda ids: tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            self.eos,
            request.stop,
            request.max_new_tokens,
        )

    def _reader(self) -> Reader:
        """What reads one prompt and its answer. It is given what was read last; of two at a time, one starts anew."""
        if self.text is None:
            return PlainReader(self.model)
        memory, self._memory = self._memory, Memory()
        return RememberingReader(self.model, self.text, self.eyes, memory)


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
    with _in_one_sentence(model.name, target, "can't be loaded"):
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
            options["quantization_config"] = _quantization(load_in, placement.dtype)
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


@contextmanager
def _in_one_sentence(name: str, device: torch.device, failed: str) -> Iterator[None]:
    """Make a `ModelError` of whatever fails inside: a checkpoint is foreign data, and running it may raise anything."""
    try:
        yield
    except VipError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        full = "cpu" if isinstance(error, MemoryError) else device.type
        raise ModelError(
            f"{quote(name)}: out of memory on {full}; try --load-in 4bit, --device-map auto or a smaller model"
        ) from error
    except Exception as error:
        raise ModelError(f"{quote(name)} {failed}: {first_line(error)}") from error


def _check_memory(model: Model, placement: Placement) -> None:
    if not placement.fits:
        needed, free = placement.needed / 1e9, placement.free / 1e9
        raise ModelError(
            f"{quote(model.name)} needs {needed:.1f} GB of memory on {placement.device.type} and {free:.1f} GB are "
            "free; try --load-in 4bit or --device-map auto"
        )


def _quantization(load_in: str, kind: torch.dtype) -> Any:
    if load_in not in ("8bit", "4bit"):
        raise UsageError(f"--load-in {quote(load_in)}: use 8bit or 4bit")
    import importlib.util

    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra(f"--load-in {load_in}", "bitsandbytes")
    if load_in == "8bit":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=kind)


def template_of(processor: Any) -> Template | None:
    """The chat template of a processor as a function of messages; None where it has none."""
    if not getattr(processor, "chat_template", None):
        return None
    return lambda messages: processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def special_tokens_of(tokenizer: Any) -> frozenset[str]:
    """What a text must not have in it as it is: the tokenizer would make one token of it that means something else."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return frozenset([*tokenizer.all_special_tokens, *(token.content for token in added), IMAGE])


def image_tokens(processor: Any, side: int | None) -> int | None:
    """How many image tokens the processor of a LLaVA makes of one picture; None for another's processor."""
    if side is None or type(processor).__name__ != "LlavaProcessor":
        return None
    dropped = processor.vision_feature_select_strategy == "default"
    return (side // processor.patch_size) ** 2 + processor.num_additional_image_tokens - dropped


def eos_of(generation_config: Any, config: Any) -> frozenset[int]:
    """The ids that end an answer, by a checkpoint's generation config (None: it has none) or else by its config."""
    eos = getattr(generation_config, "eos_token_id", None)
    if eos is None:
        eos = config.get_text_config().eos_token_id
    return frozenset(eos if isinstance(eos, list) else [] if eos is None else [eos])
