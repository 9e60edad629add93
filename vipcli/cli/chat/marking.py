"""The commands that change or show what is looked at: markers and pictures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from vipcli.cli import console
from vipcli.cli.chat.state import Chat, described, replacing, typed_path
from vipcli.cli.inputs import keep_masks, refuse_to_overwrite, temporary_picture
from vipcli.errors import UsageError, quote
from vipcli.images import open_picture
from vipcli.markers import named, parse

__all__ = ["adding", "image", "markers", "move", "redo", "remove", "save", "show", "undo"]


def adding(kind: str) -> Callable[[Chat, str], None]:
    """A command that draws a marker of `kind`, or with ``marker`` of the kind that its text says."""

    def add(chat: Chat, text: str) -> None:
        whole = text if kind == "marker" else f"{kind}:{text}"  # in the grammar, so that errors quote no flag
        marker = parse(whole, chat.session.view.size, coords=chat.coords, box_format=chat.box_format)
        name = chat.session.add(marker)
        chat.say(f"@{name}: {described(named(chat.session.view.markers)[name])}")

    return add


def markers(chat: Chat, _: str) -> None:
    """List the markers."""
    for name, marker in named(chat.session.view.markers).items():
        console.line(f"@{name}  {described(marker)}")
    if not chat.session.view.markers:
        chat.say("no markers")


def remove(chat: Chat, name: str) -> None:
    """Take a marker off."""
    chat.session.remove(name.removeprefix("@"))
    chat.say_what_is_looked_at()


def move(chat: Chat, text: str) -> None:
    """Move a marker by pixels."""
    name, _, way = text.removeprefix("@").partition(" ")
    try:
        dx, dy = map(float, way.split(","))
    except ValueError:
        raise UsageError(f"/move {quote(text)}: write the marker's name and pixels: /move dog 40,-10") from None
    chat.session.move(name, dx, dy)
    chat.say(f"@{name}: {described(named(chat.session.view.markers)[name])}")


def undo(chat: Chat, _: str) -> None:
    """Take back the last change of picture or markers."""
    chat.session.undo()
    chat.say_what_is_looked_at()


def redo(chat: Chat, _: str) -> None:
    """Change again what was undone."""
    chat.session.redo()
    chat.say_what_is_looked_at()


def image(chat: Chat, text: str) -> None:
    """Look at another picture."""
    path = typed_path(text)
    chat.session.show(open_picture(path), path)
    chat.say_what_is_looked_at()


def show(chat: Chat, _: str) -> None:
    """Preview the marked picture; where that can't be, save it and say where."""
    marked = chat.session.marked()
    if chat.redraw and console.can_preview():
        console.preview(marked.picture)
        return
    path = chat.shown or temporary_picture("/show")
    try:
        marked.save(path)
    except BaseException:
        if path != chat.shown:  # nobody knows of it yet
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise
    chat.shown = path
    console.line(path)


def save(chat: Chat, text: str) -> None:
    """Save the marked picture."""
    path = typed_path(text)
    refuse_to_overwrite("/save", [Path(path)], [chat.session.view.source])
    confirmation = f"saved as {quote(path)}{replacing(path)}"
    marked = chat.session.marked()
    keep_masks("/save", path, marked.markers)
    marked.save(path)
    chat.say(confirmation)
