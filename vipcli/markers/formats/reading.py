"""What the importers share: files read safely, numbers checked, markers spelled, pictures found.

Whatever is wrong raises `UsageError` with one sentence. An importer catches it around one entry and makes a `Problem`
of it; where the whole file is concerned it goes through to the caller.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vipcli.errors import UsageError, quote
from vipcli.images import PICTURE_SUFFIXES
from vipcli.markers.shapes import MAX_POINTS

__all__ = [
    "PICTURE_SUFFIXES",
    "file_bytes",
    "find_picture",
    "head_of",
    "integer",
    "key_of",
    "marker",
    "number",
    "numbers",
    "oval",
    "parse_json",
    "plain_values",
    "points",
    "polygon",
    "shown",
    "size_of",
    "top_keys",
    "turned",
    "walk",
]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_JSON_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)"|[{}\[\]:]', re.DOTALL)
_HEAD = 65536
_FARTHEST = 1e12  # no number of an annotation is larger; keeps sums and products of them finite


def file_bytes(path: Path) -> bytes:
    """All of a file. Raises `UsageError` where it can't be read or is empty."""
    if os.path.isdir(path):
        raise UsageError("is a folder; name the annotation file in it")
    if os.path.exists(path) and not os.path.isfile(path):  # a device may never end
        raise UsageError("is no file")
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "its name can't be a file's"
        raise UsageError(f"can't be read: {reason}") from None
    if not data.strip():
        raise UsageError("is empty")
    return data


def head_of(path: Path) -> str:
    """The beginning of a file as text, for telling formats apart; "" where there is none."""
    if not os.path.isfile(path):  # a pipe may wait for ever
        return ""
    try:
        with open(path, "rb") as file:
            data = file.read(_HEAD)
    except (OSError, ValueError):
        return ""
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return data.decode("utf-16" if utf16 else "utf-8-sig", errors="replace").lstrip()


