"""What can go wrong, as one hierarchy: each kind carries its exit code and one clear sentence.

::

    VipError (exit 1)             anything that failed; the message is the sentence a user reads
    ├── UsageError (exit 2)       the command line, or an argument of the Python call, is wrong
    │   ├── MarkerError           a marker's text or its numbers
    │   └── PromptError           a question, an ``@name``, or a prompt that can't fit
    ├── PictureError (exit 1)     a picture that can't be opened, read or written
    ├── ModelError (exit 1)       a model that can't be found, loaded or run
    ├── OutputError (exit 1)      standard output can't be written: nothing more can be answered
    └── MissingExtra (exit 1)     an optional library isn't installed; says the ``pip install`` line

Everything in a message that came from outside (file names, labels, model output) goes through `plain`,
so that no control character reaches a terminal.
"""

from __future__ import annotations

import contextlib
import unicodedata
import warnings
from collections.abc import Iterator

__all__ = [
    "MarkerError",
    "MissingExtra",
    "ModelError",
    "OutputError",
    "PictureError",
    "PromptError",
    "UsageError",
    "VipError",
    "VipWarning",
    "doubts_in",
    "plain",
    "quote",
]

# Bidirectional overrides and isolates can make a terminal show another text than the one that is there.
_REORDERING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class VipError(Exception):
    """Something failed. ``str(error)`` is one sentence for the user; `exit_code` is the command's."""

    exit_code = 1


class UsageError(VipError):
    """The request itself is wrong: nothing was tried and nothing was written."""

    exit_code = 2


class MarkerError(UsageError):
    """A marker's text or numbers are wrong."""


class PromptError(UsageError):
    """A question can't become a prompt."""


class PictureError(VipError):
    """A picture can't be opened, read or written."""


class ModelError(VipError):
    """A model can't be found, loaded or run."""


class OutputError(VipError):
    """Standard output can't be written."""


class MissingExtra(VipError):
    """An optional library is missing."""

    def __init__(self, what: str, package: str) -> None:
        super().__init__(f"{what} needs {package}; install it with: pip install {package}")


class VipWarning(UserWarning):
    """A doubt that a user should hear of: printed on stderr, an error under ``--strict``."""


@contextlib.contextmanager
def doubts_in() -> Iterator[list[str]]:
    """A block whose warnings aren't shown: what it doubts stands in the list afterwards, each sentence once."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", VipWarning)
        yield found
    found += dict.fromkeys(str(one.message) for one in caught if issubclass(one.category, VipWarning))


def plain(text: str, *, keep_newlines: bool = False) -> str:
    """Return `text` with every control character escaped, so that a terminal shows it and obeys nothing.

    Tabs stay; newlines stay with `keep_newlines`; lone surrogates (from file names that aren't UTF-8)
    become ``\\xNN``.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = "\t\n" if keep_newlines else "\t"
    return "".join(c if c in kept or not _hostile(c) else _escaped(c) for c in text)


def quote(text: str, limit: int = 80) -> str:
    """Return `text` made `plain`, shortened in the middle to about `limit` characters, for use in a sentence."""
    if len(text) > limit:
        text = f"{text[: limit * 2 // 3]}…{text[-limit // 4 :]}"
    return plain(text)


def _hostile(char: str) -> bool:
    return char in _REORDERING or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode's way of carrying a byte that isn't UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
