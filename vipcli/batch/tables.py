"""Answers as a table: CSV or Parquet, in the order of the source, written whole at the end."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vipcli.errors import MissingExtra
from vipcli.files import whole_file

__all__ = ["need_pyarrow", "write_csv", "write_csv_copy", "write_parquet"]

_COLUMNS: dict[str, str] = {
    "id": "string",
    "image": "string",
    "question": "string",
    "answer": "string",
    "error": "string",
    "markers": "string",
    "prompt": "string",
    "finish": "string",
    "model": "string",
    "prompt_tokens": "int64",
    "answer_tokens": "int64",
    "seconds": "float64",
    "warnings": "string",
    "time": "string",
}
"""Our columns, with Arrow's types; those of a manifest follow, as text."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # OWASP's list (CSV Injection)
_PORTION = 1000  # rows written at a time


def write_csv(rows: Iterable[Mapping[str, Any]], carried: list[str], path: Path, *, quote_formulas: bool) -> None:
    """Write `rows` of a journal to a CSV file, UTF-8, all of it or nothing.

    carried: the manifest's columns; one that is called like another is written as ``source_NAME``. quote_formulas: put
    a ``'`` before what a spreadsheet would run as a formula. Raises `VipError` or `OSError` where it can't be written.
    """
    columns = _columns(carried)
    lines = (_flat(row, columns).values() for row in rows)
    _write_lines([*_COLUMNS, *columns.values()], lines, path, quote_formulas)


def write_csv_copy(rows: Iterable[Mapping[str, Any]], columns: list[str], path: Path, *, quote_formulas: bool) -> None:
    """Write `rows` to a CSV manifest with `columns`, its markers separated by ``;``; see `write_csv`."""

    def cell(name: str, value: Any) -> str | None:
        plain = name == "markers" and value is not None and not any(";" in one for one in value)
        return ";".join(value) if plain else _text(value)

    lines = ([cell(name, row.get(name)) for name in columns] for row in rows)
    _write_lines(columns, lines, path, quote_formulas)


def write_parquet(rows: Iterable[Mapping[str, Any]], carried: list[str], path: Path) -> None:
    """Write `rows` of a journal to a Parquet file; see `write_csv`. Raises `MissingExtra` without pyarrow."""
    need_pyarrow()
    import pyarrow
    import pyarrow.parquet

    columns = _columns(carried)
    types = {**_COLUMNS, **dict.fromkeys(columns.values(), "string")}
    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in types.items()])
    with whole_file(path) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for portion in _portions(_flat(row, columns) for row in rows):
            clean = [{name: _encodable(value) for name, value in row.items()} for row in portion]
            writer.write_table(pyarrow.Table.from_pylist(clean, schema))


def need_pyarrow(what: str = "a .parquet output") -> None:
    """Raise `MissingExtra` where Parquet, which `what` needs, can't be read or written, before any work is done."""
    import importlib.util

    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra(what, "pyarrow")


def _write_lines(header: list[str], lines: Iterable[Iterable[Any]], path: Path, quote_formulas: bool) -> None:
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
        try:
            writer = csv.writer(text)
            for line in itertools.chain([header], lines):
                writer.writerow([_harmless(value) if quote_formulas else value for value in line])
            text.flush()
        finally:
            with contextlib.suppress(OSError):  # of a full disk, which it has said before
                text.detach()


def _columns(carried: list[str]) -> dict[str, str]:
    """How each of the manifest's columns is called in the table: as nothing else is there."""
    columns: dict[str, str] = {}
    taken = {*carried}
    for name in carried:
        column = _encodable(name)
        while column in _COLUMNS or (column != name and column in taken):
            column = f"source_{column}"
        taken.add(column)
        columns[name] = column
    return columns


def _flat(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """One row of the table: ours, then the manifest's; lists of texts as lines, other things as JSON."""
    fields = row.get("fields") or {}
    values = {name: row.get(name) for name in _COLUMNS}
    for name in ("markers", "warnings"):
        values[name] = "\n".join(values[name] or ())
    return values | {column: _text(fields.get(name)) for name, column in columns.items()}


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _encodable(value: Any) -> Any:
    """Lone surrogates, from file names that aren't UTF-8, have no place in Arrow's text."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _portions(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    portion: list[dict[str, Any]] = []
    for row in rows:
        portion.append(row)
        if len(portion) == _PORTION:
            yield portion
            portion = []
    if portion:
        yield portion
