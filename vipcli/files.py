"""Writing files: all of one, or nothing changes there."""

from __future__ import annotations

import contextlib
import os

from vipcli.errors import VipError, quote

__all__ = ["write_whole"]


def write_whole(data: bytes | memoryview, path: str | os.PathLike[str]) -> None:
    """Write `data` to `path` by way of a temporary file beside it, so that nobody ever sees half of it.

    Raises `VipError` for a directory and for a file that is write-protected, and `OSError` for whatever else.
    """
    target = os.path.realpath(path)  # a link goes on pointing where it does
    if os.path.isdir(target):
        raise VipError(f"{quote(str(path))}: is a directory; give the name of a file in it")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise VipError(f"{quote(str(path))}: is write-protected")
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
