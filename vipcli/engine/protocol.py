"""What every engine takes and gives: `Request`, `Token`, `Answer`, `Generation`, and the `Engine` protocol."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Generator, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from vipcli.errors import UsageError, VipError, quote

if TYPE_CHECKING:
    import numpy as np

    from vipcli.images import Fit
    from vipcli.prompt import Template

__all__ = ["Answer", "Engine", "Feed", "Finish", "Generation", "Job", "Request", "Result", "Token"]

Finish = Literal["stop", "length", "interrupted"]
"""Why an answer ended: by itself, at ``max_new_tokens``, or because the user stopped it."""


@dataclass(frozen=True, eq=False)
class Request:
    """One prompt about one picture.

    picture: (height, width, 3) uint8 RGB with its markers drawn; None for text alone.
    prompt: the rendered text, with ``<image>`` once where there is a picture.
    fit: how the picture becomes the model's square: pad, crop or stretch.
    stop: texts that end the answer and are never part of it.
    temperature: 0 is greedy; above, sampled with `top_p` (0..1] and `seed`.

    Raises `UsageError` for other values.
    """

    picture: np.ndarray | None
    prompt: str
    fit: Fit = "pad"
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, fine, wanted in (
            ("max_new_tokens", isinstance(self.max_new_tokens, int) and self.max_new_tokens >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature <= sys.float_info.max, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            (
                "seed",
                self.seed is None or (isinstance(self.seed, int) and 0 <= self.seed < 2**63),
                "from 0 to 2^63 - 1",
            ),
            ("fit", self.fit in ("pad", "crop", "stretch"), "pad, crop or stretch"),
        ):
            if not fine:
                raise UsageError(f"{name} must be {wanted}, got {quote(str(getattr(self, name)))}")


@dataclass(frozen=True)
class Token:
    """One decoded token: its `id`, and the `text` that became certain with it (whole characters, maybe none).

    `id` is None for text that was held back until the end, and for what a server sends, which has no ids. counts: how
    many tokens prompt and answer have, from an engine that learns them while it answers; they hold from here on.
    """

    id: int | None
    text: str
    counts: tuple[int, int] | None = None


@dataclass(frozen=True)
class Answer:
    """A finished answer.

    text: without stop texts and surrounding blanks.
    seconds: from when `Engine.stream` returned until the answer ended or, interrupted, its last token was known; a
    pause between taking tokens counts. seconds_to_first: until the first was known.
    """

    text: str
    finish: Finish
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    seconds_to_first: float | None


class Generation(Iterator[Token]):
    """A running answer: iterate over its tokens; `answer` is what came so far, complete once iteration ends.

    tokens: returns why it ended. began: when it was asked for, by `time.monotonic`; None: now. Stopping the iteration
    at any point (Ctrl-C included) leaves an answer that says ``interrupted``.
    """

    def __init__(self, tokens: Generator[Token, None, Finish], prompt_tokens: int, began: float | None = None) -> None:
        self._tokens = tokens
        self._prompt_tokens = prompt_tokens
        self._text: list[str] = []
        self._count = 0
        self._began = time.monotonic() if began is None else began
        self._seconds = 0.0
        self._seconds_to_first: float | None = None
        self._finish: Finish = "interrupted"

    def __next__(self) -> Token:
        try:
            token = next(self._tokens)
        except StopIteration as end:
            if end.value is not None:  # else it had ended before: by itself, or by an error
                self._finish = end.value
                self._seconds = time.monotonic() - self._began
            raise
        self._seconds = time.monotonic() - self._began
        if not self._text:
            self._seconds_to_first = self._seconds
        self._count += token.id is not None
        if token.counts is not None:
            self._prompt_tokens, self._count = token.counts
        if not any(self._text):  # what a model writes behind the prompt usually begins with a blank
            token = replace(token, text=token.text.lstrip())
        self._text.append(token.text)
        return token

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the prompt has, the picture's included; 0 until a server has said, if it does."""
        return self._prompt_tokens

    def close(self) -> None:
        """Stop here, for good; what came so far is the answer."""
        self._tokens.close()

    @property
    def answer(self) -> Answer:
        """What came so far."""
        return Answer(
            "".join(self._text).strip(),
            self._finish,
            self._prompt_tokens,
            self._count,
            self._seconds,
            self._seconds_to_first,
        )

    def finished(self) -> Answer:
        """Run to the end and return the answer."""
        for _ in self:
            pass
        return self.answer


@dataclass(frozen=True, eq=False)
class Job:
    """One request among many, and what its giver knows it by.

    said: called with each token as it becomes certain, the same that `Engine.stream` would give, where a model runs on
    this machine: in the thread that takes the results, so it must be quick. Returning False ends the answer there and
    then, as ``interrupted``, and makes room for another.
    """

    key: Hashable
    request: Request
    said: Callable[[Token], bool] | None = None


@dataclass(frozen=True)
class Result:
    """What became of a `Job`: its answer, or the error that it ended in."""

    key: Hashable
    answer: Answer | None
    error: VipError | None = None


class Feed(Protocol):
    """Where an engine that answers many requests takes them from, when it has room for one."""

    def take(self, wait: bool) -> Job | None:
        """The next job; None where none is ready or, having waited, none will come."""
        ...


class Engine(Protocol):
    """Something that answers. ``local`` runs a checkpoint here; others may ask a server."""

    name: str
    """What a user calls the model."""
    side: int | None
    """Pixels of the square that the model sees; None where the model takes pictures of any shape."""
    patch: int
    """Pixels of one patch of that square."""
    template: Template | None
    """The checkpoint's own chat template."""
    special_tokens: Collection[str]
    """What a user's text must not contain as such."""
    context: int | None
    """How many tokens prompt and answer may have together; None where that isn't known."""

    def stream(self, request: Request) -> Generation:
        """Start answering `request`. Raises `PromptError` where the prompt can't fit the context."""
        ...

    def answers(self, feed: Feed, at_once: int | None = None) -> Iterator[Result]:
        """Answer what `feed` gives, many at a time, each as soon as it is done; ends when nothing more comes.

        at_once: how many at a time; None: as many as there is room for. A request that fails is a result with an error;
        what would fail every request is raised.
        """
        ...

    def room(self, request: Request) -> int | None:
        """Tokens that an answer to `request` may have, less than one where its prompt is too long; None: unknown."""
        ...
