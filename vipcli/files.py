"""Writing files: all of one, or nothing changes there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import BinaryIO

from vipcli.errors import VipError, quote

__all__ = ["whole_file", "write_whole"]


def write_whole(data: bytes | memoryview, path: str | os.PathLike[str]) -> None:
    """Write `data` to `path`, all of it or nothing; see `whole_file` for what is raised."""
    with whole_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file to write piece by piece, which takes the place of `path` where the block ends without an error.

    Until then it is a temporary file beside `path`, so that nobody ever sees half of it; after an error nothing is left
    of it. Raises `VipError` for a directory, for what isn't a file (``/dev/null``) and for a file that is
    write-protected, before anything is written, and `OSError` for whatever else.
    """
    target = os.path.realpath(path)  # a link goes on pointing where it does
    if os.path.isdir(target):
        raise VipError(f"{quote(str(path))}: is a directory; give the name of a file in it")
    if os.path.exists(target) and not os.path.isfile(target):  # root would put a file in its place
        raise VipError(f"{quote(str(path))}: is a device or a pipe; give the name of a file")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise VipError(f"{quote(str(path))}: is write-protected")
    temporary = os.path.join(os.path.dirname(target), f".vip-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            with contextlib.suppress(OSError):  # what others may not read now, they may not read then
                shutil.copymode(target, temporary)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):  # it is gone where all went well
            os.unlink(temporary)
