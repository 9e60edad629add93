"""The way from a source to the model: items still to be asked, prepared ahead of it, handed out as requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vipcli.batch.items import BadItem, Item
from vipcli.batch.preparing import Facts, Prepared, prepare
from vipcli.batch.workers import Workers
from vipcli.engine import Feed, Job, Request, Result
from vipcli.errors import UsageError, VipError
from vipcli.prompt import Conversation, Turn, neutralise, render, stop_texts

if TYPE_CHECKING:
    from vipcli.prompt import Template

__all__ = ["Answering", "Feeder", "Ready", "request_of"]


class Speaks(Protocol):
    """What a prompt must know of a model; see `vipcli.engine.Engine`."""

    @property
    def special_tokens(self) -> Collection[str]:
        """What a user's text must not contain as such."""

    @property
    def template(self) -> Template | None:
        """The checkpoint's own chat template."""


class Answering(Speaks, Protocol):
    """What a job must know of what answers it; see `vipcli.engine.Engine`."""

    @property
    def name(self) -> str:
        """What a user calls the model."""

    def answers(self, feed: Feed, at_once: int | None = None) -> Iterator[Result]:
        """Answer what `feed` gives, many at a time."""


@dataclass(frozen=True, eq=False)
class Ready:
    """An item as it is asked: what was drawn, and the prompt."""

    item: Item
    prepared: Prepared
    prompt: str


class Feeder:
    """Hands an engine its requests; see `vipcli.engine.Feed`.

    items: what is to be asked. failed: called with an item and the sentence of what is wrong with it. system,
    prompt_style, options: of every request. ahead: how many items are prepared ahead of the model. waited: seconds for
    which the model had nothing to do, once it had begun.
    """

    def __init__(
        self,
        items: Iterator[Item],
        engine: Speaks,
        facts: Facts,
        workers: Workers,
        failed: Callable[[Item | BadItem, VipError], None],
        *,
        system: str | None,
        prompt_style: str,
        options: dict[str, Any],
        ahead: int,
    ) -> None:
        self._items, self._engine, self._facts = items, engine, facts
        self._workers, self._failed, self._ahead = workers, failed, ahead
        self._system, self._style, self._options = system, prompt_style, options
        self._begun = self._ended = False
        self.waited = 0.0

    def take(self, wait: bool) -> Job | None:
        """The next request; see `vipcli.engine.Feed`."""
        while True:
            self._prepare_ahead()
            began = time.monotonic()
            done = self._workers.get(wait)
            if wait and self._begun:
                self.waited += time.monotonic() - began
            if done is None:
                if not wait or (self._ended and not self._workers.busy):
                    break
                continue
            item, prepared = done
            try:
                if isinstance(prepared, VipError):
                    raise prepared
                job = self._job(item, prepared)
            except VipError as error:
                self._failed(item, error)
                continue
            self._begun = True
            return job
        return None

    def _prepare_ahead(self) -> None:
        while not self._ended and self._workers.busy < self._ahead:
            item = next(self._items, None)
            if item is None:
                self._ended = True
                return
            self._workers.put(item, prepare, item, self._facts)

    def _job(self, item: Item, prepared: Prepared) -> Job:
        request = request_of(item, prepared, self._engine, self._system, self._style, self._options)
        return Job(Ready(item, prepared, request.prompt), request)


def request_of(
    item: Item, prepared: Prepared, engine: Speaks, system: str | None, prompt_style: str, options: Mapping[str, Any]
) -> Request:
    """The request that asks `engine` about an item made ready. Raises `VipError` where it can't be one.

    system, prompt_style, options: see `vipcli.prompt.render` and `Request`; what the item has of its own goes first.
    """
    special = engine.special_tokens
    system = system if item.system is None else item.system
    turns = [Turn(neutralise(turn.question, special), neutralise(turn.answer or "", special)) for turn in item.turns]
    conversation = Conversation(
        (*turns, Turn(prepared.question)),
        None if system is None else neutralise(system, special),
        None if item.image is None else item.picture,
    )
    if not prepared.question:
        raise UsageError("the question is empty")
    prompt = render(conversation, prompt_style, engine.template)
    return Request(prepared.picture, prompt, stop=stop_texts(prompt), **{**options, **item.options})
