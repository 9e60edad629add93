"""What an evaluation comes to, a line for each question asked: ``scored.jsonl``, which everything after it reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

from vipcli.errors import UsageError, quote
from vipcli.files import whole_file

__all__ = [
    "CONTROLS",
    "MOVED",
    "OUTCOMES",
    "PLAIN",
    "REMOVED",
    "Line",
    "Outcome",
    "as_json",
    "outcome_of",
    "read_lines",
    "write_lines",
]

Outcome = Literal["right", "partly", "wrong", "refused", "unparsable", "failed", "unscored"]
"""right, partly, wrong: by its score (1, between, 0). refused: the answer says that it can't or doesn't know (score 0).
unparsable: no letter or number can be read from it (score 0). failed: there is no answer. unscored: no score yet
(a judge is to be asked, or was turned off)."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""All of them, in this order."""

PLAIN = ""
"""The variant of a question that is asked as the task has it."""
REMOVED, MOVED = "removed", "moved"
CONTROLS = (REMOVED, MOVED)
"""The variants that tell what the marker is worth: without it, and with it on another place of the picture."""
_BEST = 10.0  # of any score: that of CIDEr


@dataclass(frozen=True, eq=False)
class Line:
    """One question asked.

    id: of the case. picture: questions with the same one are drawn together when chance is estimated. variant: `PLAIN`,
    one of `CONTROLS` or the name of a `Style`. question, truth: see `Case`.
    answer: None where the item failed, and then `error` says why. score: from 0 to 1, of a caption its CIDEr, from 0
    to 10; None where there is none. groups: see `Case.groups`. markers: as drawn. read: what was read from the answer:
    the letter, the number. runs: the score of each run of a judge, of which `score` is the mean.
    """

    id: str
    picture: str
    question: str
    truth: str
    answer: str | None
    score: float | None
    outcome: Outcome
    variant: str = PLAIN
    error: str | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    markers: tuple[str, ...] = ()
    read: str = ""
    runs: tuple[float, ...] = ()


def outcome_of(score: float) -> Outcome:
    """What an answer with this score is, where that alone tells: as a judge or the official script gives it."""
    return "right" if score == 1 else "partly" if score > 0 else "wrong"


def write_lines(lines: Iterable[Line], path: Path) -> None:
    """Write ``scored.jsonl``: all of it, or nothing changes there."""
    with whole_file(path) as file:
        for line in lines:
            file.write(as_json(asdict(line)) + b"\n")


def read_lines(path: Path) -> Iterator[Line]:
    """Read ``scored.jsonl`` again. Raises `UsageError` with the number of a line that isn't of it."""
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                try:
                    row = _loaded(text)
                    groups = {heading: tuple(names) for heading, names in row.pop("groups").items()}
                    kept = {name: tuple(row[name]) for name in ("markers", "runs")}
                    yield _checked(Line(**row | {"groups": groups, **kept}))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                    raise UsageError(f"{quote(str(path))}, line {number}: is no line of vip eval") from error
    except OSError as error:
        raise UsageError(f"{quote(str(path))} can't be read: {error.strerror}") from error


def as_json(value: object, option: int = 0) -> bytes:
    """`value` as JSON; half a pair, as of a file name that isn't UTF-8, becomes its code. option: of orjson."""
    try:
        return orjson.dumps(value, option=option)
    except TypeError:
        return json.dumps(value, indent=2 if option & orjson.OPT_INDENT_2 else None).encode()


def _checked(line: Line) -> Line:
    """The line itself. Raises `ValueError` for one that somebody has edited into what no figure can be made of."""
    texts = (line.id, line.picture, line.question, line.truth, line.variant, line.read)
    good_score = line.score is None or (type(line.score) in (int, float) and 0 <= line.score <= _BEST)
    if not (good_score and line.outcome in OUTCOMES and all(isinstance(text, str) for text in texts)):
        raise ValueError
    return line


def _loaded(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)  # which knows half a pair
