"""What is true of a scene with markers: for each ability of the embedded model a question's parts, and its answer.

The words around the parts are elsewhere: training and judging put them into different ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vipcli.markers import Marker
from vipcli.scenes.art import THINGS
from vipcli.scenes.composing import Scene, Thing
from vipcli.scenes.placing import SIDES, beside, middle, place_of, ratio_of, relation_of
from vipcli.scenes.referring import described, refer
from vipcli.scenes.words import plural, with_article

__all__ = [
    "ABILITIES",
    "DONT_KNOW",
    "NOTHING_MARKED",
    "Fact",
    "Seen",
    "answer_name",
    "guess",
    "maybe_there",
    "some_side",
    "what",
]

DONT_KNOW = "I don't know"
NOTHING_MARKED = "nothing is marked"
_NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven")


@dataclass(frozen=True)
class Fact:
    """One thing that can be asked.

    ability: a row of the phrases. answer: the right one. slots: the parts of the question. subject: the number of the
    thing that it is about, for a follow-up question about that.
    """

    ability: str
    answer: str
    slots: Mapping[str, str] = field(default_factory=dict)
    subject: int | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """A scene, its markers by the number of their thing, and the chance that picks what is asked.

    named: how often two things that are compared are called by their words where they can be, instead of by markers.
    both: see `refer`.
    """

    rng: np.random.Generator
    scene: Scene
    markers: Mapping[int, Marker]
    named: float = 0.0
    both: int = 4

    def any_marked(self) -> int | None:
        """The number of one of the marked things; None where there is none."""
        return int(self.rng.choice(list(self.markers))) if self.markers else None


def answer_name(thing: Thing) -> str:
    """``a cat``, or that one doesn't know."""
    return with_article(thing.name) if thing.known else DONT_KNOW


def _references(seen: Seen, index: int) -> dict[str, str]:
    one = refer(seen.rng, seen.markers[index], list(seen.markers.values()), both=seen.both)
    return {"it": one.it, "where": one.where, "marker": one.marker}


def _two(seen: Seen) -> tuple[int, int] | None:
    """Two things to compare: two that are marked, or, now and then, any that go by their words."""
    called = seen.named and seen.rng.random() < seen.named
    some = sorted({*_single(seen), *seen.markers}) if called else list(seen.markers)
    if len(some) < 2:
        return None
    one, other = seen.rng.permutation(some)[:2]
    return int(one), int(other)


def _single(seen: Seen) -> list[int]:
    """The numbers of the things that their word tells from the others."""
    names = [thing.name for thing in seen.scene.things]
    return [i for i, thing in enumerate(seen.scene.things) if thing.known and names.count(thing.name) == 1]


def _both(seen: Seen, one: int, other: int) -> dict[str, str]:
    return {"a": _called(seen, one), "b": _called(seen, other)}


def _called(seen: Seen, index: int) -> str:
    if index in seen.markers and not (seen.named and seen.rng.random() < seen.named and index in _single(seen)):
        return refer(seen.rng, seen.markers[index], list(seen.markers.values()), both=seen.both).it
    return f"the {seen.scene.things[index].name}"


Asks = Callable[[Seen], Fact | None]


def what(seen: Seen, index: int | None = None) -> Fact | None:
    """What is the marked thing? Of a picture without markers: that nothing is marked."""
    if index is None:
        index = seen.any_marked()
    if index is None:
        return Fact("what_only", NOTHING_MARKED)
    slots = _references(seen, index)
    return Fact("what", answer_name(seen.scene.things[index]), slots, index)


def _what_only(seen: Seen) -> Fact | None:
    if len(seen.markers) > 1:
        return None
    fact = what(seen)
    return fact and Fact("what_only", fact.answer, {}, fact.subject)


def _color(seen: Seen) -> Fact | None:
    colored = {i: marker for i, marker in seen.markers.items() if seen.scene.things[i].color}
    if not colored:
        return None
    index = int(seen.rng.choice(list(colored)))
    color = str(seen.scene.things[index].color)
    return Fact("color", color, _references(seen, index), index)


