"""From an item to what a model is asked: the picture opened, marked and fitted, the question expanded.

This is the work of processes beside the model; nothing here loads torch.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vipcli.batch.items import Item, MarkerText
from vipcli.errors import MarkerError, PictureError, VipError, doubts_in
from vipcli.markers.formats import Rle

if TYPE_CHECKING:
    import numpy as np

    from vipcli.images import Fit
    from vipcli.markers import Marker
    from vipcli.pointing import Marked

__all__ = [
    "Facts",
    "Prepared",
    "as_seen",
    "marked_picture",
    "markers_on",
    "opened",
    "prepare",
    "small_jpeg",
    "thumbnail",
]

_THUMBNAIL = 320  # pixels of its longer side


@dataclass(frozen=True)
class Facts:
    """What preparing must know of the model and the job.

    side, patch: of the model's square; side None: it takes pictures of any shape. fit: how one becomes that square.
    special_tokens: what a question must not contain as such. tags: number every marker. strict: a doubt is an error.
    prepare: what makes an item ready, where that isn't `prepare`: a function at the top of a module.
    """

    side: int | None = None
    patch: int = 14
    fit: Fit = "pad"
    special_tokens: Collection[str] = frozenset()
    tags: bool = False
    strict: bool = False
    prepare: Callable[[Item, Facts], Prepared] | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """An item made ready.

    picture: (height, width, 3) uint8, the model's square where it has one; None: the question is about none. question:
    as it goes into the prompt. markers: as drawn, in the grammar. doubts: sentences, of what may not be seen. fields:
    what came to light, for the fields of the row.
    """

    picture: np.ndarray | None
    question: str
    markers: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


def prepare(item: Item, facts: Facts) -> Prepared:
    """Make `item` ready. Raises `VipError` with one sentence where it can't be asked."""
    if facts.prepare is not None:
        return facts.prepare(item, facts)
    if item.image is None:
        from vipcli.prompt import expand, neutralise

        return Prepared(None, expand(neutralise(item.question.strip(), facts.special_tokens), {}))
    return as_seen(lambda: marked_picture(item, facts), item.question, facts)


def as_seen(marked_picture: Callable[[], Marked], question: str, facts: Facts) -> Prepared:
    """What a model that takes pictures as `facts` says sees of a marked one, and a question about it.

    What is warned of on the way are its doubts.
    """
    from vipcli.images import fit, frame
    from vipcli.markers import named, warn_if_unseen, written
    from vipcli.prompt import expand, neutralise

    with doubts_in() as doubts:
        marked = marked_picture()
        asked = expand(neutralise(question.strip(), facts.special_tokens), named(marked.markers))
        picture = marked.picture
        square = None if facts.side is None else frame(marked.size, facts.side, facts.fit)
        warn_if_unseen(marked.markers, marked.size, square, facts.patch)
        if facts.side is not None:
            picture = fit(picture, facts.side, facts.fit).picture
    if doubts and facts.strict:
        raise MarkerError(f"{doubts[0]} (--strict)")
    return Prepared(picture, asked, tuple(map(written, marked.markers)), tuple(doubts))


def marked_picture(item: Item, facts: Facts) -> Marked:
    """The picture of `item` with its markers. Raises `VipError` with one sentence."""
    from vipcli.pointing import mark

    picture = opened(item)
    return mark(picture, markers_on(picture, item), tags=facts.tags)


def opened(item: Item) -> np.ndarray:
    """The picture of `item`, (height, width, 3) uint8. Raises `PictureError`, also where its size isn't as told."""
    from vipcli.images import open_picture

    assert item.image is not None
    picture = open_picture(_source(item.image))
    size = (picture.shape[1], picture.shape[0])
    if item.size is not None and item.size != size:
        told = f"{item.size[0]} x {item.size[1]}"
        turned = ", perhaps turned by its EXIF orientation," if item.size == size[::-1] else ""
        raise PictureError(
            f"the picture is {size[0]} x {size[1]} pixels{turned} and the annotations are for {told}: "
            "its markers would lie beside what they mean"
        )
    return picture


def markers_on(picture: np.ndarray, item: Item) -> list[Marker]:
    """The markers of `item`, as they lie on its picture. Raises `MarkerError`."""
    return [_marker(one, (picture.shape[1], picture.shape[0])) for one in item.markers]


def thumbnail(item: Item, facts: Facts) -> bytes | None:
    """A small JPEG of the marked picture; None where it can't be had."""
    return None if item.image is None else small_jpeg(lambda: marked_picture(item, facts))


def small_jpeg(marked_picture: Callable[[], Marked]) -> bytes | None:
    """A small JPEG of a marked picture; None where it can't be had."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = Image.fromarray(marked_picture().picture)
        except VipError:
            return None
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BICUBIC, reducing_gap=2.0)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=80)
    return data.getvalue()


def _source(image: str) -> Any:
    """What `open_picture` takes: a path or URL, or the bytes of a ``data:`` URI."""
    match = re.match(r"data:[^,]*;base64,", image[:200], re.IGNORECASE)
    if image[:5].lower() != "data:":
        return image
    if match is None:
        raise PictureError("a data: URI must hold base64: data:image/png;base64,...")
    try:
        return io.BytesIO(base64.b64decode("".join(image[match.end() :].split()), validate=True))
    except ValueError:  # binascii.Error, or letters beyond ASCII
        raise PictureError("a data: URI holds broken base64") from None


def _marker(marker: MarkerText | Rle, size: tuple[int, int]) -> Marker:
    from vipcli.markers import parse

    if isinstance(marker, Rle):
        return marker.mask(size)
    coords: Any = marker.coords
    box_format: Any = marker.box_format
    return parse(marker.text, size, kind=marker.kind, coords=coords, box_format=box_format)
