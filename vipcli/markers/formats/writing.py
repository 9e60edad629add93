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

__all__ = ["check_folder", "dump_json", "write_copy", "write_folder"]


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


def check_folder(source: Path, output: Path) -> None:
    """Raise `UsageError` where a copy of the folder `source` can't take the place of `output`.

    It can where nothing is there, or an earlier copy alone: folders, and files that `source` has in the same places.
    """
    if not os.path.lexists(output):
        return
    if os.path.isdir(output) and not os.path.islink(output) and not os.path.samefile(source, output):
        inside = (Path(folder, name) for folder, _, names in os.walk(output) for name in names)
        if all(os.path.isfile(source / one.relative_to(output)) for one in inside):
            return
    raise UsageError(f"{quote(str(output))}: is there already, and no copy alone; give the name of a new folder")


def write_folder(source: Path, files: Iterable[Path], changed: Callable[[Path], bytes], output: Path) -> None:
    """Write what `changed` makes of each of `files` below `source` to the same place below `output`.

    A file for which it raises `UsageError` is copied as it is. Raises `UsageError` as `check_folder` does; after an
    error nothing is left, but for an earlier copy.
    """
    check_folder(source, output)
    target = Path(os.path.abspath(output))
    temporary = target.parent / f".vip-{os.urandom(8).hex()}.tmp"
    earlier = temporary.with_suffix(".old")
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
            os.replace(target, earlier)
        os.replace(temporary, target)
    finally:
        if os.path.isdir(earlier) and not os.path.lexists(target):
            os.replace(earlier, target)
        for folder in (temporary, earlier):  # the first is gone where all went well
            shutil.rmtree(folder, ignore_errors=True)
