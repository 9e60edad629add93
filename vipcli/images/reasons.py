"""Errors of Pillow and of the system, in words for whoever gave the picture."""

from __future__ import annotations

from vipcli.errors import quote

CONVERT = "convert it to PNG or JPEG first"


def reason(error: Exception, done: str = "decoded") -> str:
    """What `error` means for whoever gave the picture."""
    text = quote(" ".join(str(error).split())) or type(error).__name__
    system = isinstance(error, OSError) and error.strerror
    if isinstance(error, MemoryError):
        return "there isn't enough memory for it; make it smaller first"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "is a directory, not a picture"
    if done != "decoded" or system:
        return f"can't be {done} ({quote(system) if system else text})"
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return "the file is cut off; copy or download it again"
    return f"the file is damaged, or of a kind that Pillow can't decode ({text})"
