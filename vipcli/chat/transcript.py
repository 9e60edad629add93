"""A chat's files: a JSON transcript to go on with, a Markdown one to read, and their pictures beside them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vipcli.chat.session import ChatSession, Exchange, View
from vipcli.errors import UsageError, VipError, plain, quote
from vipcli.files import write_whole
from vipcli.images import open_picture, save_picture
from vipcli.markers import Marker, Mask, parse, render
from vipcli.pointing import mark

__all__ = ["load_transcript", "save_transcript"]

_FORMAT = 1
_LARGEST = 50 * 2**20  # bytes of a transcript; the pictures aren't in it
_HERE = "{pictures}"  # in a marker's text: the folder of the transcript's pictures, wherever that lies when it is read
# The text of a mask that `save_transcript` writes: a file of that folder, or corners.
_MASK = re.compile(r"mask:([\w-]+=)?(\{pictures\}/[\w.-]+|[\d\s,.%+\-e]+)(@[\w#,=.+-]*)?", re.I)


def save_transcript(session: ChatSession, path: str | os.PathLike[str]) -> None:
    """Write the conversation to `path`, ``.md`` or ``.json``, its marked pictures into ``<name>_pictures`` beside it.

    For JSON the pictures without markers are written too, so that `load_transcript` can go on from there. A picture is
    named by its pixels, so that none changes which another transcript shows. Raises `UsageError` for another suffix,
    `VipError` where something can't be written; the transcript comes last, whole.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".md", ".json"):
        raise UsageError(f"{quote(str(path))}: a transcript's file name ends in .md or .json; it says the format")
    pictures = path.with_name(f"{path.stem}_pictures")
    views = list(_views(session))
    try:
        if views:
            pictures.mkdir(parents=True, exist_ok=True)
        marked = [_kept(mark(view.picture, view.markers).picture, pictures) for view in views]
        text = (_markdown if suffix == ".md" else _json)(session, views, marked, pictures)
        write_whole(text.encode("utf-8", "replace"), path)
    except (OSError, ValueError) as error:  # a NUL in the name is the second
        why = getattr(error, "strerror", None) or error
        raise VipError(f"{quote(str(path))}: it can't be written: {why}") from error


