"""Where the files lie that a manifest names: pictures, and those of ``mask:FILE``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["placed", "placed_marker", "seen_from", "with_mask_file"]

_ADDRESS = re.compile(r"data:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_MASK = re.compile(r"mask:(?:\w[\w-]{0,63}=)?", re.IGNORECASE)
_NUMBERS = re.compile(r"[\d\s,.%+e-]+(@|\Z)", re.IGNORECASE | re.ASCII)


def placed(image: str, base: Path | None) -> str:
    """A picture's path as seen from here: relative ones lie in `base`, or where that is None in the current folder."""
    if ":" in image and _ADDRESS.match(image):
        return image
    path = image if base is None else os.path.join(base, image)
    return os.path.join(".", path) if path == "-" else path  # a file that is called so, not standard input


def placed_marker(text: str, base: Path | None) -> str:
    """A marker in the grammar, the file of a mask as `placed` has it."""
    if base is None or base == Path():  # as it is written: what was answered about it stays
        return text
    return with_mask_file(text, lambda file: placed(file, base))


def seen_from(folder: Path, image: str) -> str:
    """The path of a picture for who stands in `folder`; addresses stay."""
    if placed(image, folder) == image:  # an address, or absolute
        return image
    return os.path.relpath(image, folder)


def with_mask_file(text: str, change: Callable[[str], str]) -> str:
    """A marker in the grammar with `change` of its mask's file, behind which a style may stand; others as they are."""
    start = _MASK.match(text)
    if start is None or _NUMBERS.match(text, start.end()) or start.end() == len(text):
        return text
    return start[0] + change(text[start.end() :])
