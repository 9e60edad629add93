"""VP-Bench, stage 1 (arXiv 2511.11438): does a model see what a marker is, and how many there are, and on what?

``vp_bench_stage_1.parquet``, a row for each question: ``index``, ``context``, ``question``, ``A`` to
``D``, ``answer``, ``image`` (base64; the markers are in it), ``vp_amount``, ``vp_shape``, ``vp_properties``. The prompt
is that of `vlmeval/dataset/image_vqa.py` in Endlinc/VP-Bench, its typographic apostrophe included. That script takes
the first A, B, C or D anywhere in an answer, the A of "Answer: D" too; here an answer is read (see
`vipcli.evaluation.letters`), or counted as unparsable.

There are some 39,000 questions with 34,000 pictures: rows are read a few at a time, and never held.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vipcli.batch import need_pyarrow
from vipcli.errors import UsageError, quote
from vipcli.evaluation.cases import Case, Reading, Task
from vipcli.evaluation.tasks.reading import Source, evenly, folder_of, naming, text_of
from vipcli.evaluation.tasks.wording import LETTERS, as_question
from vipcli.markers.formats.reading import shown

__all__ = ["TASKS"]

_FILE = "vp_bench_stage_1.parquet"
_PAGE = "https://modelscope.cn/datasets/VP-Bench/VP-Bench-Stage-1"
_SOURCE = Source(_FILE, _PAGE, _PAGE)
_COLUMNS = ("index", "context", "question", *LETTERS, "answer", "image", "vp_amount", "vp_shape", "vp_properties")
_AT_ONCE = 8  # rows; a picture has a few 100 kB
_BUFFER = 1 << 20  # bytes read ahead of a column: without, all of it would be held
_INSTRUCTION = "Answer with the option’s letter from the given choices directly."
_JPEG, _PNG = "/9j/", "iVBORw0KGg"  # how they begin in base64


def read(reading: Reading) -> Iterator[Case]:
    """The cases, in the order of the rows."""
    path = folder_of(reading, _SOURCE) / _FILE
    if not path.is_file():
        raise UsageError(f"{quote(str(path.parent))} has no {_FILE}: it is published at {_PAGE}")
    need_pyarrow("vp-bench, whose data are a Parquet file,")
    chosen = iter(evenly(_rows_of(path), reading.limit))
    wanted = next(chosen, None)
    known: set[str] = set()
    for at, row in enumerate(_rows(path)):
        if wanted is None:
            return
        if at == wanted:
            yield _case(row, f"{_FILE}, row {at + 1}", known)
            wanted = next(chosen, None)


def _rows_of(path: Path) -> int:
    """How many rows a file has. Raises `UsageError` where it isn't whole, or has other columns."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise UsageError(f"{quote(str(path))} has no column {missing[0]!r}: {_FILE} is published at {_PAGE}")
            return int(file.metadata.num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise _broken(path, error) from None


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            # Threads would decode columns ahead: on a busy machine up to all of the pictures.
            for batch in file.iter_batches(_AT_ONCE, columns=list(_COLUMNS), use_threads=False):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> UsageError:
    return UsageError(
        f"{quote(str(path))} can't be read, it may be half there: {quote(str(error))}; it is published at {_PAGE}"
    )


def _case(row: Mapping[str, Any], where: str, known: set[str]) -> Case:
    with naming(where):
        name = str(row["index"])
        if name in known:
            raise UsageError(f"its index {quote(name)} is that of another row too")
        known.add(name)
        options = {letter: _words(row[letter]) for letter in LETTERS}
        truth = text_of(row, "answer").strip().upper()
        if not options.get(truth):
            raise UsageError(f"its answer must be the letter of an option, got {shown(row['answer'])}")
        lines = (
            _words(row["context"]),
            text_of(row, "question").strip(),
            *(f"{letter}. {one}" for letter, one in options.items()),
        )
        return Case(
            id=name,
            image=_image(row["image"]),
            question=as_question("\n".join((*lines, _INSTRUCTION)).strip()),
            truth=truth,
            rule="letter",
            groups={
                "shape": _names(row["vp_shape"]),
                "amount": (str(row["vp_amount"]).strip(),),
                "property": (_words(row["vp_properties"]) or "none",),
            },
            choices=tuple(letter for letter, option in options.items() if option),
            where=where,
        )


def _image(data: object) -> str:
    if not isinstance(data, str) or not data:
        raise UsageError(f"its image must be a picture in base64, got {shown(data if isinstance(data, str) else None)}")
    if data.startswith("data:"):
        return data
    kind = "jpeg" if data.startswith(_JPEG) else "png" if data.startswith(_PNG) else None
    if kind is None:
        raise UsageError(f"its image must be a PNG or JPEG in base64, got {shown(data[:20])}")
    return f"data:image/{kind};base64,{data}"


def _words(value: object) -> str:
    return "" if value is None else str(value).strip()


def _names(value: object) -> tuple[str, ...]:
    """The shapes of a row: a text, a list of texts, or such a list written as text."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            value = [value]
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(dict.fromkeys(_words(one) for one in values if _words(one))) or ("none",)


TASKS = (
    Task(
        "vp-bench",
        "what markers there are, how many and on what: 34,000 pictures, eight shapes in 355 mixes of attributes",
        read,
        source="arXiv 2511.11438",
        can_restyle=False,
        marks=False,
        home=_PAGE,
        chance=0.25,
    ),
)