def _color_only(seen: Seen) -> Fact | None:
    fact = _color(seen) if len(seen.markers) == 1 else None
    return fact and Fact("color_only", fact.answer, {}, fact.subject)


def guess(seen: Seen, index: int) -> tuple[str, str]:
    """A thing that a marked one may be taken for, and what to answer: yes, or no and what it is."""
    thing = seen.scene.things[index]
    fate = seen.rng.random()
    others = [other.name for other in seen.scene.things if other.known and other.name != thing.name]
    if fate < 0.5 and thing.known:
        return with_article(thing.name), "yes"
    name = others[seen.rng.integers(len(others))] if others and fate < 0.8 else THINGS[seen.rng.integers(len(THINGS))]
    if name == thing.name:
        return with_article(name), "yes"
    return with_article(name), f"no, {with_article(thing.name)}" if thing.known else "no"


def _is_it(seen: Seen) -> Fact | None:
    index = seen.any_marked()
    if index is None:
        return None
    guessed, answer = guess(seen, index)
    slots = {**_references(seen, index), "guess": guessed}
    return Fact("is_it", answer, slots, index)


def _marks(seen: Seen) -> Fact | None:
    single = _single(seen)
    marked = [i for i in single if i in seen.markers]
    if not single:
        return None
    some = marked if marked and seen.rng.random() < 0.75 else single
    index = some[seen.rng.integers(len(some))]
    answer = described(seen.markers[index]) if index in seen.markers else "nothing"
    return Fact("marks", answer, {"thing": seen.scene.things[index].name}, index)


def _where_is(seen: Seen) -> Fact | None:
    if (two := _two(seen)) is None:
        return None
    relation = relation_of(seen.scene.things[two[0]], seen.scene.things[two[1]])
    return relation and Fact("where_is", relation, _both(seen, *two), two[0])  # type: ignore[return-value]


def _locate(seen: Seen) -> Fact | None:
    """Where in the picture a thing lies, by its word or by its marker: ``at the top left``."""
    names = [thing.name for thing in seen.scene.things]
    places = {i: place for i in range(len(names)) if (place := place_of(seen.scene, i)) is not None}
    named = [i for i in _single(seen) if i in places]
    marked = [i for i in places if i in seen.markers]
    fate = seen.rng.random()
    if marked and fate < 0.4:
        index = marked[seen.rng.integers(len(marked))]
        return Fact("locate", places[index], {"thing": _references(seen, index)["it"]}, index)
    if fate > 0.9:
        name = THINGS[seen.rng.integers(len(THINGS))]
        return None if name in names else Fact("locate", "nowhere", {"thing": f"the {name}"})
    if not named:
        return None
    index = named[seen.rng.integers(len(named))]
    return Fact("locate", places[index], {"thing": f"the {names[index]}"}, index)


def _is_side(seen: Seen) -> Fact | None:
    if (two := _two(seen)) is None:
        return None
    relation = relation_of(seen.scene.things[two[0]], seen.scene.things[two[1]])
    if relation is None:
        return None
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}[relation]
    fate = seen.rng.random()
    side = relation if fate < 0.5 else opposite if fate < 0.85 else list(SIDES)[seen.rng.integers(4)]
    slots = {**_both(seen, *two), "side": SIDES[side][seen.rng.integers(2)]}
    return Fact("is_side", "yes" if side == relation else "no", slots, two[0])


def _compared(ability: str) -> Asks:
    def fact(seen: Seen) -> Fact | None:
        if (two := _two(seen)) is None:
            return None
        one, other = seen.scene.things[two[0]], seen.scene.things[two[1]]
        ratio = ratio_of(one, other)
        if ratio is None:
            return None
        slots = _both(seen, *two)
        larger = ratio > 1
        if ability.startswith("is_"):
            return Fact(ability, "yes" if larger == (ability == "is_bigger") else "no", slots, two[0])
        if not (one.known and other.known) or one.name == other.name:
            return None
        return Fact(ability, f"the {(one if larger == (ability == 'bigger') else other).name}", slots)

    return fact


