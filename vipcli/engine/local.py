"""The engine of a loaded checkpoint: ViP-LLaVA, or another image-text model of transformers' auto classes."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image

from vipcli.allocating import keep
from vipcli.engine.batching import answer_together, rows_that_fit
from vipcli.engine.catalog import SQUARE_SETTINGS, square_side
from vipcli.engine.checkpoint import first_line, in_one_sentence, is_llava
from vipcli.engine.decode import Writing, decode, sampler
from vipcli.engine.llama import LlamaText, Memory, fuse
from vipcli.engine.packing import pack_all
from vipcli.engine.processor import eos_of, image_tokens, special_tokens_of, template_of
from vipcli.engine.protocol import Feed, Finish, Generation, Request, Result, Token
from vipcli.engine.readers import PlainReader, Prompt, Reader, RememberingReader
from vipcli.engine.vision import Eyes, lookup, one_pass_activations
from vipcli.errors import ModelError, PromptError, VipError
from vipcli.images import Fit, fit
from vipcli.prompt import IMAGE

__all__ = ["LocalEngine"]


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
        self.side = square_side({name: getattr(its, name, None) for name in SQUARE_SETTINGS})
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
        # Many tokenizers write them; to Gemma 3 they say what a picture is, and a Llama refuses them.
        self._takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
        self.text: LlamaText | None = None
        self._lookup: Callable[[list[Any]], np.ndarray] | None = None
        if self.side and is_llava(model.config) and LlamaText.runs(model):
            self._lookup = lookup(its, self.side, **self._images_kwargs)
            fuse(model)
            one_pass_activations(model)
            pack_all(model)
            self.text = LlamaText(model)
            if self.text.small and model.device.type == "cpu":
                keep()
        self.eyes, self._memory = Eyes(model, self._pixels), Memory()
        self._last_square: tuple[np.ndarray, Fit, np.ndarray, bytes] | None = None
        self._last_prompt: tuple[Request, Prompt] | None = None
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
        with in_one_sentence(self.name, self.model.device, "can't answer"):
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
        self._last_prompt = self._last_square = None

    def prepare(self, request: Request) -> dict[str, torch.Tensor]:
        """The tensors of a request: ``input_ids`` (1, tokens), ``attention_mask``, ``pixel_values`` (1, 3, side, side).

        Raises `PromptError` where the prompt's placeholders don't go with the picture, and `ModelError` where a foreign
        processor fails.
        """
        picture, _ = self._square(request)
        return self._tensors(request.prompt, picture)

    def _prompt(self, request: Request) -> Prompt:
        """The tokens of a request, remembered as `_square` is: who asks for its `room` asks it next."""
        picture = request.picture
        if self._last_prompt is not None:
            last, prompt = self._last_prompt
            if last.picture is picture and (last.prompt, last.fit) == (request.prompt, request.fit):
                return prompt
        prompt = self._tokenized(request)
        # A foreign model's holds tensors of its device, and an array that can be written to may become another picture.
        keeps = self._image_tokens is not None and (picture is None or not picture.flags.writeable)
        self._last_prompt = (request, prompt) if keeps else None
        return prompt

    def _tokenized(self, request: Request) -> Prompt:
        """The tokens of a request, what the model may not have seen yet still to be made into tensors."""
        picture, digest = self._square(request)
        tensors = functools.cache(lambda: self._tensors(request.prompt, picture))
        if self._image_tokens is None or request.prompt.count(IMAGE) != (picture is not None):
            return Prompt(tensors()["input_ids"][0].tolist(), picture, digest, tensors)
        with in_one_sentence(self.name, self.model.device, "can't take this prompt"):
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
        with in_one_sentence(self.name, self.model.device, "can't take this prompt"):
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
                if isinstance(value, torch.Tensor) and (name != "token_type_ids" or self._takes_types)
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
        reader, failed = self._reader(), False
        try:
            with in_one_sentence(self.name, self.model.device, "can't answer"):
                return (
                    yield from decode(
                        reader.begin(prompt, request.max_new_tokens),
                        reader.read,
                        sampler(request.temperature, request.top_p, request.seed, self.model.device),
                        self.writing(request),
                    )
                )
        except ModelError:
            failed = True  # what was read may be numbers that overflowed, which the next prompt would meet
            raise
        finally:
            if isinstance(reader, RememberingReader) and not failed:
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