def load_transcript(session: ChatSession, path: str | os.PathLike[str]) -> None:
    """Go on with the conversation that `save_transcript` wrote to `path` as JSON, in place of the session's own.

    Raises `VipError` where it can't be read or isn't such a file; the session stays as it was.
    """
    path = Path(path)
    shown = quote(str(path))
    try:
        saved = json.loads(_read(path))
        if saved["vip_transcript"] != _FORMAT:
            raise VipError(f"{shown}: it was written by another version of vip")
        views: list[View] = []
        for entry in saved["views"]:
            view = _view(entry, path.parent)
            alike = (other.picture for other in views if _alike(other.picture, view.picture))
            views.append(replace(view, picture=next(alike, view.picture)))  # one picture, marked in two ways
        exchanges = [
            Exchange(
                question=str(turn["question"]),
                asked=str(turn["asked"]),
                view=View() if turn["view"] is None else views[turn["view"]],
                answer=str(turn["answer"]),
                finish="stop",
            )
            for turn in saved["turns"]
        ]
        present = View() if saved["view"] is None else views[saved["view"]]
        system = None if saved["system"] is None else str(saved["system"])
    except OSError as error:
        raise VipError(f"{shown}: it can't be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise VipError(f"{shown}: it is no transcript that vip wrote with /export") from None
    session.go_on(present, exchanges, system)


def _read(path: Path) -> bytes:
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe that nobody writes to would be waited for, a device never end
        raise VipError(f"{quote(str(path))}: is no file")
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise VipError(f"{quote(str(path))}: is larger than the limit of {_LARGEST // 2**20} MB")
    return data


def _kept(picture: np.ndarray, folder: Path) -> str:
    """The name of a file with `picture` in `folder`, which is written where it isn't there."""
    digest = hashlib.blake2b(repr(picture.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(picture).data)
    name = f"{digest.hexdigest()}.png"
    if not (folder / name).exists():
        save_picture(picture, folder / name)
    return name


def _views(session: ChatSession) -> Iterator[View]:
    """Every view of the conversation once, in order, the present one last."""
    seen: list[View] = []
    for view in [*(exchange.view for exchange in session.exchanges), session.view]:
        if view.picture is not None and _number(seen, view) is None:
            seen.append(view)
            yield view


def _alike(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)


def _number(views: list[View], view: View) -> int | None:
    return next((number for number, other in enumerate(views) if other.shows_the_same(view)), None)


def _json(session: ChatSession, views: list[View], marked: list[str], pictures: Path) -> str:
    turns = [
        {
            "question": exchange.question,
            "asked": exchange.asked,
            "answer": exchange.answer,
            "view": _number(views, exchange.view),
        }
        for exchange in session.exchanges
    ]
    saved = {
        "vip_transcript": _FORMAT,
        "model": session.engine.name,
        "system": session.system,
        "views": [_entry(view, name, pictures) for view, name in zip(views, marked, strict=True)],
        "view": _number(views, session.view),
        "turns": turns,
    }
    return f"{json.dumps(saved, indent=1, ensure_ascii=False)}\n"


def _entry(view: View, marked: str, pictures: Path) -> dict[str, Any]:
    assert view.picture is not None
    return {
        "source": view.source,
        "picture": f"{pictures.name}/{_kept(view.picture, pictures)}",
        "marked": f"{pictures.name}/{marked}",
        "markers": [_text(marker, pictures) for marker in view.markers],
    }


def _text(marker: Marker, pictures: Path) -> str:
    """A marker in the grammar; a mask that is a picture is kept with the others, so that the transcript is whole."""
    if isinstance(marker, Mask) and marker.bitmap is not None:
        file = _kept(np.repeat(marker.bitmap[:, :, None] * np.uint8(255), 3, axis=2), pictures)
        marker = replace(marker, file=f"{_HERE}/{file}")
    return render(marker)


def _view(entry: Any, folder: Path) -> View:
    """A view as it was written. Whoever made the file may have made it to have others opened, so none of those is."""
    name, texts = entry["picture"], entry["markers"]
    if name == "-" or "://" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise VipError(f"{quote(name)}: a transcript's pictures lie beside it; it wasn't opened")
    for text in texts:
        if text[:5].lower() == "mask:" and not _MASK.fullmatch(text):
            raise VipError(f"{quote(text)}: a transcript's masks lie beside it; it wasn't opened")
    picture = open_picture(folder / name)
    size = (picture.shape[1], picture.shape[0])
    pictures = str((folder / name).parent)
    markers = tuple(parse(text.replace(_HERE, pictures), size) for text in texts)
    return View(str(entry["source"]), picture, markers)


def _markdown(session: ChatSession, views: list[View], marked: list[str], pictures: Path) -> str:
    parts = []
    shown: View | None = None
    for exchange in session.exchanges:
        number = _number(views, exchange.view)
        if number is not None and (shown is None or not shown.shows_the_same(exchange.view)):
            shown = exchange.view
            markers = "".join(f"- `{render(marker)}`\n" for marker in shown.markers if not _is_picture(marker))
            link = urllib.parse.quote(os.fsencode(f"{pictures.name}/{marked[number]}"))
            parts.append(f"![{_escaped(shown.source)}]({link})\n\n{markers}")
        parts.append(f"**{_escaped(exchange.question)}**\n\n{_harmless(exchange.answer)}\n")
    return f"# {_escaped(session.engine.name)} about {_escaped(session.view.source) or 'no picture'}\n\n" + "\n".join(
        parts
    )


def _is_picture(marker: Marker) -> bool:
    return isinstance(marker, Mask) and marker.bitmap is not None


def _escaped(text: str) -> str:
    """A user's text on one line of Markdown, read as text."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|&~" else c for c in plain(" ".join(text.split())))


def _harmless(answer: str) -> str:
    """A model's Markdown without HTML and pictures, which a reader would fetch."""
    # As entities: a backslash before it in the answer would undo one of ours.
    return plain(answer, keep_newlines=True).replace("<", "&lt;").replace("![", "&#33;[")
