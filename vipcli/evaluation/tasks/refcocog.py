"""RefCOCOg region captions: a short description of what a marker shows, held against those that people gave.

As lmms-eval publishes and asks them (`lmms_eval/tasks/refcocog`): Parquet files ``SPLIT-00000-of-00003.parquet``, alone
or in ``data/``, with ``question_id``, ``image`` (its bytes), ``bbox`` (x, y, width, height), ``segmentation`` (one
polygon, x and y in turn) and ``answer``, a list of descriptions. There the box is drawn in opaque red, a pixel wide;
here in the style of the paper's other tasks.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipcli.batch import need_pyarrow
from vipcli.errors import UsageError, quote
from vipcli.evaluation.cases import Case, Reading, Task
from vipcli.evaluation.styles import AUTHORS, Style, mark_region
from vipcli.evaluation.tasks.reading import Source, box_of, evenly, folder_of, naming, text_of, texts_of
from vipcli.markers.formats.reading import numbers
from vipcli.markers.shapes import XY

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

__all__ = ["TASKS"]

_PAGE = "https://huggingface.co/datasets/lmms-lab/RefCOCOg"
_PUBLISHED = f"they are published at {_PAGE} (data/)"
_PART = re.compile(r"(\w+)-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?\.parquet")
_COLUMNS = ["question_id", "image", "answer", "segmentation", "bbox"]
_SMALL, _MEDIUM = 32**2, 96**2  # square pixels: COCO's sizes, here of the box
_SHOWN = 200  # characters of a path
_AT_ONCE = 16  # rows read at a time: each has a picture


def read(reading: Reading) -> Iterator[Case]:
    """The cases of a split, one after the other, since each carries its picture."""
    files = _files(reading)
    chosen = set(evenly(sum(file.metadata.num_rows for _, file in files), reading.limit))
    repeated = _repeated(files)
    for number, where, row in _rows(files, chosen):
        with naming(where):
            case = _case(row, where, reading.style or AUTHORS)
        yield replace(case, id=f"{case.id}#{number}") if number in repeated else case


def _repeated(files: Sequence[tuple[str, ParquetFile]]) -> set[int]:
    """The numbers, from 1, of the rows whose id stands in an earlier one, chosen or not."""
    ids: list[str] = []
    for name, file in files:
        with _whole(name):
            for batch in file.iter_batches(columns=["question_id"], use_threads=False):
                ids += map(str, batch.column(0).to_pylist())
    first: dict[str, int] = {}
    return {number for number, its in enumerate(ids, 1) if first.setdefault(its, number) != number}


@contextmanager
def _whole(name: str) -> Iterator[None]:
    """Raise a `UsageError` where a file is damaged in its middle."""
    try:
        yield
    except (OSError, ValueError) as error:  # ArrowInvalid is one of these
        raise UsageError(f"{name} can't be read to its end ({error}): {_PUBLISHED}") from None


def _rows(
    files: Sequence[tuple[str, ParquetFile]], chosen: Container[int]
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(number from 1, where it stands, itself) of each chosen row; groups of rows without one are never read."""
    first = 0
    for name, file in files:
        begin = first
        for group in range(file.num_row_groups):
            indexes = range(first, first + file.metadata.row_group(group).num_rows)
            first = indexes.stop
            if not any(index in chosen for index in indexes):
                continue
            rows = iter(indexes)
            with _whole(name):
                for batch in file.iter_batches(_AT_ONCE, row_groups=[group], columns=_COLUMNS, use_threads=False):
                    for at, index in enumerate(itertools.islice(rows, batch.num_rows)):
                        if index in chosen:
                            yield index + 1, f"{name}, row {index - begin + 1}", batch.slice(at, 1).to_pylist()[0]


def _case(row: Mapping[str, Any], where: str, style: Style) -> Case:
    x, y, width, height = numbers(row["bbox"], "its bbox", 4)
    region = box_of([x, y, x + width, y + height], "its bbox as corners")
    marker, _ = mark_region(replace(region, corners=_outline(row["segmentation"])), style)
    references = [" ".join(text.split()) for text in texts_of(row, "answer")]
    if not references:
        raise UsageError("its answer must be a list of at least one description")
    area = width * height
    return Case(
        id=text_of(row, "question_id"),
        image=_picture(row["image"]),
        question="Provide a short description for this region.",
        truth="\n".join(references),
        rule="caption",
        markers=(marker,),
        groups={"size": ("small" if area < _SMALL else "medium" if area < _MEDIUM else "large",)},
        where=where,
    )


def _picture(value: object) -> str:
    data = value.get("bytes") if isinstance(value, dict) else None
    if not isinstance(data, bytes) or not data:
        raise UsageError("its image has no bytes")
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _outline(value: object) -> tuple[XY, ...] | None:
    flat = numbers(value or [], "its segmentation")
    return tuple(zip(flat[::2], flat[1::2], strict=True)) if len(flat) >= 6 and len(flat) % 2 == 0 else None


def _files(reading: Reading) -> list[tuple[str, ParquetFile]]:
    """The files of a split, in order, by their names. Raises `UsageError` where one is missing or isn't whole."""
    need_pyarrow("refcocog-caption, whose data are Parquet files,")
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    split = reading.split or "val"
    source = Source(f"{split}-00000-of-*.parquet", _PAGE, "the same files")
    folder = folder_of(reading, source)
    folder = folder / "data" if (folder / "data").is_dir() else folder
    parts: dict[int, Path] = {}
    wanted = 1
    for path in sorted(folder.iterdir()):
        part = _PART.fullmatch(path.name)
        if part and part[1] == split:
            parts[int(part[2])] = path
            wanted = int(part[3])
    missing = [number for number in range(wanted) if number not in parts]
    if missing:
        of = f"{wanted:05}" if parts else "*"
        raise UsageError(f"{quote(str(folder), _SHOWN)} has no {split}-{missing[0]:05}-of-{of}.parquet: {_PUBLISHED}")
    files = []
    for _, path in sorted(parts.items()):
        try:
            file = ParquetFile(path)
        except (OSError, ArrowException):
            raise UsageError(f"{quote(str(path), _SHOWN)} isn't a whole Parquet file: {_PUBLISHED}") from None
        lacking = [name for name in _COLUMNS if name not in file.schema_arrow.names]
        if lacking:
            raise UsageError(
                f"{quote(str(path), _SHOWN)} has no column {lacking[0]}, so it is another version: {_PUBLISHED}"
            )
        files.append((path.name, file))
    return files


TASKS: tuple[Task, ...] = (
    Task(
        "refcocog-caption",
        "a short description of what is marked",
        read,
        splits=("val", "test"),
        measure="CIDEr",
        best=10.0,
        home=_PAGE,
    ),
)
