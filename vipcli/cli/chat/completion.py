"""What Tab offers: commands, and behind them paths, markers and settings; markers behind an ``@`` in a question."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from vipcli.chat import SETTINGS, ChatSession
from vipcli.cli.chat.commands import COMMANDS, Completes
from vipcli.markers import named

__all__ = ["candidates"]


def candidates(before: str, session: ChatSession) -> tuple[str, list[str]]:
    """What may stand in place of the last word of `before`, the text before the cursor: that word, and the choices."""
    command = re.fullmatch(r"/(\w*)", before)
    argument = re.fullmatch(r"/(\w+) +(.*)", before, re.S)
    if command:
        return _starting(command[1], (f"{name} " if row.takes else name for name, row in COMMANDS.items()))
    if argument and argument[1] in COMMANDS:
        completes = COMMANDS[argument[1]].completes
        return _OFFERS[completes](argument[2], session) if completes else ("", [])
    at = re.search(r"(?<!\w)@([\w-]*)$", before)
    return _starting(at[1], named(session.view.markers)) if at else ("", [])


def _starting(word: str, known: Iterable[str]) -> tuple[str, list[str]]:
    return word, [one for one in known if one.startswith(word)]


def _markers(text: str, session: ChatSession) -> tuple[str, list[str]]:
    return _starting(text.removeprefix("@"), named(session.view.markers))


def _commands(text: str, _: ChatSession) -> tuple[str, list[str]]:
    return _starting(text.removeprefix("/"), COMMANDS)


def _settings(text: str, _: ChatSession) -> tuple[str, list[str]]:
    return _starting(text, SETTINGS)


def _paths(text: str, _: ChatSession) -> tuple[str, list[str]]:
    """Files and folders; hidden ones where a dot was typed."""
    folder, word = os.path.split(text)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            found = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)
    except (OSError, ValueError):  # there is no such folder, or a NUL in it
        return word, []
    return _starting(word, (name for name in found if word.startswith(".") or not name.startswith(".")))


def _mask_files(text: str, session: ChatSession) -> tuple[str, list[str]]:
    return _paths(text.partition("=")[2] if "=" in text else text, session)


_OFFERS: dict[Completes, Callable[[str, ChatSession], tuple[str, list[str]]]] = {
    "paths": _paths,
    "masks": _mask_files,
    "markers": _markers,
    "settings": _settings,
    "commands": _commands,
}
