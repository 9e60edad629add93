"""The page of an evaluation: its figures, and every question with its marked picture; one file that fetches nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from vipcli.batch import Page, shown_text, write_page
from vipcli.evaluation.lines import CONTROLS, OUTCOMES, PLAIN, Line
from vipcli.evaluation.plots import summary
from vipcli.evaluation.results import Results
from vipcli.evaluation.tables import control_name

__all__ = ["write_report"]

_KINDS: dict[str, str] = {"all": "All", **{name: name.capitalize() for name in OUTCOMES}}
_ORDERS = {"source": "source order", "id": "id", "answer": "answer", "score": "score, lowest first"}
_NO_SCRIPT = (
    "The questions are listed by this page's own JavaScript, which is switched off here. "
    "They are also in scored.jsonl, which it was made from, one a line."
)


def write_report(
    path: str | os.PathLike[str],
    entries: Iterable[tuple[Line, bytes | None]],
    results: Results,
    *,
    title: str,
    about: Mapping[str, str],
) -> None:
    """Write the page of `results` to `path`: all of it, or nothing changes there.

    entries: the questions in the order of the page, each with a JPEG of its marked picture, about 320 pixels on the
    longer side, or None. about: what stands at its head, by name (model, task, command, date). For the rest see
    `vipcli.batch.pages`: what is held at a time, how hostile text is shown, what is raised.
    """
    page = Page(
        title=title,
        about=about,
        label="Questions",
        kinds=_KINDS,
        orders=_ORDERS,
        script=_part("report.js"),
        style=_part("report.css"),
        summary=summary(results),
        noscript=_NO_SCRIPT,
    )
    write_page(path, page, ((_shown(line), thumbnail) for line, thumbnail in entries))


def _part(name: str) -> str:
    return (files("vipcli.evaluation") / name).read_text("utf-8")


def _shown(line: Line) -> dict[str, Any]:
    """What the page needs of a question, harmless to show; nothing that is missing."""
    texts = {
        "id": line.id,
        "image": None if line.picture.startswith("data:") else line.picture,
        "question": line.question,
        "truth": line.truth,
        "answer": line.answer,
        "error": (line.error or "no answer") if line.answer is None else None,
        "read": line.read or None,
        "outcome": line.outcome,
        "variant": _variant(line.variant),
    }
    shown: dict[str, Any] = {name: shown_text(text) for name, text in texts.items() if text is not None}
    if line.score is not None:
        shown["score"] = round(line.score, 4)
    if line.markers:
        shown["markers"] = [shown_text(marker) for marker in line.markers]
    if line.groups:
        shown["groups"] = [
            [shown_text(heading), [shown_text(name) for name in names]] for heading, names in line.groups.items()
        ]
    return shown


def _variant(variant: str) -> str:
    """What a variant is called on the page; report.js knows the first."""
    if variant == PLAIN:
        return "as asked"
    return control_name(variant) if variant in CONTROLS else variant
