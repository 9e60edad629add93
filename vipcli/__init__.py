"""Point at things in a picture and ask about them.

    >>> from vipcli import Box, ask, mark
    >>> mark("street.jpg", [Box(40, 30, 200, 180, name="dog")]).save("marked.png")
    >>> ask("street.jpg", "What is @1?", [Box(40, 30, 200, 180)], model="tiny").text

Everything the command line can do, these names can. They load on first use: ``import vipcli`` is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.chat import ChatSession as ChatSession
    from vipcli.chat import load_transcript as load_transcript
    from vipcli.chat import save_transcript as save_transcript
    from vipcli.engine import Answer as Answer
    from vipcli.engine import Engine as Engine
    from vipcli.engine import Generation as Generation
    from vipcli.engine import Request as Request
    from vipcli.engine import Token as Token
    from vipcli.engine import open_engine as open_engine
    from vipcli.errors import VipError as VipError
    from vipcli.errors import VipWarning as VipWarning
    from vipcli.markers import Arrow as Arrow
    from vipcli.markers import Box as Box
    from vipcli.markers import Color as Color
    from vipcli.markers import Contour as Contour
    from vipcli.markers import Ellipse as Ellipse
    from vipcli.markers import Mask as Mask
    from vipcli.markers import Pixels as Pixels
    from vipcli.markers import Point as Point
    from vipcli.markers import Scribble as Scribble
    from vipcli.markers import Tag as Tag
    from vipcli.markers import Triangle as Triangle
    from vipcli.pointing import Marked as Marked
    from vipcli.pointing import ask as ask
    from vipcli.pointing import mark as mark
    from vipcli.pointing import to_request as to_request
    from vipcli.prompt import Conversation as Conversation
    from vipcli.prompt import Turn as Turn

__version__ = "0.1.0"

__getattr__, __all__ = door(
    __name__,
    {
        "chat": ("ChatSession", "load_transcript", "save_transcript"),
        "engine": ("Answer", "Engine", "Generation", "Request", "Token", "open_engine"),
        "errors": ("VipError", "VipWarning"),
        "markers": (
            *("Arrow", "Box", "Color", "Contour", "Ellipse", "Mask"),
            *("Pixels", "Point", "Scribble", "Tag", "Triangle"),
        ),
        "pointing": ("Marked", "ask", "mark", "to_request"),
        "prompt": ("Conversation", "Turn"),
    },
)
