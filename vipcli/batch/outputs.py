"""What is made of a journal at the end: tables, annotated copies, a report; all in the order of the source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vipcli.batch.items import BadItem, Item
from vipcli.batch.journal import read_rows, row_at
from vipcli.batch.preparing import Facts, thumbnail
from vipcli.batch.report import Entry, write_report
from vipcli.batch.requests import response
from vipcli.batch.sources import Source
from vipcli.batch.tables import write_csv, write_parquet
from vipcli.batch.workers import Workers
from vipcli.errors import UsageError, VipError, quote
from vipcli.files import whole_file

__all__ = ["annotate", "can_annotate", "rows_in_order", "to_report", "to_table"]

_AHEAD = 64  # thumbnails made ahead of the report


def rows_in_order(source: Source, journal: Path, sample: int | None) -> Iterator[tuple[Item | BadItem, dict[str, Any]]]:
    """Every item that has a line in the journal, with the last one it has, in the order of the source."""
    places = {hash(row["id"]): at for at, row in read_rows(journal)}
    with journal.open("rb") as file:
        for item in source.items(sample):
            at = places.pop(hash(item.id), None)
            if at is not None:
                yield item, row_at(file, at)


def to_table(source: Source, journal: Path, sample: int | None, path: Path, *, quote_formulas: bool = False) -> None:
    """Write the answers as a table; the suffix of `path` says of which kind. Raises `VipError` where it can't be."""
    carried: dict[str, None] = {}
    for _, row in read_rows(journal):
        carried |= dict.fromkeys(row.get("fields") or ())
    rows = (row for _, row in rows_in_order(source, journal, sample))
    try:
        if path.suffix.lower() == ".parquet":
            write_parquet(rows, list(carried), path)
        else:
            write_csv(rows, list(carried), path, quote_formulas=quote_formulas)
    except OSError as error:
        raise VipError(f"{quote(str(path))} can't be written: {error.strerror}") from error


def can_annotate(source: Source, path: Path) -> None:
    """Raise `UsageError` where the source has no place for answers, or `path` is the source itself."""
    if source.path is None:
        raise UsageError(f"--annotate: {quote(source.name)} can't be written back")
    if source.form is None and source.path.suffix.lower() not in (".jsonl", ".ndjson", ".csv"):
        raise UsageError("--annotate: a list of pictures has no place for answers; name a .csv or .jsonl output")
    if source.form is not None and source.form.annotate is None:
        raise UsageError(f"--annotate: {source.form.name} has no place for text")
    if path.exists() and path.samefile(source.path):
        raise UsageError(f"--annotate {quote(str(path))}: that is the source itself; name another")


def annotate(source: Source, journal: Path, sample: int | None, path: Path) -> None:
    """Write a copy of the source with the answers in it. Raises `VipError` where it can't be."""
    assert source.path is not None
    try:
        if source.form is not None:
            assert source.form.annotate is not None
            source.form.annotate(source.path, _answers(source, journal, sample), path)
            return
        rows = (row for _, row in rows_in_order(source, journal, sample))
        if source.requests:
            with whole_file(path) as file:
                for row in rows:
                    file.write(json.dumps(response(row)).encode() + b"\n")
        elif path.suffix.lower() == ".csv":
            to_table(source, journal, sample, path)
        else:
            with whole_file(path) as file:
                for row in rows:
                    kept = {name: row.get(name) for name in ("id", "image", "markers", "question")}
                    fields = row.get("fields") or {}
                    ours = {f"vip_{name}" if name in fields else name: row.get(name) for name in ("answer", "error")}
                    file.write(json.dumps(kept | fields | ours).encode() + b"\n")
    except OSError as error:
        raise VipError(f"{quote(str(path))} can't be written: {error.strerror}") from error


def _answers(source: Source, journal: Path, sample: int | None) -> Any:
    found: dict[tuple[str, str | None], str | None] = {}
    for item, row in rows_in_order(source, journal, sample):
        if isinstance(item, Item) and item.region is not None:
            found[item.region] = row.get("answer")
    return lambda picture, region: found.get((picture, region))


def to_report(
    source: Source,
    journal: Path,
    sample: int | None,
    path: Path,
    workers: Workers,
    facts: Facts,
    about: Mapping[str, str],
) -> None:
    """Write the report, its thumbnails drawn by `workers`. Raises `VipError` where it can't be written."""
    write_report(path, _entries(source, journal, sample, workers, facts), title="vip batch", about=about)


def _entries(source: Source, journal: Path, sample: int | None, workers: Workers, facts: Facts) -> Iterator[Entry]:
    """Rows with their thumbnails, which come in any order and go out in the source's."""
    rows = rows_in_order(source, journal, sample)
    begun: list[tuple[int, dict[str, Any]]] = []
    made: dict[int, bytes | None] = {}
    number = 0
    while True:
        while len(begun) < _AHEAD and (pair := next(rows, None)) is not None:
            item, row = pair
            if isinstance(item, Item):
                workers.put(number, thumbnail, item, facts)
            else:
                made[number] = None
            begun.append((number, row))
            number += 1
        if not begun:
            return
        first, row = begun[0]
        while first not in made:
            done = workers.get(wait=True)
            assert done is not None
            made[done[0]] = None if isinstance(done[1], VipError) else done[1]
        del begun[0]
        yield Entry(row, made.pop(first))
