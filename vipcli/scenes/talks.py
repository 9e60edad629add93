"""Follow-up questions: what can be asked behind a question about a marked thing, and the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vipcli.scenes.facts import Fact, Seen, answer_name, guess, maybe_there, some_side
from vipcli.scenes.referring import described
from vipcli.scenes.words import with_article

__all__ = ["FOLLOW_UPS", "follow_up"]


@dataclass(frozen=True)
class _Talk:
    """Where a conversation stands: the thing it is about, and whether it is about its name or its colour."""

    subject: int
    about: str


Follows = Callable[[Seen, _Talk], Fact | None]
_NAMING = ("what", "what_only", "color", "color_only", "follow_color", "follow_other")


def _follow_color(seen: Seen, talk: _Talk) -> Fact | None:
    color = seen.scene.things[talk.subject].color
    return Fact("follow_color", color, {}, talk.subject) if color and talk.about != "color" else None


def _follow_other(seen: Seen, talk: _Talk) -> Fact | None:
    if len(seen.markers) != 2:
        return None
    other = next(i for i in seen.markers if i != talk.subject)
    answer = seen.scene.things[other].color if talk.about == "color" else answer_name(seen.scene.things[other])
    return Fact("follow_other", answer, {}, other) if answer else None


def _follow_sure(seen: Seen, talk: _Talk) -> Fact | None:
    thing = seen.scene.things[talk.subject]
    if not thing.known or talk.about == "color":
        return None
    return Fact("follow_sure", f"yes, {with_article(thing.name)}", {}, talk.subject)


def _follow_marks(seen: Seen, talk: _Talk) -> Fact | None:
    return Fact("follow_marks", described(seen.markers[talk.subject]), {}, talk.subject)


def _follow_beside(seen: Seen, talk: _Talk) -> Fact | None:
    found = some_side(seen, talk.subject)
    return found and Fact("follow_beside", found[1], {"side": found[0]}, talk.subject)


def _follow_is(seen: Seen, talk: _Talk) -> Fact | None:
    guessed, answer = guess(seen, talk.subject)
    return Fact("follow_is", answer, {"guess": guessed}, talk.subject)


def _follow_there(seen: Seen, talk: _Talk) -> Fact | None:
    name, there = maybe_there(seen)
    if name == seen.scene.things[talk.subject].name:
        return None
    return Fact("follow_there", "yes" if there else "no", {"athing": with_article(name)}, talk.subject)


_FOLLOWS: Mapping[str, Follows] = {
    "follow_color": _follow_color,
    "follow_other": _follow_other,
    "follow_sure": _follow_sure,
    "follow_marks": _follow_marks,
    "follow_beside": _follow_beside,
    "follow_is": _follow_is,
    "follow_there": _follow_there,
}
FOLLOW_UPS = tuple(_FOLLOWS)
"""What can be asked behind the question what, or of which colour, a marked thing is."""


def follow_up(seen: Seen, before: Fact, ability: str) -> Fact | None:
    """A fact that goes on from `before` (a ``what`` or ``color`` of a marked thing, or a follow-up of one)."""
    if before.subject is None or before.subject not in seen.markers:
        return None
    about = "color" if before.answer == seen.scene.things[before.subject].color else "name"
    if before.ability not in _NAMING and ability == "follow_other":
        return None  # the other what?
    return _FOLLOWS[ability](seen, _Talk(before.subject, about))
