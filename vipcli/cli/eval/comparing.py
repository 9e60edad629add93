"""``vip eval --compare A B``: two runs over the same questions, item by item."""

from __future__ import annotations

import os
from pathlib import Path

from vipcli.cli.eval.outputs import show_tables
from vipcli.cli.inputs import make_folder
from vipcli.errors import OutputError, UsageError, quote

__all__ = ["show_comparison"]


def show_comparison(a: Path, b: Path, output: Path | None) -> int:
    """Show the comparison of two RESULTS folders, and write it into `output` where that is given."""
    from vipcli.evaluation import compare, read_lines
    from vipcli.evaluation.tables import comparison_tables
    from vipcli.evaluation.writing import write_comparison

    last = (os.path.basename(os.path.abspath(a)), os.path.basename(os.path.abspath(b)))  # of "." too
    names = last if last[0] != last[1] else (str(a), str(b))
    found = compare(read_lines(_lines_of(a)), read_lines(_lines_of(b)), a=names[0], b=names[1])
    if output is not None:
        make_folder("--output", output)
    show_tables(comparison_tables(found))
    if output is not None:
        try:
            write_comparison(output, found)
        except OSError as error:
            raise OutputError(f"{quote(str(output))} can't be written: {error.strerror}") from error
    return 0


def _lines_of(folder: Path) -> Path:
    path = folder / "scored.jsonl"
    if not path.is_file():
        raise UsageError(f"--compare: {quote(str(folder))} has no scored.jsonl: name a RESULTS folder of vip eval")
    return path
