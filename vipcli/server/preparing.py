"""From what was asked, and what is seen of its picture, to what the engine gets.

The prompt is that of ``vip ask``, character by character.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vipcli.engine import Engine, Request
from vipcli.errors import PromptError
from vipcli.markers import named, written
from vipcli.pointing import request_for
from vipcli.prompt import Conversation, Turn, expand, neutralise
from vipcli.prompt import render as render_prompt
from vipcli.server.asked import Asked
from vipcli.server.looking import Looked
from vipcli.server.options import Options

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A question as the engine gets it. markers: as drawn, in the grammar. doubts: what may not be seen of them."""

    request: Request
    markers: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def prepare(asked: Asked, looked: Looked, engine: Engine, options: Options) -> Prepared:
    """Make the request of `asked`; looked: what is seen of its picture. Raises `VipError`."""
    drawing, special = asked.drawing, engine.special_tokens
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
    return Prepared(request, tuple(map(written, looked.markers)), looked.doubts)
