"""The report of a batch: one HTML file that shows every answer beside its picture and fetches nothing.

The page (report.html, with report.css and report.js beside it) gets the rows as JSON and the thumbnails as base64 in
``<script>`` elements that nothing executes. The thumbnails come last: the page can be used while they are still read.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from vipcli.errors import VipError, plain, quote
from vipcli.files import whole_file

__all__ = ["Entry", "write_report"]

_BLOCK = 64  # rows, and thumbnails, in one element of the page; report.js counts on it


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

    about: what stands above the rows, by name (model, question, when). Of `entries` no more than a few dozen are held
    at a time; while they come, their thumbnails lie in a second temporary file beside `path`. Control characters, lone
    surrogates and what reorders text are shown as their codes, as `vipcli.errors.plain` writes them.
    Raises `VipError` where the file can't be written; errors of `entries` pass through, but for an `OSError`.
    """
    top, middle, end = _page(title, about)
    try:
        with whole_file(path) as file, tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))) as pictures:
            file.write(top)
            for block in _blocks(entries):
                file.write(_data("rows", json.dumps([_shown(entry.row) for entry in block], separators=(",", ":"))))
                pictures.write(_data("pictures", "\n".join(_base64(entry.thumbnail) for entry in block)))
            file.write(middle)
            pictures.seek(0)
            shutil.copyfileobj(pictures, file, 1 << 20)
            file.write(end)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "its folder doesn't exist" if missing else f"can't be written ({error.strerror or error})"
        raise VipError(f"{quote(str(path))}: {why}") from error


def _page(title: str, about: Mapping[str, str]) -> tuple[bytes, bytes, bytes]:
    """What stands before the rows, between them and the thumbnails, and after these."""
    style, script = _part("report.css"), _part("report.js")
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    lines = (f"<div><dt>{_escaped(name)}</dt><dd>{_escaped(value)}</dd></div>" for name, value in about.items())
    values = {
        "policy": policy + "; base-uri 'none'; form-action 'none'",
        "title": _escaped(title),
        "style": style,
        "about": "\n".join(lines),
        "script": script,
    }
    parts = [
        re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], part).encode()
        for part in re.split(r"\{\{rows\}\}|\{\{pictures\}\}", _part("report.html"))
    ]
    return parts[0], parts[1], parts[2]


def _part(name: str) -> str:
    return (files("vipcli.batch") / name).read_text("utf-8")


def _digest(text: str) -> str:
    """The source of a content security policy that allows exactly `text`."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _escaped(text: str) -> str:
    return html.escape(plain(str(text), keep_newlines=True))


def _blocks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    rest = iter(entries)
    while block := list(itertools.islice(rest, _BLOCK)):
        yield block


def _data(kind: str, text: str) -> bytes:
    """A block of data for the page's script. No browser executes this type; ``<`` and the like are escaped in JSON."""
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return f'<script type="application/json" class="{kind}">{text}</script>\n'.encode("ascii")


def _base64(thumbnail: bytes | None) -> str:
    return base64.b64encode(thumbnail or b"").decode("ascii")


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the page needs of a row: texts, lists of texts and numbers, harmless to show; nothing that is empty."""
    texts = ("id", "image", "question", "prompt", "answer", "error", "finish", "model")
    numbers = ("prompt_tokens", "answer_tokens", "seconds")
    fields = row.get("fields") or {}
    shown = {
        **{name: _text(row[name]) for name in texts if row.get(name) is not None},
        **{name: [_text(one) for one in row[name]] for name in ("markers", "warnings") if row.get(name)},
        **{name: row[name] for name in numbers if _is_number(row.get(name))},
        "fields": [[_text(name), _text(value)] for name, value in fields.items()],
    }
    return {name: value for name, value in shown.items() if value != []}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return plain(value, keep_newlines=True)


def _is_number(value: Any) -> bool:
    """Whether JSON has it: not NaN, not the infinities."""
    return isinstance(value, int | float) and abs(value) < float("inf")
