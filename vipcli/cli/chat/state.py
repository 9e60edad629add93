"""What every chat command works on."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vipcli.cli import console
from vipcli.errors import MarkerError, UsageError, quote
from vipcli.markers import Marker, named, render

if TYPE_CHECKING:
    from vipcli.chat import ChatSession

__all__ = ["NO_PICTURE", "Chat", "described", "replacing", "typed_path"]

NO_PICTURE = "no picture yet: /image PATH shows one"


@dataclass
class Chat:
    """A running ``vip chat``.

    coords, box_format: how markers are typed. interactive: somebody sits at a terminal; else lines come from a pipe.
    redraw: what is on the terminal may be drawn again. shown: the file that ``/show`` writes, once it has.
    """

    session: ChatSession
    coords: Any = "pixels"
    box_format: Any = "xyxy"
    interactive: bool = True
    redraw: bool = True
    quiet: bool = False
    verbose: bool = False
    shown: str | None = None

    def say(self, text: str) -> None:
        """Confirm something on stderr, for somebody who sits there."""
        if self.interactive and not self.quiet:
            console.note(text)

    def say_what_is_looked_at(self) -> None:
        """Confirm which picture and markers the next question is about."""
        view = self.session.view
        if view.picture is None:
            self.say(NO_PICTURE)
            return
        names = ", ".join(f"@{name}" for name in named(view.markers))
        markers = f"markers: {names}" if names else "no markers"
        self.say(f"{quote(view.source)}, {view.size[0]} x {view.size[1]}, {markers}")


def described(marker: Marker) -> str:
    """A marker in the grammar, or where it is for one that has no text form."""
    try:
        return render(marker)
    except MarkerError:  # a mask that was moved: pixels of no file
        corners = ",".join(f"{number:g}" for number in marker.bounds)
        return f"{marker.kind}:{marker.name}={corners} (a picture's region)"


def replacing(path: str) -> str:
    """What a confirmation adds where a file is at `path`; to be asked before another is written there."""
    return ", in place of the file that was there" if os.path.exists(path) else ""


def typed_path(text: str) -> str:
    """A path as it was typed or dropped on the terminal: quotes, escaped blanks and ~ mean what they do in a shell."""
    if text == "-":
        raise UsageError("-: in a chat a file must have a name")
    if text[0] in "'\"" or "\\ " in text:
        with contextlib.suppress(ValueError):  # quotes that don't close belong to the name
            text = " ".join(shlex.split(text))
    return os.path.expanduser(text)
