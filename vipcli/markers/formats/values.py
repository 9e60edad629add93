"""What every importer gives: pictures with their regions, in the marker grammar, and what can't be used of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vipcli.markers.shapes import Mask

__all__ = ["AnnotatedPicture", "Answers", "Format", "Problem", "Region", "Rle"]


@dataclass(frozen=True)
class Rle:
    """A region as run lengths, COCO's way, of a mask of `size` (height, width).

    counts: COCO's compressed text, or the numbers themselves.
    """

    size: tuple[int, int]
    counts: str | tuple[int, ...]

    def mask(self, size: tuple[int, int]) -> Mask:
        """The mask, for a picture of `size` (width, height).

        Raises `MarkerError` where the sizes differ, the runs don't add up or nothing is set.
        """
        from vipcli.markers.formats.rle import bitmap
        from vipcli.markers.shapes import Mask

        return Mask(bitmap=bitmap(self, size))


@dataclass(frozen=True)
class Region:
    """One annotated region of a picture.

    id: what the file calls it, unique within its picture. marker: in the marker grammar, shape first
    (``box:40,30,200,180``, ``contour:10%,20%,...``), or an `Rle`. label: the class that the annotator gave it.
    attributes: what else the file says of it, by name, for question templates (plain text, numbers and booleans alone).
    outline: makes its contour or mask, where the file has one beside the box that is its marker; raises `UsageError`.
    """

    id: str
    marker: str | Rle
    label: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    outline: Callable[[], str | Rle] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class AnnotatedPicture:
    """One picture of an annotation file.

    id: what the file calls it, unique within the source. path: where its picture lies. size: (width, height) in pixels
    as the file records it, None where it doesn't. where: for messages, ``instances.json, image 17``.
    """

    id: str
    path: str
    regions: tuple[Region, ...]
    size: tuple[int, int] | None = None
    where: str = ""


@dataclass(frozen=True)
class Problem:
    """A part of the file that can't be used: where it stands, and one sentence. The rest goes on.

    id: unique within the source, and the same on the next reading of the same file.
    """

    id: str
    where: str
    sentence: str


Answers = Callable[[str, str | None], str | None]
"""(picture id, region id, or None for the picture as a whole) -> the answer, None where there is none."""


@dataclass(frozen=True)
class Format:
    """An annotation format.

    name: what users call it. recognises: whether a file or folder is of this format; reads as little as it can and
    raises nothing. read: (file or folder, where its pictures lie or None for where the format has them) -> its pictures
    in order, and problems in between; raises `UsageError` with one sentence where the whole can't be read. annotate:
    (file or folder, answers, output) writes a copy with the answers in it and everything else as it was, all of it or
    nothing; None where the format has no place for text.
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Path | None], Iterator[AnnotatedPicture | Problem]]
    annotate: Callable[[Path, Answers, Path], None] | None
