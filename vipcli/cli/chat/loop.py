"""The loop of a chat: read an entry, answer it or run it, say what went wrong, go on."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

from vipcli.cli import console
from vipcli.cli.chat.commands import act
from vipcli.cli.chat.state import Chat
from vipcli.errors import VipError

__all__ = ["converse"]


def converse(chat: Chat, read: Callable[[], str]) -> int:
    """Talk until the input ends or ``/exit``, and return the exit code.

    read: gives one entry at a time; raises `EOFError` at the end. In a pipe Ctrl-C ends all with `KeyboardInterrupt`.
    """
    if chat.interactive:
        chat.say(f"{chat.session.engine.name}: ask, or type /help; Ctrl-D leaves")
        chat.say_what_is_looked_at()
    entries = 0
    failures: list[int] = []
    while True:
        entries += 1
        try:
            text = read().strip()
            if text:
                act(chat, text)
            else:
                entries -= 1
        except EOFError:
            break
        except KeyboardInterrupt:
            if not chat.interactive:
                raise
            if not chat.redraw:
                console.note("")  # behind the ^C that the terminal has shown
        except VipError as error:
            console.complain(error)
            failures.append(error.exit_code)
        except BrokenPipeError:  # nobody reads the answers any more
            raise
        except Exception as error:
            if os.environ.get("VIP_DEBUG"):
                traceback.print_exc()
            console.unexpected(error)
            failures.append(1)
    if chat.interactive:
        return 0
    if failures and len(failures) < entries - 1:  # the end was counted too
        return 3
    return max(failures, default=0)
