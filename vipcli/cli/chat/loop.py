"""The loop of a chat: read an entry, answer it or run it, say what went wrong, go on."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

from vipcli.cli import console
from vipcli.cli.chat.commands import act
from vipcli.cli.chat.state import Chat
from vipcli.errors import OutputError, VipError

__all__ = ["InputError", "converse"]


class InputError(VipError):
    """Standard input can't be read: that is its end."""


def converse(chat: Chat, read: Callable[[], str]) -> int:
    """Talk until the input ends or ``/exit``, and return the exit code.

    read: gives one entry at a time; raises `EOFError` at the end. In a pipe Ctrl-C ends all with `KeyboardInterrupt`.
    Raises `ReaderGone` and `OutputError` where nothing more can be said, `InputError` where nothing more can be read.
    """
    if chat.interactive:
        chat.say(f"{chat.session.engine.name}: ask, or type /help; Ctrl-D leaves")
        chat.say_what_is_looked_at()
    done = 0
    failures: list[int] = []
    while True:
        try:
            text = _next(read)
            if text:
                act(chat, text)
                done += 1
        except EOFError:
            break
        except KeyboardInterrupt:
            if not chat.interactive:
                raise
            if not chat.redraw:
                console.note("")  # behind the ^C that the terminal has shown
        except (console.ReaderGone, OutputError, InputError):  # the next entry would fare no better
            raise
        except VipError as error:
            console.complain(error)
            failures.append(error.exit_code)
        except Exception as error:
            if os.environ.get("VIP_DEBUG"):
                traceback.print_exc()
            console.unexpected(error)
            failures.append(1)
    if chat.interactive:
        return 0
    if failures and done:
        return 3
    return max(failures, default=0)


def _next(read: Callable[[], str]) -> str:
    try:
        return read().strip()
    except OSError as error:  # it isn't open for reading, or the terminal is gone: so it stays
        raise InputError(f"standard input can't be read: {error.strerror}") from error
