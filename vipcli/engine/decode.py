"""The answer loop: one token at a time; whole characters out, stop texts held back.

The tokens are those of transformers' own ``generate`` (tests hold them equal); the loop is ours so that text streams as
it becomes certain and stopping costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any

import torch

from vipcli.engine.protocol import Finish, Token
from vipcli.errors import ModelError

__all__ = ["StopFilter", "TextStream", "decode", "sampler"]

_COLDEST = 1e-5  # below this temperature, dividing by it overflows and sampling is greedy anyway


def decode(
    logits: torch.Tensor,
    read: Callable[[int], torch.Tensor],
    pick: Callable[[torch.Tensor], torch.Tensor],
    to_text: Callable[[list[int]], str],
    eos: Collection[int],
    stop: tuple[str, ...],
    max_new_tokens: int,
) -> Generator[Token, None, Finish]:
    """Yield tokens until the model or a stop text ends the answer; returns why (`Finish`).

    logits: (1, vocabulary), of the first token. read: token id -> logits of the next. pick: logits -> token id (1,).
    eos: ids that end the answer. Raises `ModelError` where the numbers overflow.
    """
    stream = TextStream(to_text)
    held = StopFilter(stop)
    for count in range(1, max_new_tokens + 1):
        picked = pick(logits.float())
        # The one moment that waits for the device: streaming needs the number, and overflow shows as the largest logit.
        number, largest = torch.stack([picked[0].double(), logits[0, picked[0]].double()]).tolist()
        number = int(number)
        if math.isnan(largest):
            raise ModelError(f"the model's numbers overflow ({logits.dtype}); try --dtype float32 or bfloat16")
        if number in eos:
            yield from _flush(held.finish(stream.finish()))
            return "stop"
        text = held.feed(stream.feed(number))
        yield Token(number, text)
        if held.stopped:
            return "stop"
        if count < max_new_tokens:
            logits = read(number)
    yield from _flush(held.finish(stream.finish()))
    return "length"


def _flush(text: str) -> Iterator[Token]:
    """What was held back until the end, as a token without an id."""
    if text:
        yield Token(None, text)


def sampler(temperature: float, top_p: float, seed: int | None, device: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return ``pick(logits) -> next id``: the most likely token at temperature 0, else a sampled one.

    The warping is transformers' own (`TemperatureLogitsWarper`, `TopPLogitsWarper`), in the order of ``generate``.
    """
    if temperature < _COLDEST:
        return lambda logits: logits.argmax(dim=-1)
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