def parse_json(data: bytes) -> Any:
    """What a JSON file (UTF-8, 16 or 32) says. Raises `UsageError`."""
    try:
        return json.loads(data)
    except RecursionError:
        raise UsageError("is nested too deeply to be annotations") from None
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        raise UsageError(f"isn't whole JSON: {what} in line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"isn't UTF-8 text: byte {error.start} can't be read") from None
    except ValueError:  # Python reads no integer of more than 4300 digits
        raise UsageError("isn't usable JSON: it holds a number of thousands of digits") from None


def top_keys(head: str, depth: int = 1) -> set[str]:
    """The keys of the objects `depth` levels deep in the beginning of a JSON text."""
    keys, level, last = set(), 0, None
    for token in _JSON_TOKEN.finditer(head):
        mark = token[0]
        if mark in ("{", "["):
            level += 1
        elif mark in ("}", "]"):
            level -= 1
        elif mark == ":" and level == depth and last is not None:
            keys.add(last)
        last = token[1]
    return keys


def number(value: object, what: str) -> float:
    """`value`, a number or the text of one, as a finite float. Raises `UsageError` that names `what` it is."""
    if isinstance(value, str):
        text = value.strip()
        result = float(text) if _NUMBER.fullmatch(text) else math.nan
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        result = float(value) if abs(value) <= _FARTHEST else math.nan
    else:
        result = math.nan
    if not abs(result) <= _FARTHEST:
        raise UsageError(f"{what} must be a number, got {shown(value)}")
    return result


def numbers(value: object, what: str, count: int | None = None) -> list[float]:
    """A list of numbers, `count` of them where it is given. Raises `UsageError`."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        raise UsageError(f"{what} must be a list of {f'{count} ' if count else ''}numbers, got {shown(value)}")
    return [number(item, what) for item in value]


def integer(value: object, what: str) -> int:
    """A whole number, 0 or more and below 10 million, from a number or the text of one. Raises `UsageError`."""
    result = number(value, what)
    if result % 1 or not 0 <= result < 10_000_000:
        raise UsageError(f"{what} must be a whole number, 0 or more, got {result:g}")
    return int(result)


def points(value: object, what: str) -> list[tuple[float, float]]:
    """A list of ``[x, y]`` pairs. Raises `UsageError`."""
    if not isinstance(value, list):
        raise UsageError(f"{what} must be a list of [x, y] pairs, got {shown(value)}")
    pairs = [numbers(pair, f"a pair of {what}", 2) for pair in value]
    return [(x, y) for x, y in pairs]


def size_of(width: object, height: object) -> tuple[int, int] | None:
    """(width, height) where both are whole numbers above 0, else None."""
    try:
        size = integer(width, "width"), integer(height, "height")
    except UsageError:
        return None
    return size if all(size) else None


def marker(kind: str, values: Iterable[float], unit: str = "") -> str:
    """The marker in the grammar: `values` are x and y in turn, in pixels, or per cent with the unit ``%``.

    Numbers are rounded to millionths. Raises `UsageError` where there are more than a marker can have.
    """
    spelled = [repr(round(value, 6)).removesuffix(".0") + unit for value in values]
    if len(spelled) > 2 * MAX_POINTS:
        raise UsageError(f"it has {len(spelled) // 2} points; a marker can have {MAX_POINTS}")
    return f"{kind}:{','.join(spelled)}"


def polygon(corners: Sequence[tuple[float, float]], unit: str = "", kind: str = "contour", least: int = 3) -> str:
    """A contour through `corners`, or another `kind` of line. Raises `UsageError` for fewer than `least` of them."""
    if len(corners) < least:
        what = "a polygon" if kind == "contour" else "a line"
        raise UsageError(f"{what} needs at least {least} points, got {len(corners)}")
    return marker(kind, [value for corner in corners for value in corner], unit)


def turned(
    corners: Iterable[tuple[float, float]], degrees: float, about: tuple[float, float]
) -> list[tuple[float, float]]:
    """`corners` in pixels after a turn by `degrees`, clockwise as one sees it, about a point."""
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    x0, y0 = about
    return [(x0 + (x - x0) * cos - (y - y0) * sin, y0 + (x - x0) * sin + (y - y0) * cos) for x, y in corners]


def oval(x: float, y: float, rx: float, ry: float) -> list[tuple[float, float]]:
    """An ellipse as 36 corners, for one that is turned."""
    angles = [math.radians(10 * step) for step in range(36)]
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


def plain_values(values: object, skip: Container[str] = ()) -> dict[str, Any]:
    """The texts, finite numbers and booleans among the items of a mapping, but for the keys in `skip`."""
    if not isinstance(values, Mapping):
        return {}
    return {
        key: value
        for key, value in values.items()
        if key not in skip and (isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)))
    }


def key_of(value: object) -> str | None:
    """An id of a JSON file as text, None where it is none: numbers and texts alone are."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return str(value) or None
    return None


def find_picture(name: str, folders: Sequence[Path], pictures: Path | None, also: Iterable[str] = ()) -> str:
    """Where the picture `name` lies: the first place where one is, else where it should be.

    folders: where the format keeps its pictures, likeliest first. pictures: where the user says they are; then the file
    name alone is enough. also: other names that it may go by. An address (``http://``) without a copy here stays one.
    """
    names = [each for known in (name, *also) for each in dict.fromkeys((known, known.replace("\\", "/")))]
    if pictures is not None:
        folders = [pictures]
        names += [os.path.basename(each) for each in names]
    for folder in folders:
        for each in names:
            path = os.path.join(folder, each)
            if os.path.isfile(path):
                return path
    return name if "://" in name else os.path.join(folders[0], name.replace("\\", "/"))


def walk(folder: Path, suffixes: Container[str], *, deep: bool = True) -> Iterator[Path]:
    """The files in `folder` whose suffix is among `suffixes` (lower case), and below it, sorted; no hidden ones."""
    if not os.path.isdir(folder):  # os.walk raises for a name that can't be one
        return
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if deep and not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                yield Path(parent, name)


def shown(value: object) -> str:
    """What a message shows of a value of a JSON file: of a container its kind alone, since it may be huge or deep."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    if isinstance(value, int) and abs(value) > _FARTHEST:
        return "a huge number"
    return quote(json.dumps(value, ensure_ascii=False), 40)
