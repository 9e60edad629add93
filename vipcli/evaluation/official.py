"""The files of ViP-Bench's own evaluation: answers for its server, and what its script makes of them.

Answers are ``{"v1_<id>": answer}`` (`scripts/convert_vipbench_for_eval.py` in mu-cai/ViP-LLaVA); grades are
``{"v1_<id>": {"model": [...], "content": [...], "score": [...]}}``, a score for each run
(`scripts/eval/vip-bench_evaluator.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vipcli.errors import UsageError, quote
from vipcli.evaluation.cases import Case
from vipcli.files import write_whole
from vipcli.markers.formats.reading import file_bytes, shown

__all__ = ["read_grades", "read_official", "write_official"]


def write_official(path: Path, answers: Mapping[str, str]) -> None:
    """Write the file that the official server takes. answers: case id -> answer.

    Raises what `vipcli.files.whole_file` does.
    """
    write_whole(json.dumps(dict(answers), indent=2).encode(), path)


def read_official(path: Path, cases: Iterable[Case]) -> dict[str, str]:
    """The answers of such a file, in the order of `cases`.

    Raises `UsageError` with one sentence where it is another file, has answers to other questions, or lacks any.
    """
    found = _values(path, cases, "answers")
    for key, value in found.items():
        if not isinstance(value, str):
            raise UsageError(f"{quote(str(path))}: the answer to {quote(key)} must be a text, got {shown(value)}")
    return found


def read_grades(path: Path, cases: Iterable[Case]) -> dict[str, tuple[float, ...]]:
    """The scores of each run in a file of the official script, in the order of `cases`; see `read_official`."""
    grades: dict[str, tuple[float, ...]] = {}
    runs = 0
    for key, value in _values(path, cases, "grades").items():
        scores = value.get("score") if isinstance(value, dict) else None
        if not isinstance(scores, list) or not scores or not all(map(_is_score, scores)):
            raise UsageError(
                f'{quote(str(path))}: the grade of {quote(key)} must be like {{"score": [0.5]}}, from 0 to 1, got '
                f"{shown(value if scores is None else scores)}"
            )
        runs = runs or len(scores)
        if len(scores) != runs:
            raise UsageError(f"{quote(str(path))}: {quote(key)} has {len(scores)} scores and others have {runs}")
        grades[key] = tuple(map(float, scores))
    return grades


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1


def _values(path: Path, cases: Iterable[Case], what: str) -> dict[str, Any]:
    """What the file has for each of `cases`; see `read_official`."""
    doubled: list[str] = []

    def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            seen: set[str] = set()
            doubled.extend(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return values

    name = quote(str(path))
    try:
        rows = json.loads(file_bytes(path), object_pairs_hook=once)
    except UsageError as error:
        raise UsageError(f"{name} {error}") from None
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, dict):
        raise UsageError(f'{name} is no JSON object of {what}, {{"v1_0": ...}}')
    if doubled:
        raise UsageError(f"{name} has {quote(doubled[0])} twice")
    ids = [case.id for case in cases]
    missing = [key for key in ids if key not in rows]
    others = rows.keys() - set(ids)
    if others:
        raise UsageError(
            f"{name} has {what} to {len(others):,} questions that aren't asked here, first {quote(min(others))}: "
            "it may be of another benchmark or split, or of all questions where --limit takes some"
        )
    if missing:
        raise UsageError(
            f"{name} lacks {len(missing):,} of {len(ids):,} {what}, first {quote(missing[0])}: a score of some "
            "questions isn't the benchmark's"
        )
    return {key: rows[key] for key in ids}
