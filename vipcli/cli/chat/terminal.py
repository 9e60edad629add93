"""Typing on a terminal, by prompt_toolkit: editing, history kept between runs, completion, several lines."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from vipcli.chat import ChatSession
from vipcli.cli.chat.completion import candidates
from vipcli.cli.chat.lines import goes_on, is_open, unquoted
from vipcli.config import history_file
from vipcli.errors import plain

try:
    from termios import error as TerminalError
except ImportError:  # Windows has none
    TerminalError = OSError  # type: ignore[assignment, misc]

__all__ = ["reader"]


def reader(session: ChatSession) -> Callable[[], str]:
    """What reads one entry; it raises `EOFError` on Ctrl-D and `KeyboardInterrupt` on Ctrl-C."""
    prompts: PromptSession[str] = PromptSession(
        history=_history(history_file()),
        completer=_Offers(session),
        complete_while_typing=False,
        enable_history_search=True,  # the arrow up goes to what begins as the line does
        enable_suspend=True,
        key_bindings=_keys(),
        multiline=True,
        prompt_continuation="... ",
    )
    app = prompts.app

    def end(number: int, _: object) -> None:
        """Leave by way of what puts the terminal back as it was, which neither the signal nor an exit here would."""
        if app.is_running and app.loop is not None:
            app.loop.call_soon_threadsafe(lambda: None if app.is_done else app.exit(exception=_Ended()))
        else:
            sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)

    def read() -> str:
        try:
            return unquoted(prompts.prompt("> "))
        except _Ended:
            sys.exit(128 + signal.SIGTERM)
        except TerminalError as error:  # the terminal is gone
            raise OSError(*error.args) from error

    return read


class _Ended(Exception):
    """SIGTERM came while something was typed."""


class _Offers(Completer):
    """What Tab offers, as prompt_toolkit wants it."""

    def __init__(self, session: ChatSession) -> None:
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002
        word, choices = candidates(document.text_before_cursor, self._session)
        return [Completion(choice, -len(word), display=plain(choice)) for choice in choices]


class _Kept(FileHistory):
    """A file for the user's eyes alone; where it can't be read or written, what was typed is forgotten on leaving."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(path)

    def load_history_strings(self) -> Iterable[str]:
        with contextlib.suppress(OSError):
            return list(super().load_history_strings())
        return []

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError, UnicodeError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            super().store_string(string)


def _history(path: Path | None) -> History:
    return InMemoryHistory() if path is None else _Kept(path)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=has_focus(DEFAULT_BUFFER))  # not while searching
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_open(buffer.text):
            buffer.insert_text("\n")
        elif goes_on(buffer.document.text_before_cursor) and not buffer.document.text_after_cursor:
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add(Keys.Vt100MouseEvent)  # pasted colours look like one, and prompt_toolkit stumbles over them
    def _(_: KeyPressEvent) -> None:
        pass

    @keys.add("escape", "enter", filter=has_focus(DEFAULT_BUFFER))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
