"""Manifests: a line for each question, as JSON objects or as CSV with a header.

Known columns are ``image``, ``question``, ``markers`` (a list of texts in the grammar; in CSV separated by ``;``) and
``id``; whatever else there is, is carried through to the answers.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vipcli.batch.asking import Asking, asked
from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.errors import UsageError, quote

__all__ = ["check_columns", "placed", "read_csv", "read_jsonl", "read_lines"]

_KNOWN = ("id", "image", "question", "markers")


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file. Raises `UsageError` where it can't be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from file
    except OSError as error:
        raise UsageError(f"{quote(str(path))} can't be read: {error.strerror}") from error


def read_jsonl(lines: Iterable[str], name: str, base: Path | None, asking: Asking) -> Iterator[Item | BadItem]:
    """Items of JSON lines.

    name: what messages call the source. base: the folder that relative pictures lie in; None: the current one.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield BadItem(f"line {number}", where, "it is no JSON object")
            continue
        if not isinstance(row, dict):
            yield BadItem(f"line {number}", where, "it is no JSON object")
            continue
        yield from _items(row, number, where, base, asking)


def check_columns(path: Path, asking: Asking) -> None:
    """Raise `UsageError` where a CSV file's header lacks what is needed."""
    header = next(csv.reader(read_lines(path)), None)
    if header is None:
        raise UsageError(f"{quote(str(path))} is empty: its first line names the columns")
    columns = [column.strip() for column in header]
    for column, needed in (("image", True), ("question", asking.question is None)):
        if needed and column not in columns:
            have = ", ".join(quote(one) for one in columns)
            hint = "" if column == "image" else ", and no -q asks a question"
            raise UsageError(f"{quote(str(path))} has no column {column!r}{hint}; it has {have}")
    doubled = {column for column in columns if columns.count(column) > 1}
    if doubled:
        raise UsageError(f"{quote(str(path))} has two columns {quote(min(doubled))!r}")


def read_csv(path: Path, base: Path, asking: Asking) -> Iterator[Item | BadItem]:
    """Items of a CSV file with a header; see `read_jsonl`."""
    reader = csv.reader(read_lines(path))
    columns = [column.strip() for column in next(reader)]
    while True:
        number = reader.line_num + 1
        where = f"{path.name}, line {number}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield BadItem(f"line {number}", where, f"it can't be read: {error}")
            continue
        if row is None:
            return
        if not row:
            continue
        if len(row) != len(columns):
            yield BadItem(f"line {number}", where, f"it has {len(row)} columns and the header {len(columns)}")
            continue
        values: dict[str, Any] = {name: value for name, value in zip(columns, row, strict=True) if value != ""}
        if isinstance(values.get("markers"), str) and not values["markers"].lstrip().startswith("["):
            values["markers"] = [one for one in values["markers"].split(";") if one.strip()]
        elif "markers" in values:
            try:
                values["markers"] = json.loads(values["markers"])
            except (ValueError, RecursionError):
                yield BadItem(f"line {number}", where, "its markers are no JSON list", values.get("image"))
                continue
        yield from _items(values, number, where, base, asking)


def _items(
    row: Mapping[str, Any], number: int, where: str, base: Path | None, asking: Asking
) -> Iterator[Item | BadItem]:
    """The items of one line, or why there are none."""
    given = row.get("id")
    name = str(given) if isinstance(given, str | int) and not isinstance(given, bool) else f"line {number}"
    image, question, markers = row.get("image"), row.get("question"), row.get("markers")
    markers = [markers] if isinstance(markers, str) else [] if markers is None else markers
    for fine, sentence in (
        (given is None or isinstance(given, str | int), "its id is neither text nor a number"),
        (image is not None, "it has no image"),
        (isinstance(image, str) and image, "its image is no path or URL"),
        (question is None or isinstance(question, str), "its question is no text"),
        (
            isinstance(markers, list) and all(isinstance(one, str) for one in markers),
            "its markers are no list of texts",
        ),
    ):
        if not fine:
            yield BadItem(name, where, sentence, image if isinstance(image, str) else None)
            return
    assert isinstance(image, str)
    item = Item(
        name,
        placed(image, base),
        question or "",
        tuple(MarkerText(text, None, asking.coords, asking.box_format) for text in markers),
        fields={key: value for key, value in row.items() if key not in _KNOWN and value is not None},
        where=where,
    )
    yield from asked(item, asking)


def placed(image: str, base: Path | None) -> str:
    """A picture's path as seen from here: relative ones lie in `base`, or where that is None in the current folder."""
    if base is None or re.match(r"data:|[a-z][a-z0-9+.-]*://", image, re.IGNORECASE):
        return image
    return str(base / image)
