"""The commands on the conversation itself: its turns, its settings, its transcripts."""

from __future__ import annotations

import re
from dataclasses import fields

from vipcli.chat import SETTINGS, load_transcript, save_transcript
from vipcli.cli import console
from vipcli.cli.chat.answering import answer
from vipcli.cli.chat.editor import edited
from vipcli.cli.chat.state import Chat, replacing, typed_path
from vipcli.engine import Request
from vipcli.errors import UsageError, quote

__all__ = ["change", "clear", "drop", "edit", "export", "load", "prompt", "retry", "system"]


def prompt(chat: Chat, question: str) -> None:
    """Show exactly what the model got, or would get."""
    if not question and not chat.session.exchanges:
        raise UsageError("nothing has been asked yet; /prompt QUESTION shows what the model would get")
    console.lines(chat.session.prompt(question))


def retry(chat: Chat, _: str) -> None:
    """Ask the last question again."""
    answer(chat, chat.session.retry)


def edit(chat: Chat, _: str) -> None:
    """Ask the last question in other words, in place of it."""
    before = chat.session.last_question()
    if not chat.interactive:
        raise UsageError("/edit needs a terminal to edit in")
    question = edited(before)
    if question in ("", before):
        chat.say("nothing was changed, so nothing is asked; /retry asks it again")
        return
    answer(chat, lambda: chat.session.ask_instead(question))


def clear(chat: Chat, _: str) -> None:
    """Forget all turns."""
    gone = chat.session.forget()
    chat.say(f"{_turns(gone)} forgotten; the picture and its markers stay")


def drop(chat: Chat, text: str) -> None:
    """Forget the first turns."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError(f"/drop {quote(text)}: write how many of the first turns to forget: /drop 2")
    gone = chat.session.forget(int(text))
    chat.say(f"{_turns(gone)} forgotten, {len(chat.session.exchanges)} left")


def system(chat: Chat, text: str) -> None:
    """Show or change the system line."""
    session = chat.session
    if text:
        session.system = None if text == "default" else text
    else:
        console.lines("default: the prompt style's own" if session.system is None else session.system)


def change(chat: Chat, text: str) -> None:
    """List the settings, or change one."""
    name, _, value = text.partition(" ")
    name = name.replace("-", "_")
    if text and not value:
        raise UsageError(f"/set {quote(text)}: write the setting and its value: /set temperature 0.7")
    if text:
        chat.session.set(name, value.strip())
        return
    defaults = {field.name: field.default for field in fields(Request)}
    for name in SETTINGS:
        console.line(f"{name} {chat.session.settings.get(name, defaults[name])}")


def export(chat: Chat, text: str) -> None:
    """Write a transcript."""
    path = typed_path(text)
    confirmation = f"{_turns(len(chat.session.exchanges))} written to {quote(path)}{replacing(path)}"
    save_transcript(chat.session, path)
    chat.say(confirmation)


def load(chat: Chat, text: str) -> None:
    """Go on with a transcript."""
    load_transcript(chat.session, typed_path(text))
    chat.say(f"going on after {_turns(len(chat.session.exchanges))}")
    chat.say_what_is_looked_at()


def _turns(count: int) -> str:
    return f"{count} turn{'' if count == 1 else 's'}"
