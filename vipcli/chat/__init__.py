"""A conversation with a picture: `session` holds it, without input or output, `transcript` writes and reads files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.chat.session import ANOTHER_PICTURE as ANOTHER_PICTURE
    from vipcli.chat.session import CHANGED as CHANGED
    from vipcli.chat.session import SETTINGS as SETTINGS
    from vipcli.chat.session import ChatSession as ChatSession
    from vipcli.chat.session import Exchange as Exchange
    from vipcli.chat.session import View as View
    from vipcli.chat.transcript import load_transcript as load_transcript
    from vipcli.chat.transcript import save_transcript as save_transcript

__getattr__, __all__ = door(
    __name__,
    {
        "session": ("ANOTHER_PICTURE", "CHANGED", "SETTINGS", "ChatSession", "Exchange", "View"),
        "transcript": ("load_transcript", "save_transcript"),
    },
)
