"""The answer loop: one token at a time; whole characters out, stop texts held back.

The tokens are those of transformers' own ``generate`` (tests hold them equal); the loop is ours so that text streams as
it becomes certain and stopping costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import Any

import torch

from vipcli.engine.protocol import Finish, Token
from vipcli.errors import ModelError

__all__ = ["StopFilter", "TextStream", "Writing", "decode", "greedy", "overflow", "picked", "sampler"]

_COLDEST = 1e-5  # below this temperature, dividing by it overflows and sampling is greedy anyway


class Writing:
    """An answer while it is written: ids go in, text comes out as it becomes certain, and at some point it has ended.

    to_text: ids -> text. eos: ids that end it. stop: texts that end it and are no part of it. finish: why it ended;
    None while it goes on.
    """

    def __init__(
        self, to_text: Callable[[list[int]], str], eos: Collection[int], stop: tuple[str, ...], max_new_tokens: int
    ) -> None:
        self._stream, self._held = TextStream(to_text), StopFilter(stop)
        self._eos, self._left = eos, max_new_tokens
        self.finish: Finish | None = None

    def add(self, number: int) -> Iterator[Token]:
        """Add the id that the model picked; yields it as a token, and what was held back where it is the last."""
        if number in self._eos:
            self.finish = "stop"
            yield from self._rest()
            return
        self._left -= 1
        text = self._held.feed(self._stream.feed(number))
        self.finish = "stop" if self._held.stopped else None if self._left else "length"
        yield Token(number, text)
        if self.finish == "length":
            yield from self._rest()

    def _rest(self) -> Iterator[Token]:
        """What was held back until the end, as a token without an id."""
        if text := self._held.finish(self._stream.finish()):
            yield Token(None, text)


def decode(
    logits: torch.Tensor,
    read: Callable[[int], torch.Tensor],
    pick: Callable[[torch.Tensor], torch.Tensor],
    writing: Writing,
) -> Generator[Token, None, Finish]:
    """Yield tokens until the answer has ended; returns why (`Finish`).

    logits: (1, vocabulary), of the first token. read: token id -> logits of the next. pick: logits -> token id (1,).
    Raises `ModelError` where the numbers overflow.
    """
    while True:
        (number,) = picked(logits, [pick])
        if number is None:
            raise overflow(logits.dtype)
        yield from writing.add(number)
        if writing.finish:
            return writing.finish
        logits = read(number)


def picked(logits: torch.Tensor, picks: Sequence[Callable[[torch.Tensor], torch.Tensor]]) -> list[int | None]:
    """The next id of each row of `logits` (rows, vocabulary), each by its own ``pick``; None where a row overflows."""
    if all(pick is greedy for pick in picks):
        ids = greedy(logits.float())
    else:
        numbers = logits.nan_to_num(0.0).float()  # nothing can be drawn from what is no number
        ids = torch.cat([pick(row[None]) for pick, row in zip(picks, numbers, strict=True)])
    # The one moment that waits for the device: streaming needs the number, and overflow shows as the largest logit.
    largest = logits.amax(dim=1)  # no number, where one of them is none
    chosen, heights = torch.stack([ids.float(), largest.float()]).tolist()  # exact to 2^24; MPS has no float64
    return [None if math.isnan(height) else int(one) for one, height in zip(chosen, heights, strict=True)]


def overflow(kind: torch.dtype) -> ModelError:
    """What to say of logits that are no numbers, computed in `kind`."""
    return ModelError(f"the model's numbers overflow ({kind}); try --dtype float32 or bfloat16")


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """The most likely id of each row."""
    return logits.argmax(dim=-1)


def sampler(temperature: float, top_p: float, seed: int | None, device: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return ``pick(logits) -> next id``: the most likely token at temperature 0, else a sampled one.

    The warping is transformers' own (`TemperatureLogitsWarper`, `TopPLogitsWarper`), in the order of ``generate``.
    """
    if temperature < _COLDEST:
        return greedy
    from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

    warpers: list[Any] = [TemperatureLogitsWarper(float(temperature))]  # it refuses integers
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)

    def pick(logits: torch.Tensor) -> torch.Tensor:
        for warper in warpers:
            logits = warper(None, logits)  # neither looks at the tokens before
        return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[:, 0]

    return pick


class TextStream:
    """Token ids to text, as soon as it is certain: whole characters only.

    Decodes a short window, not the whole answer, at each token; the window starts a little early because a tokenizer
    may drop the blank before a first word.
    """

    def __init__(self, to_text: Callable[[list[int]], str]) -> None:
        self._to_text = to_text
        self._ids: list[int] = []
        self._start = self._read = 0

    def feed(self, number: int) -> str:
        """Add a token; return the text that became certain with it."""
        self._ids.append(number)
        known, text = self._window()
        if len(text) <= len(known) or text.endswith("\ufffd"):  # in the middle of a character
            return ""
        self._start, self._read = self._read, len(self._ids)
        return text[len(known) :]

    def finish(self) -> str:
        """Whatever is left when no token follows, half a character included (as U+FFFD)."""
        known, text = self._window()
        self._start = self._read = len(self._ids)
        return text[len(known) :]

    def _window(self) -> tuple[str, str]:
        return self._to_text(self._ids[self._start : self._read]), self._to_text(self._ids[self._start :])


class StopFilter:
    """Text through, but for stop texts: one ends it and is cut off; what could become one is held back."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Return what of `text`, and of what was held, is certain to belong to the answer."""
        self._held += text
        found = [(at + len(stop), at) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            _, at = min(found)  # whose end comes first, so that it doesn't matter in what pieces the text comes
            result, self._held = self._held[:at], ""
            return result
        keep = max((self._overlap(stop) for stop in self._stop), default=0)
        cut = len(self._held) - keep
        result, self._held = self._held[:cut], self._held[cut:]
        return result

    def finish(self, text: str) -> str:
        """Return the rest: `text` and what was held, which has become no stop text."""
        result = self.feed(text)
        held, self._held = self._held, ""
        return result if self.stopped else result + held

    def _overlap(self, stop: str) -> int:
        """How many characters at the end of what is held begin `stop`."""
        for length in range(min(len(stop) - 1, len(self._held)), 0, -1):
            if self._held.endswith(stop[:length]):
                return length
        return 0
