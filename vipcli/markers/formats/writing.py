"""Copies of annotation files with answers in them: one file, or a new folder; all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vipcli.errors import UsageError, quote
from vipcli.files import write_whole

__all__ = ["dump_json", "write_copy", "write_folder"]


def dump_json(value: Any, original: bytes) -> bytes:
    """`value` as JSON in UTF-8, in lines where `original` is. Raises `UsageError` where it is nested too deeply."""
    indent = 2 if b"\n" in original.strip() else None
    try:
        try:
            return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8")
        except UnicodeEncodeError:  # half a surrogate pair can only be written escaped
            return json.dumps(value, indent=indent).encode("ascii")
    except RecursionError:
        raise UsageError("is nested too deeply to be written again") from None


def write_copy(data: bytes, source: Path, output: Path) -> None:
    """Write one file. Raises `UsageError` where it would take the place of its source, and as `write_whole` does."""
    if os.path.exists(output) and os.path.samefile(source, output):
        raise UsageError(f"{quote(str(output))}: is the annotation file itself; give the copy another name")
    write_whole(data, output)


def write_folder(source: Path, files: Iterable[Path], changed: Callable[[Path], bytes], output: Path) -> None:
    """Write what `changed` makes of each of `files` below `source` to the same place below `output`.

    A file for which it raises `UsageError` is copied as it is. Raises `UsageError` where `output` exists and isn't an
    empty folder; after an error nothing is left.
    """
    if os.path.lexists(output) and (not os.path.isdir(output) or any(output.iterdir())):
        raise UsageError(f"{quote(str(output))}: is there already; give the name of a new folder")
    target = Path(os.path.abspath(output))
    temporary = target.parent / f".vip-{os.urandom(8).hex()}.tmp"
    try:
        for file in files:
            try:
                data = changed(file)
            except UsageError:
                data = file.read_bytes()
            place = temporary / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        temporary.mkdir(exist_ok=True)
        if os.path.isdir(target):
            target.rmdir()
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # it is gone where all went well
