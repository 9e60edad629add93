"""The files of a RESULTS folder beside the journal, the lines and the page."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vipcli.evaluation.comparing import Comparison
from vipcli.evaluation.results import Results
from vipcli.evaluation.tables import comparison_tables, result_tables, to_json, to_markdown
from vipcli.files import write_whole

__all__ = ["write_comparison", "write_manifest", "write_results"]

_PACKAGES = ("vipcli", "torch", "transformers", "opencv-python-headless", "pillow", "numpy")


def write_results(folder: Path, results: Results, notes: Iterable[str] = ()) -> None:
    """Write ``results.json`` and ``results.md``. notes: sentences behind the tables."""
    write_whole(to_json(results), folder / "results.json")
    text = to_markdown(result_tables(results)) + "".join(f"\n{note}\n" for note in notes)
    write_whole(text.encode(), folder / "results.md")


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write ``comparison.json`` and ``comparison.md``."""
    write_whole(to_json(comparison), folder / "comparison.json")
    write_whole(to_markdown(comparison_tables(comparison)).encode(), folder / "comparison.md")


def write_manifest(path: Path, command: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json``: the command, the versions of all that has a say in an answer, and `facts` of the run."""
    about = {
        "command": list(command),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "platform": platform.platform(),
        **facts,
    }
    write_whole(json.dumps(about, indent=1, default=str).encode(), path)


def _version(package: str) -> str | None:
    """None where it isn't installed, as torch where a server answers."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
