"""The report of a batch: one HTML file that shows every answer beside its picture and fetches nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from vipcli.batch.pages import Page, shown_text, write_page

__all__ = ["Entry", "write_report"]

_KINDS = {"all": "All", "answered": "Answered", "failed": "Failed", "warned": "Warnings"}
_ORDERS = {"source": "source order", "id": "id", "answer": "answer", "seconds": "seconds, slowest first"}
_NO_SCRIPT = (
    "The rows of this report are listed by its own JavaScript, which is switched off here. "
    "They are also in the file of answers that it was made from, one a line."
)


@dataclass(frozen=True)
class Entry:
    """One row of the report.

    row: a line of answers.jsonl: ``id``, ``image``, ``markers`` (texts), ``question``, ``prompt``, ``answer``,
        ``error``, ``warnings`` (texts), ``finish``, ``model``, ``prompt_tokens``, ``answer_tokens``, ``seconds`` and
        ``fields`` (what a manifest carried through, by name). Any but ``id`` may be missing or None.
    thumbnail: a JPEG of the marked picture, about 320 pixels on its longer side; None where there is none.
    """

    row: Mapping[str, Any]
    thumbnail: bytes | None = None


def write_report(
    path: str | os.PathLike[str], entries: Iterable[Entry], *, title: str, about: Mapping[str, str]
) -> None:
    """Write the report of `entries`, in their order, to `path`: all of it, or nothing changes there.

    about: what stands above the rows, by name (model, question, when). For the rest see `vipcli.batch.pages`: what is
    held at a time, how hostile text is shown, what is raised.
    """
    page = Page(
        title=title,
        about=about,
        label="Answers",
        kinds=_KINDS,
        orders=_ORDERS,
        script=(files("vipcli.batch") / "report.js").read_text("utf-8"),
        noscript=_NO_SCRIPT,
    )
    write_page(path, page, ((_shown(entry.row), entry.thumbnail) for entry in entries))


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the page needs of a row: texts, lists of texts and numbers, harmless to show; nothing that is empty."""
    texts = ("id", "image", "question", "prompt", "answer", "error", "finish", "model")
    numbers = ("prompt_tokens", "answer_tokens", "seconds")
    fields = row.get("fields") or {}
    shown = {
        **{name: shown_text(row[name]) for name in texts if row.get(name) is not None},
        **{name: [shown_text(one) for one in row[name]] for name in ("markers", "warnings") if row.get(name)},
        **{name: row[name] for name in numbers if _is_number(row.get(name))},
        "fields": [[shown_text(name), shown_text(value)] for name, value in fields.items()],
    }
    return {name: value for name, value in shown.items() if value != []}


def _is_number(value: Any) -> bool:
    """Whether JSON has it: not NaN, not the infinities."""
    return isinstance(value, int | float) and abs(value) < float("inf")
