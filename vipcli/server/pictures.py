"""The bytes of a picture: of a ``data:`` URI and, where the server may, of an address or of a file in a folder."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

from vipcli.server.asked import Drawing
from vipcli.server.options import Options
from vipcli.server.refusals import Refusal

__all__ = ["bytes_of", "decoded"]

_DATA = re.compile(r"data:[^,]{0,200}?;base64,", re.I)
_BLANK = re.compile(r"\s")  # as base64 and MIME break lines


async def bytes_of(drawing: Drawing, options: Options) -> bytes:
    """The bytes of a picture that isn't in the request. Raises `Refusal` where it may not come from there, or can't."""
    url = drawing.url
    if re.match(r"https?://", url, re.I):
        if not options.allow_url:
            raise _refused(drawing, "send the picture as a data: URI; this server fetches none (--allow-url lets it)")
        from vipcli.server.fetching import fetch

        return await fetch(url, options.limits.body, drawing.param)
    if options.allow_dir is None:
        raise _refused(drawing, "send the picture as a data: URI; this server reads no files (--allow-dir lets it)")
    return await asyncio.to_thread(_read, drawing, options)


def decoded(drawing: Drawing) -> bytes | None:
    """The bytes in a ``data:`` URI; None where the picture is elsewhere (`bytes_of`). Raises `Refusal`."""
    if drawing.url[:5].lower() != "data:":
        return None
    head = _DATA.match(drawing.url)
    if head is None:
        raise Refusal(400, "a data: URI must hold base64: data:image/png;base64,...", param=drawing.param)
    text = drawing.url[head.end() :]
    try:
        data = base64.b64decode("".join(text.split()) if _BLANK.search(text) else text, validate=True)
    except ValueError:  # binascii.Error, or letters beyond ASCII
        raise Refusal(400, "the data: URI holds broken base64", param=drawing.param) from None
    if not data:
        raise Refusal(400, "the data: URI is empty", param=drawing.param)
    return data


def _read(drawing: Drawing, options: Options) -> bytes:
    """A file below the folder that the server may read, by a relative path or ``file:///``."""
    assert options.allow_dir is not None
    path = unquote(drawing.url[7:]) if drawing.url[:7].lower() == "file://" else drawing.url
    root = os.path.realpath(options.allow_dir)
    try:
        real = Path(os.path.realpath(os.path.join(root, path)))
        inside = real.relative_to(root)
    except (ValueError, OSError):  # elsewhere, or no path at all
        raise _refused(drawing, "the picture isn't in the folder that this server may read (--allow-dir)") from None
    try:
        descriptor = _opened(root, inside)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError
        with open(descriptor, "rb") as file:
            data = file.read(options.limits.body + 1)
    except OSError:
        raise Refusal(400, "the folder of pictures has no such file", param=drawing.param) from None
    if len(data) > options.limits.body:
        raise Refusal(413, f"the picture has more than {options.limits.body:,} bytes", param=drawing.param)
    return data


def _opened(root: str, inside: Path) -> int:
    """A descriptor of the file, step by step: whatever became a link since the path was looked at isn't followed."""
    if not hasattr(os, "O_NOFOLLOW") or os.open not in os.supports_dir_fd:
        return os.open(os.path.join(root, inside), os.O_RDONLY)
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *folders, name = inside.parts or (".",)
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)


def _refused(drawing: Drawing, why: str) -> Refusal:
    return Refusal(400, why, param=drawing.param, code="image_source_refused")
