"""Manifests: a line for each question, as JSON objects or as CSV with a header.

Known columns are ``image``, ``question``, ``markers`` (a list of texts in the grammar; in CSV separated by ``;``) and
``id``; whatever else there is, is carried through to the answers.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vipcli.batch.asking import Asking, asked, fill
from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.batch.places import placed, placed_marker
from vipcli.batch.recall import Lines, Recall
from vipcli.errors import UsageError, quote

__all__ = ["check_columns", "parse_object", "read_csv", "read_jsonl", "read_lines"]

_KNOWN = ("id", "image", "question", "markers")
_LARGEST = 2**26  # characters of a CSV field: a data: URI may have many
_DEEPEST = 50  # lists in lists of a JSON value


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file. Raises `UsageError` where it can't be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from file
    except OSError as error:
        raise UsageError(f"{quote(str(path))} can't be read: {error.strerror}") from error


def read_jsonl(
    lines: Iterable[str], name: str, base: Path | None, asking: Asking, recall: Recall | None = None
) -> Iterator[Item | BadItem]:
    """Items of JSON lines, but for those that `recall` knows by their lines.

    name: what messages call the source. base: the folder that pictures and masks with a relative path lie in; None: the
    current one.
    """
    known = Lines(base, asking)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if recall is not None and known.is_answered(line, number, recall):
            continue
        where = f"{name}, line {number}"
        try:
            row = parse_object(line)
        except UsageError as error:
            yield BadItem(f"line {number}", where, str(error))
            continue
        yield from _items(row, number, where, base, asking, known.number(line))


def parse_object(line: str) -> dict[str, Any]:
    """A JSON object; numbers that JSON can't hold (NaN, 1e999) become texts. Raises `UsageError` for anything else."""
    try:
        row = _JSON.decode(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise UsageError("it is no JSON object")
    if line.count("{") + line.count("[") > _DEEPEST and _is_deeper(row, _DEEPEST):
        raise UsageError(f"it has more than {_DEEPEST} lists or objects in each other")
    return row


def check_columns(path: Path, asking: Asking) -> None:
    """Raise `UsageError` where a CSV file's header lacks what is needed, or what the question has in braces."""
    try:
        columns = _columns(_reader(path))
    except csv.Error as error:
        raise UsageError(f"{quote(str(path))}: the names of its columns can't be read: {error}") from None
    if not columns:
        raise UsageError(f"{quote(str(path))} is empty: its first line names the columns")
    for column, needed in (("image", True), ("question", asking.question is None)):
        if needed and column not in columns:
            have = ", ".join(quote(one) for one in columns[:12])
            hint = "" if column == "image" else ", and no -q asks a question"
            have += " alone (commas separate columns)" if len(columns) == 1 else ""
            raise UsageError(f"{quote(str(path))} has no column {column!r}{hint}; it has {have}")
    doubled = {column for column, times in Counter(columns).items() if times > 1}
    if doubled:
        raise UsageError(f"{quote(str(path))} has two columns {quote(min(doubled))!r}")
    if asking.question is not None:
        names = [name for name in columns if name not in ("id", "image", "markers")]
        names += ["id", *(["name"] if asking.markers or "markers" in columns else [])]
        fill(asking.question, dict.fromkeys(names, ""), quote(str(path)))


def read_csv(path: Path, base: Path, asking: Asking) -> Iterator[Item | BadItem]:
    """Items of a CSV file with a header; see `read_jsonl`."""
    reader = _reader(path)
    columns = _columns(reader)
    while True:
        number = reader.line_num + 1
        where = f"{path.name}, line {number}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            until = f" up to line {reader.line_num}" if reader.line_num > number else ""
            yield BadItem(f"line {number}", where, f"it can't be read{until}: {error}")
            continue
        if row is None:
            return
        if not row:
            continue
        if len(row) != len(columns):
            yield BadItem(f"line {number}", where, f"it has {len(row)} columns and the header {len(columns)}")
            continue
        values: dict[str, Any] = {name: value for name, value in zip(columns, row, strict=True) if value != ""}
        if "markers" in values:
            values["markers"] = _parted(values["markers"])
        yield from _items(values, number, where, base, asking)


def _items(
    row: Mapping[str, Any], number: int, where: str, base: Path | None, asking: Asking, line: int | None = None
) -> Iterator[Item | BadItem]:
    """The items of one line, or why there are none."""
    given = row.get("id")
    fine_id = isinstance(given, str | int | float) and not isinstance(given, bool)
    name = str(given) if fine_id and given != "" else f"line {number}"
    image, question, markers = row.get("image"), row.get("question"), row.get("markers")
    markers = [] if markers is None or markers == "" else [markers] if isinstance(markers, str) else markers
    for fine, sentence in (
        (given is None or fine_id, "its id is neither text nor a number"),
        (image is not None, "it has no image"),
        (isinstance(image, str) and image, "its image is no path or URL"),
        (question is None or isinstance(question, str), "its question is no text"),
        (
            isinstance(markers, list) and all(isinstance(one, str) for one in markers),
            'its markers are no list of texts, like ["40,30,200,180"]',
        ),
    ):
        if not fine:
            yield BadItem(name, where, sentence, placed(image, base) if isinstance(image, str) and image else None)
            return
    assert isinstance(image, str)
    item = Item(
        name,
        placed(image, base),
        question or "",
        tuple(MarkerText(placed_marker(text, base), None, asking.coords, asking.box_format) for text in markers),
        fields={key: value for key, value in row.items() if key not in _KNOWN and value is not None},
        where=where,
        line=line,
    )
    yield from asked(item, asking)


def _reader(path: Path) -> Any:
    """The rows of a CSV file, strictly: a quote that isn't closed is an error, and not the rest of the file."""
    csv.field_size_limit(_LARGEST)
    return csv.reader(read_lines(path), strict=True)


def _columns(reader: Iterator[list[str]]) -> list[str]:
    """What the header names; a column without a name is called by its number."""
    return [name.strip() or f"column {number}" for number, name in enumerate(next(reader, []), 1)]


def _parted(text: str) -> Any:
    """The markers of a CSV field, a JSON list or texts separated by ``;``."""
    if not text.lstrip().startswith("["):
        return [one for one in text.split(";") if one.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {}  # no list, as `_items` will say


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


_JSON = json.JSONDecoder(parse_constant=str, parse_float=_finite)


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(one, depth - 1) for one in inner)
