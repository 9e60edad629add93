"""One HTML file that lists many rows with their pictures, lets a reader filter and sort them, and fetches nothing.

The page (pages.html, with pages.css and pages.js beside it, and what a page has of its own) gets the rows as JSON and
the thumbnails as base64 in ``<script>`` elements that nothing executes. The thumbnails come last: the page can be used
while they are still read.
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

__all__ = ["Page", "escaped", "shown_text", "write_page"]

_BLOCK = 64  # rows, and thumbnails, in one element of the page; pages.js counts on it
_Row = tuple[Mapping[str, Any], bytes | None]


@dataclass(frozen=True)
class Page:
    """What a page is besides its rows.

    about: what stands above them, by name (model, question, when). label: what the rows are. kinds, orders: the
    buttons that choose rows and the ways to sort them, name -> words for it; the first kind is ``all``, the first
    order ``source``. script: calls ``listRows`` of pages.js. style: added to pages.css. summary: HTML between what it
    is about and the rows. noscript: where else a reader without JavaScript finds them.
    """

    title: str
    about: Mapping[str, str]
    label: str
    kinds: Mapping[str, str]
    orders: Mapping[str, str]
    script: str
    noscript: str
    style: str = ""
    summary: str = ""


def write_page(path: str | os.PathLike[str], page: Page, rows: Iterable[_Row]) -> None:
    """Write a page to `path`: all of it, or nothing changes there.

    rows: each as what its script needs of it, made with `shown_text`, and a thumbnail of about 320 pixels as JPEG. No
    more than a few dozen are held at a time; while they come, their thumbnails lie in a second temporary file beside
    `path`. Raises `VipError` where the file can't be written; errors of `rows` pass through, but for an `OSError`.
    """
    top, middle, end = _around(page)
    try:
        with whole_file(path) as file, tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))) as pictures:
            file.write(top)
            for block in _blocks(rows):
                file.write(_data("rows", json.dumps([row for row, _ in block], separators=(",", ":"))))
                pictures.write(_data("pictures", "\n".join(_base64(thumbnail) for _, thumbnail in block)))
            file.write(middle)
            pictures.seek(0)
            shutil.copyfileobj(pictures, file, 1 << 20)
            file.write(end)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "its folder doesn't exist" if missing else f"can't be written ({error.strerror or error})"
        raise VipError(f"{quote(str(path))}: {why}") from error


def _around(page: Page) -> tuple[bytes, bytes, bytes]:
    """What stands before the rows, between them and the thumbnails, and after these."""
    style = _part("pages.css") + page.style
    script = f'"use strict";\n{{\n{_part("pages.js")}\n{page.script}}}\n'
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    about = (f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in page.about.items())
    buttons = (
        f'<button type="button" data-show="{escaped(name)}">{escaped(words)} <b></b></button>'
        for name, words in page.kinds.items()
    )
    orders = (f'<option value="{escaped(name)}">{escaped(words)}</option>' for name, words in page.orders.items())
    values = {
        "policy": policy + "; base-uri 'none'; form-action 'none'",
        "title": escaped(page.title),
        "style": style,
        "about": "\n".join(about),
        "summary": page.summary,
        "noscript": escaped(page.noscript),
        "buttons": "\n".join(buttons),
        "orders": "\n".join(orders),
        "label": escaped(page.label),
        "script": script,
    }
    parts = [
        re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], part).encode()
        for part in re.split(r"\{\{rows\}\}|\{\{pictures\}\}", _part("pages.html"))
    ]
    return parts[0], parts[1], parts[2]


def _part(name: str) -> str:
    return (files("vipcli.batch") / name).read_text("utf-8")


def _digest(text: str) -> str:
    """The source of a content security policy that allows exactly `text`."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def escaped(text: str) -> str:
    """A text as HTML, in an element or between double quotes."""
    return html.escape(shown_text(text))


def shown_text(value: Any) -> str:
    """A value as text that is harmless to show: what isn't text as JSON, and of all of it control characters, lone
    surrogates and what reorders text as their codes, as `vipcli.errors.plain` writes them."""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return plain(value, keep_newlines=True)


def _blocks(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    rest = iter(rows)
    while block := list(itertools.islice(rest, _BLOCK)):
        yield block


def _data(kind: str, text: str) -> bytes:
    """A block of data for the page's script. No browser executes this type; ``<`` and the like are escaped in JSON."""
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return f'<script type="application/json" class="{kind}">{text}</script>\n'.encode("ascii")


def _base64(thumbnail: bytes | None) -> str:
    return base64.b64encode(thumbnail or b"").decode("ascii")
