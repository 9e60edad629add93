"""Point at things and ask: the straight line as functions. Picture -> markers -> prompt -> engine -> answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vipcli.errors import PromptError, UsageError
from vipcli.images import frame, open_picture, save_picture
from vipcli.markers import Marker, Pixels, Tag, assign, draw, inside, named, parse, warn_if_unseen

if TYPE_CHECKING:
    from PIL import Image

    from vipcli.engine import Answer, Engine, Request

__all__ = ["Marked", "ask", "mark", "prompt_for", "request_for", "to_request"]


@dataclass(frozen=True, eq=False)
class Marked:
    """A picture with markers drawn on it; in a notebook it shows itself.

    picture: (height, width, 3) uint8 RGB, read-only. markers: as drawn, each with its colour.
    """

    picture: np.ndarray
    markers: tuple[Marker, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.picture.shape[1], self.picture.shape[0]

    @property
    def image(self) -> Image.Image:
        """The picture as a Pillow image."""
        from PIL import Image

        return Image.fromarray(self.picture)

    def save(self, path: str | Path) -> None:
        """Write the picture; the suffix says the format. Raises `PictureError` or `UsageError`."""
        save_picture(self.picture, path)

    def _repr_png_(self) -> bytes:
        import io

        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        return buffer.getvalue()


def mark(image: Any, markers: Sequence[Marker | str] = (), *, tags: bool = False) -> Marked:
    """Draw `markers` on `image`.

    image: a path, a URL, ``-`` (standard input), a file object, a Pillow image or an array (height, width, 3).
    markers: as values or in the grammar (``"dog=40,30,200,180@blue"``). tags: number every marker with a plate.

        >>> mark("street.jpg", [Box(40, 30, 200, 180, name="dog"), "arrow:20,20,120,80"]).save("marked.png")

    Raises `PictureError` for the picture and `MarkerError` for a marker; warns of one that is clipped.
    """
    if isinstance(markers, str | Marker):
        raise UsageError("markers is a list, also of one marker")
    picture = open_picture(image)
    size = (picture.shape[1], picture.shape[0])
    placed = [parse(one, size) if isinstance(one, str) else inside(one, size) for one in markers]
    names = named(placed)
    colored = assign(picture, placed)
    plates = [_plate(marker, name, size) for name, marker in zip(names, colored, strict=True)] if tags else []
    drawn = draw(picture, [*colored, *plates])
    drawn.setflags(write=False)  # so that an engine may remember what it made of it
    return Marked(drawn, colored)


def to_request(
    marked: Marked,
    question: str,
    engine: Engine,
    *,
    system: str | None = None,
    prompt_style: str = "auto",
    **options: Any,
) -> Request:
    """The request that asks `engine` about a marked picture: names expanded, the user's text made harmless, rendered.

    options: of `Request` (``fit``, ``max_new_tokens``, ``temperature``, ``top_p``, ``seed``). Warns of markers that the
    model can't see. Raises `PromptError`.
    """
    prompt = prompt_for(question, marked.markers, engine, system=system, prompt_style=prompt_style)
    return request_for(marked, prompt, engine, **options)


def prompt_for(
    question: str, markers: Sequence[Marker], engine: Engine, *, system: str | None = None, prompt_style: str = "auto"
) -> str:
    """The prompt of `to_request`, about a picture with these markers. Raises `PromptError`."""
    from vipcli.prompt import Conversation, Turn, expand, neutralise, render

    text = expand(neutralise(question.strip(), engine.special_tokens), named(markers))
    if not text:
        raise PromptError("the question is empty")
    if system is not None:
        system = neutralise(system, engine.special_tokens)
    return render(Conversation((Turn(text),), system), prompt_style, engine.template)


def request_for(marked: Marked | None, prompt: str, engine: Engine, **options: Any) -> Request:
    """The request of a rendered `prompt` about a marked picture, or about none; see `to_request`."""
    from vipcli.engine import Request
    from vipcli.prompt import stop_texts

    picture = None if marked is None else marked.picture
    request = Request(picture, prompt, stop=stop_texts(prompt), **options)
    if marked is not None:
        square = None if engine.side is None else frame(marked.size, engine.side, request.fit)
        warn_if_unseen(marked.markers, marked.size, square, engine.patch)
    return request


def ask(
    image: Any,
    question: str,
    markers: Sequence[Marker | str] = (),
    *,
    model: str | Engine = "auto",
    **options: Any,
) -> Answer:
    """Mark `image`, ask `question` about it, and return the whole answer.

        >>> ask("street.jpg", "What is @1?", [Box(40, 30, 200, 180)], model="tiny").text

    model: a name (see `open_engine`) or an engine that is open already. options: of `to_request`.
    """
    from vipcli.engine import open_engine

    marked = mark(image, markers)
    engine = open_engine(model) if isinstance(model, str) else model
    return engine.stream(to_request(marked, question, engine, **options)).finished()


def _plate(marker: Marker, name: str, size: tuple[int, int]) -> Tag:
    """A tag at the marker's top left corner, half outside it, so that it hides little of what is marked."""
    x, y, _, _ = marker.bounds
    width = Pixels(max(9.0, max(size) / 28))
    tag = Tag(min(max(x, 0.0), size[0]), min(max(y, 0.0), size[1]), name=name, color=marker.color)
    return replace(tag, width=width)
