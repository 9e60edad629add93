"""What a batch asks: one `Item` for each answer, and `BadItem` for what can't be asked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vipcli.markers.formats import Rle

if TYPE_CHECKING:
    from vipcli.prompt import Turn

__all__ = ["BadItem", "Item", "MarkerText", "digest_of", "file_size", "mark_of"]


@dataclass(frozen=True)
class MarkerText:
    """A marker as it was written: in the grammar, and what its numbers count; see `vipcli.markers.parse`."""

    text: str
    kind: str | None = None
    coords: str = "pixels"
    box_format: str = "xyxy"


@dataclass(frozen=True, eq=False)
class Item:
    """One question about one picture.

    id: unique in its source. image: a path, URL or ``data:`` URI; None where the question is about none. size: what the
    source says that the picture's (width, height) is, None where it says nothing. fields: what a manifest carried
    through. where: for messages: ``list.csv, line 7``. system, turns and options: of an OpenAI request: its system
    text, the turns before the question, and options of `Request`. picture: the number of the turn that has the image.
    region: (picture id, region id or None) in the annotations that it came from. line: what its line of a JSONL
    manifest comes to, as a number; see `vipcli.batch.recall`.
    """

    id: str
    image: str | None
    question: str
    markers: tuple[MarkerText | Rle, ...] = ()
    size: tuple[int, int] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    system: str | None = None
    turns: tuple[Turn, ...] = ()
    picture: int | None = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    region: tuple[str, str | None] | None = None
    line: int | None = None

    def digest(self, size: int | None) -> str:
        """16 hexadecimal digits of what is asked: picture (its name, and its file's `size`), markers, question ..."""
        asked = repr((self.image, size, self.question, self.markers, self.system, self.turns, self.picture))
        options = repr(sorted(self.options.items()))
        return hashlib.blake2b(f"{asked}{options}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True)
class BadItem:
    """A part of the source that can't be asked about: where it stands, and one sentence; `id` stays the same.

    lacks: what it lacks is a name of the question's template.
    """

    id: str
    where: str
    sentence: str
    image: str | None = None
    lacks: bool = False


def digest_of(item: Item) -> str:
    """16 hexadecimal digits that change with the question, and with the size of the picture's file."""
    return item.digest(None if item.image is None else file_size(item.image))


def mark_of(line: int, size: int | None) -> int:
    """What tells a line of a manifest, with a picture's file of this size, from others; of `Item.line`, 64 bits."""
    return line if size is None else line ^ (size + 1)


def file_size(image: str) -> int | None:
    """The size of a picture's file in bytes; None where it is an address, or isn't there."""
    try:
        return os.stat(image).st_size
    except (OSError, ValueError):
        return None
