"""Saving: a picture becomes a file or standard output, all of it, or nothing changes there."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

import numpy as np
from PIL import Image

from vipcli.errors import PictureError, UsageError, VipError, quote
from vipcli.images.reasons import reason

# Level 4 instead of zlib's own 6: examples/meadow.png (640 x 480) takes 11 ms instead of 20 and 91 kB instead of 83, a
# photo of that size 44 ms instead of 79 and 592 kB instead of 590. Level 1: 9 ms and 113 kB, 25 ms and 633 kB.
_PNG: tuple[str, dict[str, Any]] = "PNG", {"compress_level": 4}
_JPEG: tuple[str, dict[str, Any]] = "JPEG", {"quality": 95, "subsampling": 0}
_SAVED_AS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": ("WEBP", {"quality": 95}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
}


def save_picture(picture: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Save `picture` ((height, width, 3) uint8 RGB) at `path`: all of it, or nothing changes there.

    The suffix says the format: png, jpg, jpeg, webp, bmp, tif or tiff. ``-`` writes a PNG to standard output.
    Raises `UsageError` for another suffix, `PictureError` where it can't be written.
    """
    from pathlib import PurePath

    to_stdout = str(path) == "-"
    name, suffix = ("standard output", ".png") if to_stdout else (quote(str(path)), PurePath(path).suffix.lower())
    if suffix not in _SAVED_AS:
        raise UsageError(f"{name}: a picture's file name ends in {', '.join(_SAVED_AS)}; it says the format")
    form, options = _SAVED_AS[suffix]
    data = io.BytesIO()
    try:
        Image.fromarray(picture).save(data, form, **options)
        (_write_stdout if to_stdout else _write)(data.getbuffer(), path)
    except (VipError, BrokenPipeError):  # a closed pipe is the command line's to end in silence
        raise
    except Exception as error:
        why = "its folder doesn't exist" if isinstance(error, FileNotFoundError) else reason(error, "written")
        raise PictureError(f"{name}: {why}") from error


def _write(data: memoryview, path: str | os.PathLike[str]) -> None:
    target = os.path.realpath(path)  # a link goes on pointing where it does
    if os.path.isdir(target):
        raise PictureError(f"{quote(str(path))}: is a directory; give the name of a file in it")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise PictureError(f"{quote(str(path))}: is write-protected")
    temporary = os.path.join(os.path.dirname(target), f".vip-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):  # it is gone where all went well
            os.unlink(temporary)


def _write_stdout(data: memoryview, _: object) -> None:
    stdout = getattr(sys.stdout, "buffer", None)
    if stdout is None or stdout.isatty():
        raise UsageError("standard output: a terminal can't show a PNG; write - > picture.png")
    stdout.write(data)
    stdout.flush()
