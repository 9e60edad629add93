"""A conversation with a picture: `session` holds it, without input or output, `transcript` writes and reads files."""

from __future__ import annotations

from vipcli.doors import door

__getattr__, __all__ = door(
    __name__,
    {
        "session": ("ANOTHER_PICTURE", "CHANGED", "ChatSession", "Exchange", "View"),
        "transcript": ("load_transcript", "save_transcript"),
    },
)
