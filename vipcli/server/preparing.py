"""From what was asked to what the engine gets: the picture decoded, drawn on and fitted, the messages a prompt.

This is the work of threads beside the event loop. The prompt is that of ``vip ask``, character by character.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vipcli.engine import Engine, Request
from vipcli.errors import MarkerError, PictureError, PromptError, VipError, VipWarning
from vipcli.images import fit, frame, open_picture
from vipcli.markers import Mask, named, render, warn_if_unseen
from vipcli.pointing import Marked, mark, request_for
from vipcli.prompt import Conversation, Turn, expand, neutralise
from vipcli.prompt import render as render_prompt
from vipcli.server.asked import Asked, Drawing
from vipcli.server.options import Options
from vipcli.server.refusals import Refusal

if TYPE_CHECKING:
    import numpy as np

    from vipcli.markers import Marker

__all__ = ["Prepared", "drawn", "noted", "prepare"]

_BYTES_REMEMBERED = 16 * 2**20
_remembered: OrderedDict[tuple, _Looked] = OrderedDict()

# Python's warnings, and Pillow's settings while it opens a picture, are the whole process's: one picture at a time.
_alone = threading.Lock()


@dataclass(frozen=True, eq=False)
class Prepared:
    """A question as the engine gets it. markers: as drawn, in the grammar. doubts: what may not be seen of them."""

    request: Request
    markers: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def prepare(asked: Asked, data: bytes | None, engine: Engine, options: Options) -> Prepared:
    """Make the request of `asked`; data: the bytes of its picture. Raises `VipError`, often a `Refusal`."""
    drawing, special = asked.drawing, engine.special_tokens
    looked = _Looked()
    if drawing is not None:
        assert data is not None
        looked = _looked(drawing, data, engine, options)
    names = named(looked.markers)
    texts = []
    for message in asked.messages:
        text = neutralise(message.text if message.role == "system" else message.text.strip(), special)
        if message.role == "user":
            # Where nobody speaks of markers, an @ is an @: what others have drawn on, they have put into words as well.
            text = text if drawing is None or drawing.markers is None else expand(text, names)
            if not text:
                raise PromptError("the question is empty")
        texts.append(text)
    first = asked.messages[0].role == "system"
    system = texts[0] if first else None
    said = texts[first:]
    turns = [Turn(question, answer) for question, answer in zip(said[::2], [*said[1::2], None], strict=True)]
    with_picture = (number for number, one in enumerate(asked.messages[first:]) if one.drawing is not None)
    picture = next(with_picture, None)
    conversation = Conversation(tuple(turns), system, None if picture is None else picture // 2)
    prompt = render_prompt(conversation, options.prompt_style, engine.template)
    request = request_for(None, prompt, engine, fit=options.fit, **asked.options)
    request = replace(request, picture=looked.seen, stop=(*request.stop, *asked.stop))
    return Prepared(request, tuple(map(_written, looked.markers)), looked.doubts)


def drawn(drawing: Drawing, data: bytes, engine: Engine, options: Options) -> tuple[bytes, Prepared]:
    """The picture with its markers as a PNG, and what there is to say of them. Raises `VipError`."""
    import cv2

    doubts: list[str] = []
    with noted(doubts):
        marked = _marked(drawing, data, engine, options)
    picture = _seen(marked, engine, options) if drawing.as_model_sees_it else marked.picture
    png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    facts = Prepared(Request(None, ""), tuple(map(_written, marked.markers)), tuple(doubts))
    return png.tobytes(), facts


@dataclass(frozen=True, eq=False)
class _Looked:
    """A picture as the model sees it, its markers, and what may not be seen of them."""

    seen: np.ndarray | None = None
    markers: tuple[Marker, ...] = ()
    doubts: tuple[str, ...] = ()


def _looked(drawing: Drawing, data: bytes, engine: Engine, options: Options) -> _Looked:
    """What comes of a picture and its markers, remembered, since each turn of a conversation sends both again."""
    digest = hashlib.blake2b(data, digest_size=32).digest()
    key = (digest, drawing.markers, drawing.tags, engine.side, engine.patch, options.fit)
    with _alone:
        looked = _remembered.pop(key, None)
        if looked is not None:
            _remembered[key] = looked
            return looked
    doubts: list[str] = []
    with noted(doubts):
        marked = _marked(drawing, data, engine, options)
    looked = _Looked(_seen(marked, engine, options), marked.markers, tuple(doubts))
    with _alone:
        _remembered[key] = looked
        while sum(one.seen.nbytes for one in _remembered.values() if one.seen is not None) > _BYTES_REMEMBERED:
            _remembered.popitem(last=False)
    return looked


def _marked(drawing: Drawing, data: bytes, engine: Engine, options: Options) -> Marked:
    _check_size(data, options)
    try:
        picture = open_picture(io.BytesIO(data))
    except PictureError as error:
        what = str(error).replace("the stream", "the picture", 1)
        raise Refusal(400, what, param=drawing.param, code="invalid_image") from error
    try:
        marked = mark(picture, drawing.markers or (), tags=drawing.tags)
    except MarkerError as error:
        raise Refusal(400, str(error), param="markers") from error
    if engine.side is not None:
        warn_if_unseen(marked.markers, marked.size, frame(marked.size, engine.side, options.fit), engine.patch)
    return marked


def _check_size(data: bytes, options: Options) -> None:
    """Refuse a picture of too many pixels by what its head says, before it is decoded."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data))
        width, height = image.size
    except Image.DecompressionBombError:
        width = height = 2**31
    except Exception:  # whatever is wrong with it will be said by who opens it
        return
    limit = options.limits.pixels
    if width * height > limit:
        its = f"{width} x {height}" if width < 2**31 else "far more"
        raise Refusal(
            413,
            f"the picture has {its} pixels, and this server takes {limit:,}: make it smaller first",
            code="too_large",
        )


def _seen(marked: Marked, engine: Engine, options: Options) -> np.ndarray:
    """The picture as the model gets it, so that nothing larger waits in line."""
    if engine.side is None:
        return marked.picture
    square = fit(marked.picture, engine.side, options.fit).picture
    square.setflags(write=False)
    return square


@contextlib.contextmanager
def noted(found: list[str]) -> Iterator[None]:
    """Note every `VipWarning`, once."""
    with _alone, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", VipWarning)
        yield
    found += dict.fromkeys(str(one.message) for one in caught if issubclass(one.category, VipWarning))


def _written(marker: Marker) -> str:
    """A marker as drawn, in the grammar, to a thousandth of a pixel."""
    its: Any = marker
    assert not (isinstance(its, Mask) and its.bitmap is not None), "masks by file were refused"
    with contextlib.suppress(VipError):  # where so little is all that there is of it
        its = marker.with_points([(round(x, 3), round(y, 3)) for x, y in marker.points])
    return render(its)
