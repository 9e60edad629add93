"""Where a picture comes from, what to call that, and the bytes it holds: of a file, standard input or a stream."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vipcli.errors import PictureError, UsageError, quote
from vipcli.images.reasons import reason

Source = str | os.PathLike[str] | BinaryIO | np.ndarray | Image.Image
"""Where a picture comes from: a path, ``-`` for standard input, a URL, a binary stream, an array, a Pillow image."""

MAX_FILE_BYTES = 512 * 2**20


def name_of(source: object) -> str:
    """What to call `source` in a message: its path or URL, fit for a terminal, or else what kind of thing it is."""
    if isinstance(source, np.ndarray):
        return "the array"
    kind = "the picture" if isinstance(source, Image.Image) else "the stream"
    path = getattr(source, "filename", None) or getattr(source, "name", None) or kind  # a stream's name can be a number
    path = source if isinstance(source, str | os.PathLike) else path if isinstance(path, str | bytes) else kind
    text = os.fsdecode(path)
    return "standard input" if text == "-" else quote(text) or "an empty path"


def bytes_of(source: object, name: str) -> bytes:
    """All that a path, URL or stream holds; never nothing."""
    if isinstance(source, str | os.PathLike):
        data = _read_named(os.fsdecode(source), name)
    elif hasattr(source, "read"):
        data = _read(source, name)
    else:
        raise UsageError(f"a picture is a path, URL, stream, array or Pillow image, not {type(source).__name__}")
    if not data:
        raise PictureError(f"{name}: is empty (0 bytes)")
    return data


def _read_named(path: str, name: str) -> bytes:
    """The bytes of a file, of standard input, or of a URL."""
    if path == "-":
        stdin = getattr(sys.stdin, "buffer", None)
        if stdin is None or stdin.isatty():
            raise PictureError(f"{name}: is neither a file nor a pipe; write - < picture.png")
        return _read(stdin, name)
    if scheme := re.match(r"data:|[a-z][a-z0-9+.-]*://", path, re.IGNORECASE):
        if scheme[0].lower() in ("http://", "https://"):
            from vipcli.images.downloading import download

            return download(path, name)
        raise PictureError(f"{name}: {scheme[0]} addresses aren't read; give a path or an http(s) URL")

    def without_waiting(file: str, flags: int) -> int:  # on a pipe or a device
        return os.open(file, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))

    try:
        with open(path, "rb", buffering=0, opener=without_waiting) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise PictureError(f"{name}: is a pipe or device, not a file; to read a pipe, write - for it")
            if facts.st_size > MAX_FILE_BYTES:
                raise too_large(name, MAX_FILE_BYTES)
            return _read(file, name)
    except (OSError, ValueError) as error:
        raise PictureError(f"{name}: {reason(error, 'read')}") from error


def _read(stream: Any, name: str) -> bytes:
    # In pieces: one read of the limit's size would ask for that much memory.
    return gather(iter(lambda: stream.read(2**20) or b"", b""), name, MAX_FILE_BYTES)


def gather(pieces: Iterable[bytes], name: str, limit: int) -> bytes:
    """The `pieces` as one, refused once they exceed `limit` bytes."""
    data = bytearray()
    for piece in pieces:
        if isinstance(piece, str):
            raise PictureError(f"{name}: is opened as text; open it with mode 'rb'")
        data += piece
        if len(data) > limit:
            raise too_large(name, limit)
    return bytes(data)


def too_large(name: str, limit: int) -> PictureError:
    """The error that says which `limit` (bytes) was exceeded."""
    return PictureError(f"{name}: is larger than the limit of {limit // 2**20} MB")
