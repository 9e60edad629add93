"""What is made of a journal at the end: tables, annotated copies, a report; all in the order of the source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.batch.journal import read_rows, row_at
from vipcli.batch.places import seen_from, with_mask_file
from vipcli.batch.preparing import Facts, thumbnail
from vipcli.batch.report import Entry, write_report
from vipcli.batch.requests import response
from vipcli.batch.sources import Source
from vipcli.batch.tables import write_csv, write_csv_copy, write_parquet
from vipcli.batch.workers import Workers, in_order
from vipcli.errors import UsageError, VipError, quote
from vipcli.files import whole_file
from vipcli.markers.formats import check_folder

__all__ = ["annotate", "can_annotate", "rows_in_order", "to_report", "to_table"]

_JSON_LINES = (".jsonl", ".ndjson")


def rows_in_order(source: Source, journal: Path, sample: int | None) -> Iterator[tuple[Item | BadItem, dict[str, Any]]]:
    """Every item that has a line in the journal, with its answer or the last error, in the order of the source."""
    places: dict[int, int] = {}
    answered: set[int] = set()
    for begin, row in read_rows(journal):
        key = hash(row["id"])
        if row["answer"] is not None:
            answered.add(key)
        elif key in answered:  # that another item has the same id
            continue
        places[key] = begin
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
    if source.form is None and source.path.suffix.lower() not in (*_JSON_LINES, ".csv"):
        raise UsageError("--annotate: a list of pictures has no place for answers; name a .csv or .jsonl output")
    if source.requests and path.suffix.lower() not in _JSON_LINES:
        raise UsageError(f"--annotate {quote(str(path))}: responses are JSON lines; name a .jsonl file")
    if source.form is None and path.suffix.lower() not in (*_JSON_LINES, ".csv"):
        raise UsageError(f"--annotate {quote(str(path))}: the copy of a list is a .jsonl or .csv file")
    if source.form is not None and source.form.annotate is None:
        raise UsageError(f"--annotate: {source.form.name} has no place for text")
    if path.exists() and path.samefile(source.path):
        raise UsageError(f"--annotate {quote(str(path))}: that is the source itself; name another")
    if source.path.is_dir():
        check_folder(source.path, path)
    elif path.is_dir():
        raise UsageError(f"--annotate {quote(str(path))}: is a folder; name a file in it")


def annotate(source: Source, journal: Path, sample: int | None, path: Path, *, quote_formulas: bool = False) -> None:
    """Write a copy of the source with the answers in it. Raises `VipError` where it can't be."""
    assert source.path is not None
    try:
        if source.form is not None:
            assert source.form.annotate is not None
            source.form.annotate(source.path, _answers(source, journal, sample), path)
            return
        pairs = rows_in_order(source, journal, sample)
        if not source.requests and path.suffix.lower() == ".csv":
            columns = dict.fromkeys(("id", "image", "question", "markers"))
            for item, row in rows_in_order(source, journal, sample):
                columns |= dict.fromkeys(_copy(item, row, path))
            copies = (_copy(item, row, path) for item, row in pairs)
            write_csv_copy(copies, list(columns), path, quote_formulas=quote_formulas)
            return
        with whole_file(path) as file:
            for item, row in pairs:
                line = response(row) if source.requests else _copy(item, row, path)
                file.write(json.dumps(line).encode() + b"\n")
    except OSError as error:
        raise VipError(f"{quote(str(path))} can't be written: {error.strerror}") from error


def _copy(item: Item | BadItem, row: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A line of a manifest with its answer: its files as seen from `path`, the question and the markers as asked."""
    line: dict[str, Any] = {"id": item.id, "image": item.image and seen_from(path.parent, item.image)}
    if isinstance(item, Item):
        markers = [one for one in item.markers if isinstance(one, MarkerText)]
        line |= {
            "question": item.question,
            "markers": [_marker_seen_from(path.parent, one) for one in markers],
        }
        line |= item.fields
    return line | {f"vip_{name}" if name in line else name: row.get(name) for name in ("answer", "error")}


def _marker_seen_from(folder: Path, marker: MarkerText) -> str:
    text = f"{marker.kind}:{marker.text}" if marker.kind else marker.text
    return with_mask_file(text, lambda file: seen_from(folder, file))


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
    """Rows with their thumbnails, in the order of the source."""
    jobs = (
        (row, thumbnail if isinstance(item, Item) else None, (item, facts))
        for item, row in rows_in_order(source, journal, sample)
    )
    for row, picture in in_order(workers, jobs):
        yield Entry(row, None if isinstance(picture, VipError) else picture)
