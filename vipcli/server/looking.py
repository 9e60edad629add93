"""What is done to a picture in a process beside the server: opened, drawn on, fitted. A decoder may crash there."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vipcli.errors import MarkerError, PictureError, VipError, doubts_in
from vipcli.images import fit, frame, open_picture
from vipcli.markers import parse, warn_if_unseen
from vipcli.pointing import Marked, mark
from vipcli.server.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from vipcli.images import Fit
    from vipcli.markers import Marker

__all__ = ["Looked", "Marking", "Shown", "Sight", "look", "show", "tried"]


@dataclass(frozen=True)
class Marking:
    """What is drawn on a picture.

    markers: in the grammar, each with its kind where a flag said it. coords, box_format: their units. tags: number
    them. param: where the picture stood in the request.
    """

    markers: tuple[tuple[str | None, str], ...] = ()
    tags: bool = False
    coords: str = "pixels"
    box_format: str = "xyxy"
    param: str | None = None


@dataclass(frozen=True)
class Sight:
    """How a model sees: see `Engine` and `Request`. pixels: how many a picture may have; None: as many as can be."""

    side: int | None
    patch: int
    fit: Fit
    pixels: int | None = None


@dataclass(frozen=True, eq=False)
class Looked:
    """A picture as the model sees it, its markers, and what may not be seen of them."""

    seen: np.ndarray | None = None
    markers: tuple[Marker, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shown:
    """A marked picture as a PNG, its markers, and what may not be seen of them."""

    png: bytes
    markers: tuple[Marker, ...] = ()
    doubts: tuple[str, ...] = ()


def look(data: bytes, marking: Marking, sight: Sight) -> Looked:
    """Open, mark and fit a picture. Raises `VipError`, often a `Refusal`."""
    marked, doubts = _marked(data, marking, sight)
    return Looked(_seen(marked, sight), marked.markers, doubts)


def show(data: bytes, marking: Marking, sight: Sight, as_model_sees_it: bool) -> Shown:
    """Open and mark a picture for a person to see. Raises `VipError`, often a `Refusal`."""
    import cv2

    marked, doubts = _marked(data, marking, sight)
    picture = _seen(marked, sight) if as_model_sees_it else marked.picture
    png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    return Shown(png.tobytes(), marked.markers, doubts)


def tried(task: Callable[..., Any], *inputs: Any) -> Any:
    """What `task` gives, or the `Refusal` that it ends in, as a value that goes from process to process."""
    try:
        return task(*inputs)
    except Refusal as refusal:
        return refusal
    except VipError as error:
        return Refusal(400, str(error))
    except Exception as error:  # what it says may be of the request
        return Refusal(500, f"the server failed: unexpected {type(error).__name__}")


def _marked(data: bytes, marking: Marking, sight: Sight) -> tuple[Marked, tuple[str, ...]]:
    """The picture with its markers, and what there is to doubt, once each."""
    _check_size(data, sight)
    with doubts_in() as doubts:
        try:
            picture = open_picture(io.BytesIO(data))
        except PictureError as error:
            what = str(error).replace("the stream", "the picture", 1)
            raise Refusal(400, what, param=marking.param, code="invalid_image") from error
        try:
            size = (picture.shape[1], picture.shape[0])
            units: Any = {"coords": marking.coords, "box_format": marking.box_format}
            markers = [parse(text, size, kind=kind, **units) for kind, text in marking.markers]
            marked = mark(picture, markers, tags=marking.tags)
        except MarkerError as error:
            raise Refusal(400, str(error), param="markers") from error
        square = None if sight.side is None else frame(marked.size, sight.side, sight.fit)
        warn_if_unseen(marked.markers, marked.size, square, sight.patch)
    return marked, tuple(doubts)


def _check_size(data: bytes, sight: Sight) -> None:
    """Refuse a picture of too many pixels by what its head says, before it is decoded."""
    from PIL import Image

    if sight.pixels is None:
        return
    try:
        image = Image.open(io.BytesIO(data))
        width, height = image.size
    except Image.DecompressionBombError:
        width = height = 2**31
    except Exception:  # whatever is wrong with it will be said by who opens it
        return
    if width * height > sight.pixels:
        its = f"{width} x {height}" if width < 2**31 else "far more"
        raise Refusal(
            413,
            f"the picture has {its} pixels, and this server takes {sight.pixels:,}: make it smaller first",
            code="too_large",
        )


def _seen(marked: Marked, sight: Sight) -> np.ndarray:
    """The picture as the model gets it, so that nothing larger waits in line."""
    return marked.picture if sight.side is None else fit(marked.picture, sight.side, sight.fit).picture
