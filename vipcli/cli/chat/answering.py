"""Asking within a chat: the answer as it comes, Ctrl-C stops it, and a hint when the context is nearly full."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vipcli.cli import console
from vipcli.cli.chat.state import Chat
from vipcli.engine import Request
from vipcli.errors import PromptError

if TYPE_CHECKING:
    from vipcli.engine import Generation

__all__ = ["answer"]


def answer(chat: Chat, ask: Callable[[], Generation]) -> None:
    """Stream what `ask` starts. Ctrl-C keeps what came and, at a terminal, goes on with the chat."""
    try:
        generation = ask()
    except PromptError:
        _hint(chat)
        raise
    before = chat.session.exchanges
    try:
        console.stream_answer(generation, redraw=chat.redraw)
    except KeyboardInterrupt:
        if not chat.interactive:
            raise
        chat.say("stopped")
    finally:
        generation.close()
    if chat.verbose and chat.session.exchanges is not before:
        console.note(f"prompt: {chat.session.prompt()!r}")
        console.timings(generation.answer)
    if generation.answer.finish == "length":
        chat.say(_why_cut_off(chat, generation.answer.answer_tokens))
    _hint(chat)


def _why_cut_off(chat: Chat, tokens: int) -> str:
    """Why an answer ended after `tokens`, and what gives a longer one; none goes on where it ended."""
    limit = chat.session.settings.get("max_new_tokens", Request.max_new_tokens)
    if tokens < limit:
        return "the answer was cut off where the model's context ends"
    return f"the answer was cut off at max_new_tokens, {limit}; after /set max_new_tokens N, /retry gives a longer one"


def _hint(chat: Chat) -> None:
    full = chat.session.nearly_full()
    if full is not None and not chat.quiet:
        turns = len(chat.session.exchanges)
        console.note(f"vip: {full}: /drop N forgets the first N of {turns} turns, /clear all of them")
