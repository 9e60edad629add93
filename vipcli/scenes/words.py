"""English for the things of scenes."""

from __future__ import annotations

__all__ = ["plural", "with_article"]

_BARE = frozenset("grapes cherries scissors bread cheese broccoli corn sushi".split())
_PLURALS = {"fox": "foxes", "fish": "fish", "sheep": "sheep", "bus": "buses", "toilet": "toilets"}


def with_article(name: str) -> str:
    """``a cat``, ``an owl``; words that are already many, or can't be counted, stay bare (``grapes``)."""
    if name in _BARE:
        return name
    return f"an {name}" if name[0] in "aeiou" or name == "hourglass" else f"a {name}"


def plural(name: str) -> str:
    """``cats``; words that have no other stay as they are (``sheep``)."""
    if name in _BARE:
        return name
    if name in _PLURALS:
        return _PLURALS[name]
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"
