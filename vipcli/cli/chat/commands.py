"""The commands of a chat, as one table: name -> what it takes, what it does in a line, the function that does it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vipcli.cli import console
from vipcli.cli.chat import conversing, marking
from vipcli.cli.chat.answering import answer
from vipcli.cli.chat.state import NO_PICTURE, Chat
from vipcli.cli.options import MARKER_FLAGS
from vipcli.errors import UsageError, quote

__all__ = ["COMMANDS", "Command", "Completes", "act"]

Completes = Literal["commands", "markers", "masks", "paths", "settings"]
"""What Tab can offer behind a command; see `completion`."""


@dataclass(frozen=True)
class Command:
    """A command.

    takes: what stands behind its name, "" for nothing; optional: it may be left out. about: a line for /help.
    completes: what Tab offers there. needs_picture: there must be one before `run` gets the chat and what was typed.
    """

    takes: str
    about: str
    run: Callable[[Chat, str], None]
    optional: bool = False
    completes: Completes | None = None
    needs_picture: bool = False

    @property
    def usage(self) -> str:
        """`takes` as /help shows it: in brackets where it may be left out."""
        return f"[{self.takes}]" if self.optional else self.takes


def act(chat: Chat, text: str) -> None:
    """Do what was typed: run a command, or ask. Raises `VipError`, and `EOFError` to leave."""
    if not text.startswith("/") or text.startswith("//"):
        question = text.removeprefix("/")
        answer(chat, lambda: chat.session.ask(question))
        return
    typed, *rest = re.split(r"\s+", text[1:], maxsplit=1)
    name, argument = _ALIASES.get(typed, typed.lower()), "".join(rest)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1, 0.5)
        advice = f"did you mean /{near[0]}?" if near else "a question that begins with / is typed with //"
        raise UsageError(f"there is no command /{quote(typed)}; {advice} (/help lists the commands)")
    command = COMMANDS[name]
    if argument and not command.takes:
        raise UsageError(f"/{name} takes nothing behind it, got {quote(argument)!r}")
    if not argument and command.takes and not command.optional:
        raise UsageError(f"/{name} {command.takes}: {command.about}")
    if command.needs_picture and chat.session.view.picture is None:
        raise UsageError(f"there is {NO_PICTURE}")
    with console.doubts(strict=False, quiet=chat.quiet):
        command.run(chat, argument)


def _help(_: Chat, text: str) -> None:
    name = text.removeprefix("/").lower()
    if name and name not in COMMANDS:
        raise UsageError(f"there is no command /{quote(name)} (/help lists the commands)")
    for known, command in COMMANDS.items():
        if name in ("", known):
            usage = f"/{known} {command.usage}".rstrip()
            console.line(f"{usage:24}  {command.about}")
    if not name:
        console.lines(_MORE_HELP)


def _exit(_: Chat, __: str) -> None:
    raise EOFError


_ALIASES = {"?": "help"}

_MARKERS = {
    kind: Command(takes, about, marking.adding(kind), needs_picture=True, completes="masks" if kind == "mask" else None)
    for kind, (takes, about) in MARKER_FLAGS.items()
}

COMMANDS: dict[str, Command] = {
    **_MARKERS,
    "markers": Command("", "List the markers", marking.markers),
    "rm": Command("NAME", "Take a marker off", marking.remove, completes="markers"),
    "move": Command("NAME DX,DY", "Move a marker by pixels: /move dog 40,-10", marking.move, completes="markers"),
    "undo": Command("", "Take back the last change of picture or markers", marking.undo),
    "redo": Command("", "Change again what was undone", marking.redo),
    "image": Command("PATH", "Look at another picture: a file or a URL", marking.image, completes="paths"),
    "show": Command("", "Show the marked picture here, or save it and say where", marking.show, needs_picture=True),
    "save": Command(
        "PATH", "Save the marked picture: /save marked.png", marking.save, completes="paths", needs_picture=True
    ),
    "prompt": Command("QUESTION", "Exactly what the model got last, or would get", conversing.prompt, optional=True),
    "retry": Command("", "Ask the last question again, about what is marked now", conversing.retry),
    "edit": Command("", "Change the last question in $VISUAL or $EDITOR and ask that instead", conversing.edit),
    "clear": Command("", "Forget all turns; the picture and its markers stay", conversing.clear),
    "drop": Command("N", "Forget the first N turns", conversing.drop),
    "set": Command(
        "SETTING VALUE",
        "List the settings, or change one: /set temperature 0.7",
        conversing.change,
        optional=True,
        completes="settings",
    ),
    "system": Command(
        "TEXT", 'Show or change the system line; "default" for the model\'s', conversing.system, optional=True
    ),
    "export": Command(
        "PATH", "Write the conversation: .md to read, .json to go on with", conversing.export, completes="paths"
    ),
    "load": Command(
        "PATH", "Go on with a conversation that /export wrote as .json", conversing.load, completes="paths"
    ),
    "help": Command("COMMAND", "This list; /? too", _help, optional=True, completes="commands"),
    "exit": Command("", "Leave, as Ctrl-D does", _exit),
}
"""Every command by its name, in the order of /help. To add one, add a function and a row."""

_MORE_HELP = '''
Anything else is a question; @NAME or @1 in it means a marker, // begins one with /.
Several lines: end a line in \\, or put them between lines of """; Alt-Enter is a new line too.
Ctrl-C stops an answer or clears the line; Tab completes; the arrows and Ctrl-R find what was typed before.'''
