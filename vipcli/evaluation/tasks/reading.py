"""What the tasks whose data are files of others share: the file found and read whole, its records checked, some chosen.

A record is an object of the one list that a file holds, as the authors write them: an ``id`` whose part before the
first dash names the task, and an ``image`` below the folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vipcli.errors import UsageError, quote
from vipcli.evaluation.cases import Case, Reading
from vipcli.evaluation.styles import Region
from vipcli.markers.formats.reading import file_bytes, numbers, parse_json, shown

__all__ = [
    "Record",
    "Source",
    "box_of",
    "check_files",
    "evenly",
    "folder_of",
    "naming",
    "object_of",
    "path_of",
    "read_cases",
    "read_records",
    "text_of",
    "texts_of",
]

_SHOWN = 200  # characters of a path: enough for the name at its end
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Source:
    """Where a task's data come from. file: its name. page: where it is published. pictures: where those are."""

    file: str
    page: str
    pictures: str


@dataclass(frozen=True, eq=False)
class Record:
    """One object of a file. id: unique in it. where: for messages: ``v7w-test.json, entry 7``."""

    id: str
    where: str
    row: Mapping[str, Any]


def folder_of(reading: Reading, source: Source) -> Path:
    """The folder that must hold the data. Raises `UsageError` where there is none."""
    wanted = f"{source.file}, published at {source.page}, and the pictures of {source.pictures}"
    if reading.folder is None:
        raise UsageError(f"the data are missing: --data must name the folder with {wanted}")
    if not os.path.isdir(reading.folder):
        raise UsageError(f"{quote(str(reading.folder), _SHOWN)} is no folder: it must be the one with {wanted}")
    return reading.folder


def read_records(reading: Reading, source: Source, task: str) -> tuple[Record, ...]:
    """The records of the file that `reading` asks for, in its order.

    task: what their ids begin with. Raises `UsageError` where the file is missing, not whole or something else.
    """
    path = folder_of(reading, source) / source.file
    try:
        state = path.stat()
    except OSError:
        raise UsageError(
            f"{quote(str(path.parent), _SHOWN)} has no {source.file}: it is published at {source.page}"
        ) from None
    return _records(path, source, task, reading.limit, (state.st_size, state.st_mtime_ns))


def read_cases(reading: Reading, source: Source, task: str, case_of: Callable[[Record, Path], Case]) -> Iterator[Case]:
    """A case of each record, made by `case_of` from it and the folder, once all their pictures are there."""
    folder = folder_of(reading, source)
    cases = []
    for record in read_records(reading, source, task):
        with naming(record.where):
            cases.append(case_of(record, folder))
    check_files((case.image for case in cases), source)
    yield from cases


@lru_cache(maxsize=1)  # the cases are read again for each style
def _records(path: Path, source: Source, task: str, limit: int | None, _: tuple[int, int]) -> tuple[Record, ...]:
    rows = _rows(path, source)
    known: set[object] = set()
    chosen = set(evenly(len(rows), limit))
    records = []
    for index, row in enumerate(rows):
        name = row.get("id") if isinstance(row, dict) else None
        again = isinstance(name, str) and name in known  # several questions may be told by their picture's number
        known.add(name if isinstance(name, str) else None)
        if index in chosen:
            where = f"{source.file}, entry {index + 1}"
            with naming(where):
                object_of(row, "it")
                if not isinstance(name, str) or not name.startswith(f"{task}-"):
                    raise UsageError(f"its id must begin with {task}-, got {shown(name)}")
                records.append(Record(text_of(row, "id") + (f"#{index + 1}" if again else ""), where, row))
    return tuple(records)


def _rows(path: Path, source: Source) -> list[Any]:
    try:
        data = file_bytes(path)
        if data.startswith(_LFS):
            raise UsageError("is a Git LFS pointer, not the file itself")
        rows = parse_json(data)
        if not isinstance(rows, list) or not rows:
            raise UsageError(f"must be one list of records, got {shown(rows)}")
    except UsageError as error:
        raise UsageError(f"{quote(str(path), _SHOWN)} {error}; it is published at {source.page}") from None
    return rows


def evenly(count: int, limit: int | None) -> Sequence[int]:
    """The indexes of `limit` of `count` things, from the first on at even distances; of all where there are fewer."""
    if limit is None or limit >= count:
        return range(count)
    return [index * count // limit for index in range(limit)]


def check_files(paths: Iterable[str], source: Source, what: str = "pictures") -> None:
    """Raise `UsageError`, one sentence for all that are missing, where one of `paths` is no file."""
    wanted = dict.fromkeys(paths)
    missing = [path for path in wanted if not os.path.isfile(path)]
    if missing:
        raise UsageError(
            f"{len(missing):,} of the {len(wanted):,} {what} that {source.file} names are missing, first "
            f"{quote(missing[0], _SHOWN)}: they are published at {source.pictures}"
        )


@contextlib.contextmanager
def naming(where: str) -> Iterator[None]:
    """Put `where` in front of the sentence of a `UsageError`."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def object_of(value: object, what: str) -> Mapping[str, Any]:
    """`value`, an object. Raises `UsageError` that names `what` it is."""
    if not isinstance(value, dict):
        raise UsageError(f"{what} must be an object, got {shown(value)}")
    return value


def text_of(row: Mapping[str, Any], key: str) -> str:
    """A text of a record. Raises `UsageError` where it is none, or empty."""
    return _text(row.get(key), f"its {key}")


def texts_of(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts of a record. Raises `UsageError`."""
    values = row.get(key)
    if not isinstance(values, list):
        raise UsageError(f"its {key} must be a list of texts, got {shown(values)}")
    return tuple(_text(value, f"one of its {key}") for value in values)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{what} must be a text, got {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a pair, as JSON can have it
        raise UsageError(f"{what} isn't UTF-8: {quote(value)!r}") from None
    return value


def path_of(row: Mapping[str, Any], key: str, folder: Path) -> str:
    """Where a file that a record names lies. Raises `UsageError` where that is no path."""
    name = text_of(row, key)
    if "://" in name or "\0" in name or name[:5].lower() == "data:":
        raise UsageError(f"its {key} must be the path of a file, got {shown(name)}")
    return os.path.join(folder, name.removeprefix("./dataset/"))  # where the authors keep everything


def box_of(value: object, what: str) -> Region:
    """A region from x1, y1, x2, y2 in pixels; one without width or height gets a pixel of it. Raises `UsageError`."""
    x1, y1, x2, y2 = numbers(value, what, 4)
    if x2 < x1 or y2 < y1:
        raise UsageError(f"{what} must be x1, y1, x2, y2, got {x1:g}, {y1:g}, {x2:g}, {y2:g}")
    wide, high = (0.0 if x2 > x1 else 0.5), (0.0 if y2 > y1 else 0.5)
    return Region((x1 - wide, y1 - high, x2 + wide, y2 + high))
