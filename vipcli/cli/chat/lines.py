"""Reading entries line by line, and what makes several lines one entry.

A line that ends in ``\\`` goes on in the next. What stands between two ``\"\"\"`` is one question, whatever is in it.
"""

from __future__ import annotations

import sys

from vipcli.cli import console
from vipcli.errors import PromptError

__all__ = ["goes_on", "is_open", "unquoted", "whole"]

_QUOTES = '"""'
_LIMIT = 1_000_000  # characters, or bytes of one line; far more than any context holds


def is_open(text: str) -> bool:
    """Whether `text` begins a block of three quotes that hasn't ended."""
    text = text.strip()
    return text.startswith(_QUOTES) and not text[len(_QUOTES) :].endswith(_QUOTES)


def goes_on(text: str) -> bool:
    """Whether `text` ends in the backslash that says so; two are meant as they are."""
    return text.endswith("\\") and not text.endswith("\\\\")


def unquoted(text: str) -> str:
    """`text` without the three quotes around it, as a question even where it begins with ``/``."""
    inner = text.strip()
    if not inner.startswith(_QUOTES):
        return text
    inner = inner.removeprefix(_QUOTES).removesuffix(_QUOTES).strip()
    return f"/{inner}" if inner.startswith("/") else inner


def whole(*, asking: bool) -> str:
    """The next entry of standard input, of one line or several; `asking` shows prompts. Raises `EOFError` at the end.

    Raises `PromptError` for a line that is too long or no text; what follows it can still be read.
    """
    text = _line("> " if asking else "")
    while is_open(text) or goes_on(text):
        if len(text) > _LIMIT:
            raise PromptError("the question on standard input is longer than 1 MB")
        try:
            more = _line("... " if asking else "")
        except EOFError:
            break
        text = f"{text if is_open(text) else text[:-1]}\n{more}"
    return unquoted(text)


def _line(prompt: str) -> str:
    if prompt:
        console.prompt(prompt)
    data = b"" if sys.stdin is None else sys.stdin.buffer.readline(_LIMIT)
    if not data:
        raise EOFError
    if len(data) == _LIMIT:
        while data and not data.endswith(b"\n"):
            data = sys.stdin.buffer.readline(_LIMIT)
        raise PromptError("the question on standard input is longer than 1 MB")
    try:
        return data.decode("utf-8").removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise PromptError(f"the line on standard input is no UTF-8 text (byte {error.start})") from None
