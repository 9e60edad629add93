"""Where the answers of ``vip batch`` go: checked before any work, written after it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.batch import Facts, Source, Workers

__all__ = ["Outputs", "outputs_of", "write_outputs"]


@dataclass(frozen=True)
class Outputs:
    """Where the answers go: the journal, and what is made of it at the end."""

    journal: Path
    table: Path | None
    html: Path | None
    annotated: Path | None


def outputs_of(output: str | None, html: str | None, annotated: str | None, source: Source) -> Outputs:
    """Check everything that can be known of the outputs before any work is done."""
    from vipcli.batch import can_annotate, need_pyarrow

    if not output:
        raise UsageError("no output: say where the answers go, like -o answers.jsonl")
    path = Path(output)
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".ndjson", ".csv", ".parquet"):
        raise UsageError(f"--output {quote(output)}: use .jsonl, .csv or .parquet")
    if suffix == ".parquet":
        need_pyarrow()
    is_table = suffix in (".csv", ".parquet")
    found = Outputs(
        Path(f"{output}.jsonl") if is_table else path,
        path if is_table else None,
        Path(html) if html else None,
        Path(annotated) if annotated else None,
    )
    given = [one for one in (found.journal, found.table, found.html, found.annotated) if one is not None]
    for one in given:
        try:
            os.lstat(one)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:  # a name that is too long, a folder that may not be entered
            raise UsageError(f"{quote(str(one), 100)}: can't be written: {error.strerror}") from None
    if found.annotated is not None:
        can_annotate(source, found.annotated)
    for number, one in enumerate(given):
        if one.is_dir() and one is not found.annotated:
            raise UsageError(f"{quote(str(one))}: is a folder; name a file in it")
        if one.is_file() and not os.access(one, os.W_OK):
            raise UsageError(f"{quote(str(one))}: is write-protected")
        if not one.absolute().parent.is_dir():
            raise UsageError(f"{quote(str(one))}: there is no folder {quote(str(one.parent))}")
        try:
            with tempfile.TemporaryFile(dir=one.absolute().parent):
                pass
        except OSError as error:
            raise UsageError(f"{quote(str(one))}: nothing can be written in its folder: {error.strerror}") from None
        if source.path is not None and source.path.is_file() and one.exists() and one.samefile(source.path):
            raise UsageError(f"{quote(str(one))}: that is the source itself; name another file")
        if one.absolute() in [other.absolute() for other in given[:number]]:
            raise UsageError(f"{quote(str(one))}: two outputs would be written there")
    return found


def write_outputs(
    source: Source,
    outputs: Outputs,
    sample: int | None,
    workers: Workers,
    facts: Facts,
    about: dict[str, str],
    quote_formulas: bool,
) -> None:
    """What is made of the journal at the end."""
    from vipcli.batch import annotate, to_report, to_table

    if outputs.table is not None:
        to_table(source, outputs.journal, sample, outputs.table, quote_formulas=quote_formulas)
    if outputs.annotated is not None:
        annotate(source, outputs.journal, sample, outputs.annotated, quote_formulas=quote_formulas)
    if outputs.html is not None:
        to_report(source, outputs.journal, sample, outputs.html, workers, facts, about)
