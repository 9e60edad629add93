"""Answers as a table: CSV or Parquet, in the order of the source, written whole at the end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vipcli.errors import MissingExtra
from vipcli.files import whole_file

__all__ = ["need_pyarrow", "write_csv", "write_parquet"]

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

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PORTION = 1000  # rows written at a time


def write_csv(rows: Iterable[Mapping[str, Any]], carried: list[str], path: Path, *, quote_formulas: bool) -> None:
    """Write `rows` of a journal to a CSV file, UTF-8, all of it or nothing.

    carried: the manifest's columns; one that is called like ours is written as ``source_NAME``. quote_formulas: put
    a ``'`` before what a spreadsheet would run as a formula. Raises `VipError` or `OSError` where it can't be written.
    """
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
        writer = csv.writer(text)
        writer.writerow([*_COLUMNS, *map(_renamed, carried)])
        for row in rows:
            values = _flat(row, carried).values()
            writer.writerow([_harmless(value) if quote_formulas else value for value in values])
        text.flush()
        text.detach()


def write_parquet(rows: Iterable[Mapping[str, Any]], carried: list[str], path: Path) -> None:
    """Write `rows` of a journal to a Parquet file; see `write_csv`. Raises `MissingExtra` without pyarrow."""
    need_pyarrow()
    import pyarrow
    import pyarrow.parquet

    types = {**_COLUMNS, **{_renamed(name): "string" for name in carried}}
    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in types.items()])
    with whole_file(path) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for portion in _portions(_flat(row, carried) for row in rows):
            clean = [{name: _encodable(value) for name, value in row.items()} for row in portion]
            writer.write_table(pyarrow.Table.from_pylist(clean, schema))


def need_pyarrow() -> None:
    """Raise `MissingExtra` where Parquet can't be written, before any work is done."""
    import importlib.util

    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra("a .parquet output", "pyarrow")


def _flat(row: Mapping[str, Any], carried: list[str]) -> dict[str, Any]:
    """One row of the table: ours, then the manifest's; lists of texts as lines, other things as JSON."""
    fields = row.get("fields") or {}
    values = {name: row.get(name) for name in _COLUMNS}
    for name in ("markers", "warnings"):
        values[name] = "\n".join(values[name] or ())
    return values | {_renamed(name): _text(fields.get(name)) for name in carried}


def _renamed(name: str) -> str:
    return f"source_{name}" if name in _COLUMNS else name


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