def _alike(ability: str) -> Asks:
    def fact(seen: Seen) -> Fact | None:
        if (two := _two(seen)) is None:
            return None
        one, other = seen.scene.things[two[0]], seen.scene.things[two[1]]
        if ability == "same_color":
            if not (one.color and other.color):
                return None
            same = one.color == other.color
        else:
            if not (one.known and other.known):
                return None
            same = one.name == other.name
        answer = "yes" if same != (ability == "different_kind") else "no"
        return Fact(ability, answer, _both(seen, *two))

    return fact


def _count_all(seen: Seen) -> Fact | None:
    return Fact("count_all", _NUMBERS[len(seen.scene.things)]) if len(seen.scene.things) <= 6 else None


def _count(seen: Seen) -> Fact | None:
    known = sorted({thing.name for thing in seen.scene.things if thing.known})
    if not known:
        return None
    counts = {name: sum(thing.name == name for thing in seen.scene.things) for name in known}
    many = [name for name in known if counts[name] > 1]
    fate = seen.rng.random()
    if fate < 0.2:
        name = THINGS[seen.rng.integers(len(THINGS))]
    else:
        some = many if many and fate < 0.75 else known
        name = some[seen.rng.integers(len(some))]
    number = counts.get(name, 0)
    return Fact("count", _NUMBERS[number], {"things": plural(name)}) if number <= 6 else None


def _is_there(seen: Seen) -> Fact | None:
    name, there = maybe_there(seen)
    return Fact("is_there", "yes" if there else "no", {"athing": with_article(name), "things": plural(name)})


def maybe_there(seen: Seen) -> tuple[str, bool]:
    """A thing's word, and whether such a thing is in the scene: half of the time one that is."""
    known = [thing.name for thing in seen.scene.things if thing.known]
    if known and seen.rng.random() < 0.5:
        return known[seen.rng.integers(len(known))], True
    name = THINGS[seen.rng.integers(len(THINGS))]
    return name, name in known


def _beside_it(seen: Seen) -> Fact | None:
    index = seen.any_marked()
    if index is None:
        return None
    found = some_side(seen, index)
    if found is None:
        return None
    side, answer = found
    slots = {**_references(seen, index), "side": side}
    return Fact("beside", answer, slots)


def some_side(seen: Seen, index: int) -> tuple[str, str] | None:
    """A side of a thing in words and what lies there: something, three times in four, where there is something."""
    clear = {side: found for side in SIDES if (found := beside(seen.scene, index, side)) is not None}
    some = [side for side, found in clear.items() if found != "nothing"]
    if not clear:
        return None
    sides = some if some and seen.rng.random() < 0.75 else list(clear)
    side = sides[seen.rng.integers(len(sides))]
    return SIDES[side][seen.rng.integers(2)], clear[side]


def _list(seen: Seen) -> Fact | None:
    names = [thing.name for thing in sorted(seen.scene.things, key=middle)]
    if not all(thing.known for thing in seen.scene.things) or len(set(names)) < len(names) or len(names) > 6:
        return None
    *most, last = [with_article(name) for name in names]
    return Fact("list", f"{', '.join(most)} and {last}" if most else last)


def _unknowable(_: Seen) -> Fact | None:
    return Fact("unknowable", DONT_KNOW)


ABILITIES: Mapping[str, Asks] = {
    "what": what,
    "what_only": _what_only,
    "color": _color,
    "color_only": _color_only,
    "is_it": _is_it,
    "marks": _marks,
    "where_is": _where_is,
    "locate": _locate,
    "is_side": _is_side,
    **{name: _compared(name) for name in ("bigger", "smaller", "is_bigger", "is_smaller")},
    **{name: _alike(name) for name in ("same_kind", "different_kind", "same_color")},
    "count_all": _count_all,
    "count": _count,
    "is_there": _is_there,
    "beside": _beside_it,
    "list": _list,
    "unknowable": _unknowable,
}
"""What can be asked of a scene: each makes one fact, or None where the scene doesn't allow it."""
