"""Reading entries line by line, and what makes several lines one entry.

A line that ends in ``\\`` goes on in the next. What stands between two ``\"\"\"`` is one question, whatever is in it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from vipcli.cli import console
from vipcli.errors import PromptError

__all__ = ["goes_on", "is_open", "unquoted", "whole"]

_QUOTES = '"""'
_LIMIT = 1_000_000  # characters, or bytes of one line; far more than any context holds
_TOO_LONG = "the question on standard input is longer than 1 MB"


def is_open(text: str) -> bool:
    """Whether `text` begins a block of three quotes that hasn't ended."""
    first, *others = text.strip().splitlines() or [""]
    if not first.startswith(_QUOTES) or _QUOTES in first[len(_QUOTES) :]:
        return False
    return not any(line.rstrip().endswith(_QUOTES) for line in others)


def goes_on(text: str) -> bool:
    """Whether `text` ends in the backslash that says so; two are meant as they are."""
    return text.endswith("\\") and not text.endswith("\\\\")


def unquoted(text: str) -> str:
    """`text` without the three quotes around it, as a question even where it begins with ``/``."""
    inner = text.strip()
    if len(inner) < 2 * len(_QUOTES) or not (inner.startswith(_QUOTES) and inner.endswith(_QUOTES)):
        return text
    inner = inner[len(_QUOTES) : -len(_QUOTES)].strip()
    return f"/{inner}" if inner.startswith("/") else inner


def whole(*, asking: bool) -> str:
    """The next entry of standard input, of one line or several; `asking` shows prompts. Raises `EOFError` at the end.

    Raises `PromptError` for an entry that is too long or no text, once all of it is read: no part of a block may be
    taken for a command.
    """
    lines: list[str] = []
    size, fault = 0, ""
    for line, wrong in _entry(asking):
        size += len(line) + 1
        fault = fault or wrong or (_TOO_LONG if size > _LIMIT else "")
        if not fault:
            lines.append(line)
    if fault:
        raise PromptError(fault)
    return unquoted("\n".join(lines))


def _entry(asking: bool) -> Iterator[tuple[str, str]]:
    """The lines of an entry, without the backslashes that go on, each with what is wrong with it; see `_line`."""
    text, wrong = _line("> " if asking else "")
    blank, quoted = True, False  # so far; a block may stand behind blank lines
    while True:
        if quoted:
            last = text.rstrip().endswith(_QUOTES)
        else:
            quoted = blank and is_open(text)
            last = not quoted and not goes_on(text)
            text = text if quoted or last else text[:-1]
            blank = blank and not text.strip()
        yield text, wrong
        if last:
            return
        try:
            text, wrong = _line("... " if asking else "")
        except EOFError:
            if quoted:
                yield "", f"the text behind {_QUOTES} doesn't end: another {_QUOTES} is missing"
            return


def _line(prompt: str) -> tuple[str, str]:
    """A line and what is wrong with it, "" for nothing. Raises `EOFError` at the end, `OSError` where it can't be read.

    Of one that is too long the beginning and the end are kept: they tell whether a block begins or ends there.
    """
    if prompt:
        console.prompt(prompt)
    data = b"" if sys.stdin is None else sys.stdin.buffer.readline(_LIMIT)
    if not data:
        raise EOFError
    wrong = ""
    if len(data) == _LIMIT:
        wrong, more = _TOO_LONG, data
        while more and not more.endswith(b"\n"):
            more = sys.stdin.buffer.readline(_LIMIT)
            data = data[:100] + (data[100:] + more)[-100:]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "replace")
        wrong = wrong or f"the line on standard input is no UTF-8 text (byte {error.start})"
    return text.removeprefix("\ufeff").rstrip("\r\n"), wrong
