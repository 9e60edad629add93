"""What the tests of opening share: files made in memory, and the sentence that opening one ends in."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from vipcli.errors import PictureError
from vipcli.images import open_picture


def saved(image: Image.Image, form: str = "PNG", **options: object) -> io.BytesIO:
    data = io.BytesIO()
    image.save(data, form, **options)
    data.seek(0)
    return data


def why(source: object) -> str:
    """The sentence that opening `source` ends in; always one printable line."""
    with pytest.raises(PictureError) as caught:
        open_picture(source)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert sentence.isprintable(), sentence
    return sentence


def why_of(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return why(path)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is as large as you like, in 70 bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
