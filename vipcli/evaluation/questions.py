"""The questions of the exam: for each row of its table what makes a scene, and asks about it."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files

import cv2
import numpy as np

from vipcli.markers import TRAINED, Color, Marker, assign
from vipcli.prompt import expand
from vipcli.scenes import SHAPES, STRANGERS, THINGS, Art, Look, Scene, Thing, compose, mark_thing
from vipcli.scenes.art import shipped_art
from vipcli.scenes.facts import ABILITIES, DONT_KNOW, Fact, Seen, answer_name, what
from vipcli.scenes.referring import By, refer
from vipcli.scenes.talks import FOLLOW_UPS, follow_up
from vipcli.scenes.wording import roughened, worded

__all__ = [
    "CONTROL",
    "OTHER_ART",
    "ROWS",
    "Marking",
    "Material",
    "Question",
    "about_a_stranger",
    "about_several",
    "by_ability",
    "drawn_otherwise",
    "held_out",
    "how_many",
    "in_a_conversation",
    "in_own_words",
    "other_drawings",
    "under_one_marker",
]

_PLAIN = {
    "what": "What is {it}?",
    "what_only": "What is this?",
    "color": "What color is {it}?",
    "color_only": "What color is this?",
    "is_it": "Is {it} {guess}?",
    "marks": "What marks the {thing}?",
    "where_is": "Where is {a} relative to {b}?",
    "locate": "Where is {thing}?",
    "is_side": "Is {a} {side} {b}?",
    "bigger": "Which is bigger, {a} or {b}?",
    "smaller": "Which is smaller, {a} or {b}?",
    "is_bigger": "Is {a} bigger than {b}?",
    "is_smaller": "Is {a} smaller than {b}?",
    "same_kind": "Are {a} and {b} the same kind of thing?",
    "different_kind": "Are {a} and {b} different things?",
    "same_color": "Do {a} and {b} have the same color?",
    "count_all": "How many objects are there?",
    "count": "How many {things} are there?",
    "is_there": "Is there {athing}?",
    "beside": "What is {side} {it}?",
    "list": "What objects are in the picture?",
    "follow_color": "What color is it?",
    "follow_other": "And the other one?",
    "follow_sure": "Are you sure?",
    "follow_marks": "How is it marked?",
    "follow_beside": "What is {side} it?",
    "follow_is": "Is it {guess}?",
    "follow_there": "Is there also {athing}?",
}
ROWS = {
    "where it lies": ("where_is", "is_side"),
    "where in the picture": ("locate",),
    "bigger or smaller": ("bigger", "smaller", "is_bigger", "is_smaller"),
    "same or different kind": ("same_kind", "different_kind"),
    "same color": ("same_color",),
    "counting to six": ("count_all", "count"),
    "is there a ...": ("is_there",),
    "what is left of @1, and so on": ("beside",),
    "list all objects": ("list",),
    "color of the thing marked": ("color", "color_only"),
    "is it a ...": ("is_it",),
    "what marks the ...": ("marks",),
}
"""Rows of the table, and the abilities that each asks in turn."""
CONTROL = "control: marker left out"
"""The row whose right answers are right by chance: the same question, and nothing is marked."""
OTHER_ART = "other art of the same things"
"""The row of drawings in a style that the model never learnt from."""


@dataclass(frozen=True, eq=False)
class Material:
    """What isn't in the package: photographs ((height, width, 3) uint8) as backgrounds, and art in another style."""

    photographs: Sequence[np.ndarray] = ()
    other_art: Art | None = None


@dataclass(frozen=True, eq=False)
class Question:
    """One question of the exam.

    row: of the table. picture: (height, width, 3) uint8. markers: on it. text: the question. truth: the right answer.
    thing: the word of the marked thing, where it is asked what that is. before: the question before it in the same
    conversation. jpeg: the quality that the picture is stored with; None: without loss.
    """

    row: str
    picture: np.ndarray
    markers: tuple[Marker, ...]
    text: str
    truth: str
    thing: str | None = None
    before: Question | None = field(default=None, repr=False)
    jpeg: int | None = None


@dataclass(frozen=True)
class Marking:
    """How one marker is drawn, whatever the exam would do. width: None: the kind's own."""

    kind: type[Marker]
    color: Color
    width: float | None = None


@functools.cache
def held_out() -> dict[str, tuple[str, ...]]:
    """The paraphrases by ability, which training never has."""
    table = tomllib.loads((files("vipcli") / "evaluation" / "phrases.toml").read_text(encoding="utf-8"))
    return {ability: tuple(its["phrases"]) for ability, its in table.items()}


def _size(rng: np.random.Generator) -> tuple[int, int]:
    width, height = (int(side) for side in rng.integers(300, 901, 2))
    return width, height


def _scene(rng: np.random.Generator, least: int) -> Scene:
    """A scene with at least `least` different things."""
    while True:
        scene = compose(rng, _size(rng), int(rng.integers(max(2, least), 6)))
        if len(scene.things) >= least:
            return scene


def _targeted(rng: np.random.Generator, target: str) -> Scene:
    """A scene of `target`, which comes first, and one to four other things."""
    others = [name for name in THINGS if name != target]
    names = [target, *(others[i] for i in rng.permutation(len(others))[: rng.integers(1, 5)])]
    while True:
        scene = compose(rng, _size(rng), len(names), names)
        things = sorted(scene.things, key=lambda thing: thing.name != target)
        if len(things) >= 2 and things[0].name == target:
            return Scene(scene.picture, tuple(things))


def _marker(rng: np.random.Generator, thing: Thing, kind: type[Marker], color: Color | None = None) -> Marker:
    """Half as a user types it (default width and alpha), half in any trained style."""
    return mark_thing(rng, thing, kind, color, vary=bool(rng.random() < 0.5))


def _colored(scene: Scene, markers: Mapping[int, Marker]) -> dict[int, Marker]:
    return dict(zip(markers, assign(scene.picture, list(markers.values())), strict=True))


def under_one_marker(rng: np.random.Generator, number: int, look: Marking | None = None) -> Iterator[Question]:
    """Each thing under each kind of marker; the marker moved to another thing; and, now and then, left out."""
    kind, target = SHAPES[number // len(THINGS) % len(SHAPES)], THINGS[number % len(THINGS)]
    kind = kind if look is None else look.kind
    scene = _targeted(rng, target)
    asked = None
    for row, index in ((f"one marker: {kind.kind}", 0), ("marker moved", 1)):
        marker = _marker(rng, scene.things[index], kind)
        if look is not None:
            marker = replace(marker, color=look.color, width=look.width, alpha=None)
        markers = _colored(scene, {index: marker})
        fact = what(Seen(rng, scene, markers), index)
        assert fact is not None
        question = _put(row, scene, markers, fact, _at(rng, markers, index))
        yield question
        asked = asked or question
    if number % 4 == 0 and asked is not None:
        yield replace(asked, row=CONTROL, markers=(), thing=None)


def _at(rng: np.random.Generator, markers: Mapping[int, Marker], index: int, by: By = "both") -> str:
    """What ``What is @1?`` becomes, or the same by the marker's colour or kind alone."""
    marker = markers[index]
    if by == "both":
        return expand("What is @1?", {"1": marker})
    return f"What is {refer(rng, marker, list(markers.values()), by).it}?"


def about_several(rng: np.random.Generator, number: int) -> Iterator[Question]:
    """Two to four markers, told apart by their colour or by their kind alone."""
    wanted = how_many(number)
    by: By = "color" if number // 3 % 2 else "kind"
    scene = _scene(rng, wanted)
    chosen = range(wanted)
    if by == "color":
        kinds = [SHAPES[rng.integers(len(SHAPES))]] * wanted
    else:
        kinds = [SHAPES[i] for i in rng.permutation(len(SHAPES))[:wanted]]
    names = [str(name) for name in rng.permutation(list(TRAINED))]
    names.remove(str(rng.choice(("yellow", "gold"))))
    colors = [Color.of(name) for name in names] if rng.random() < 0.5 or by == "color" else [None] * 9
    markers = _colored(scene, {i: _marker(rng, scene.things[i], kinds[i], colors[i]) for i in chosen})
    for index in chosen:
        fact = what(Seen(rng, scene, markers), index)
        assert fact is not None
        yield _put(f"two to four markers, by {by}", scene, markers, fact, _at(rng, markers, index, by))


def how_many(number: int) -> int:
    """How many markers `about_several` draws, each of which it asks about."""
    return 2 + number % 3


def _fact(rng: np.random.Generator, ability: str) -> tuple[Scene, dict[int, Marker], Fact]:
    """A scene and something to ask of it."""
    while True:
        twins = 0.7 if ability == "count" else 0.4 if ability in ("same_kind", "different_kind", "count_all") else 0.0
        count = int(rng.integers(1, 7)) if ability in ("count", "count_all") else int(rng.integers(2, 7))
        scene = compose(rng, _size(rng), count, look=Look(twins=twins, sides=(0.2, 0.34), recolored=0.15))
        wanted = 1 if ability in ("what_only", "color_only") else int(rng.integers(1, 4))
        if ability in ("where_is", "is_side", "same_color") or "_kind" in ability or ability.endswith("er"):
            wanted = 2
        chosen = rng.permutation(len(scene.things))[:wanted]
        markers = {int(i): _marker(rng, scene.things[i], SHAPES[rng.integers(len(SHAPES))]) for i in chosen}
        markers = _colored(scene, markers)
        fact = ABILITIES[ability](Seen(rng, scene, markers))
        if fact is not None:
            return scene, markers, fact


def by_ability(row: str, rng: np.random.Generator, number: int) -> Iterator[Question]:
    """What a row of `ROWS` asks, in plain words."""
    abilities = ROWS[row]
    ability = abilities[number % len(abilities)]
    scene, markers, fact = _fact(rng, ability)
    yield _put(row, scene, markers, fact, worded(_PLAIN[ability], fact.slots))


def _talk(rng: np.random.Generator, ability: str) -> tuple[Scene, dict[int, Marker], Fact, Fact]:
    while True:
        scene = compose(rng, _size(rng), int(rng.integers(2, 6)))
        if len(scene.things) < 2:
            continue
        wanted = 2 if ability == "follow_other" else int(rng.integers(1, 3))
        chosen = rng.permutation(len(scene.things))[:wanted]
        markers = {int(i): _marker(rng, scene.things[i], SHAPES[rng.integers(len(SHAPES))]) for i in chosen}
        markers = _colored(scene, markers)
        fact = what(Seen(rng, scene, markers), int(chosen[0]))
        after = fact and follow_up(Seen(rng, scene, markers), fact, ability)
        if fact and after:
            return scene, markers, fact, after


def in_a_conversation(ability: str, rng: np.random.Generator, _: int) -> Iterator[Question]:
    """What is marked, which is answered, and then a question that follows."""
    scene, markers, fact, after = _talk(rng, ability)
    before = _put("", scene, markers, fact, worded(_PLAIN["what"], fact.slots))
    text = worded(_PLAIN[ability], after.slots)
    yield replace(_put("follow-up questions", scene, markers, after, text), before=before)


def in_own_words(ability: str, rng: np.random.Generator, number: int) -> Iterator[Question]:
    """Paraphrase `number` of an ability, half of them as people type."""
    phrase = held_out()[ability][number]
    row = "things it can't know" if ability == "unknowable" else "in words of the user's own"
    before = None
    text = None
    while text is None:
        if ability in FOLLOW_UPS:
            scene, markers, first, fact = _talk(rng, ability)
            before = _put("", scene, markers, first, worded(_PLAIN["what"], first.slots))
        else:
            scene, markers, fact = _fact(rng, ability)
        text = worded(phrase, fact.slots)
    text = roughened(rng, text) if number % 2 else text
    yield replace(_put(row, scene, markers, fact, text), before=before)


def about_a_stranger(rng: np.random.Generator, number: int) -> Iterator[Question]:
    """A marked thing that the model has no word for."""
    name = STRANGERS[number % len(STRANGERS)]
    art = Art({**shipped_art().things, name: shipped_art().strangers[name]}, {})
    while True:
        others = [THINGS[i] for i in rng.permutation(len(THINGS))[: rng.integers(1, 4)]]
        scene = compose(rng, _size(rng), len(others) + 1, [name, *others], Look(art=art))
        index = next((i for i, thing in enumerate(scene.things) if thing.name == name), None)
        if index is not None:
            break
    markers = _colored(scene, {index: _marker(rng, scene.things[index], SHAPES[number % len(SHAPES)])})
    fact = Fact("what", DONT_KNOW, {}, index)
    yield _put("a thing that it never saw", scene, markers, fact, _at(rng, markers, index))


def other_drawings(material: Material) -> Iterator[tuple[str, Callable[[np.random.Generator], Look | None]]]:
    """Rows of pictures that are drawn as training's never are, and how their scenes look; None: of any size."""
    yield "rotated by up to 20 degrees", lambda _: Look()
    yield "JPEG of quality 30", lambda _: Look()
    yield "64 to 2,000 pixels, any shape", lambda _: None
    if material.photographs:
        some = material.photographs
        yield "photographs behind the things", lambda rng: Look(background=some[int(rng.integers(len(some)))])
    if (art := material.other_art) is not None:
        yield OTHER_ART, lambda _: Look(art=art)


def drawn_otherwise(
    row: str, look_of: Callable[[np.random.Generator], Look | None], rng: np.random.Generator, number: int
) -> Iterator[Question]:
    """What is marked, in a picture of a row of `other_drawings`."""
    look = look_of(rng)
    art = look.art if look is not None else None
    names = [name for name in THINGS if art is None or name in art.things]
    while True:
        size = _size(rng)
        if look is None:
            longest = int(np.exp(rng.uniform(np.log(64), np.log(2000))))
            size = (longest, max(32, int(longest * rng.uniform(0.25, 1))))
            size = size if rng.random() < 0.5 else size[::-1]
        scene = compose(rng, size, int(rng.integers(2, 6)), names, look or Look())
        if len(scene.things) >= 2:
            break
    if row.startswith("rotated"):
        scene = _rotated(scene, rng.uniform(-20, 20))
    markers = _colored(scene, {0: _marker(rng, scene.things[0], SHAPES[number % len(SHAPES)])})
    fact = what(Seen(rng, scene, markers), 0)
    assert fact is not None
    question = _put(row, scene, markers, fact, _at(rng, markers, 0))
    yield replace(question, thing=None, jpeg=30 if row.startswith("JPEG") else None)


def _rotated(scene: Scene, angle: float) -> Scene:
    height, width = scene.picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    picture = cv2.warpAffine(scene.picture, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    things = []
    for thing in scene.things:
        mask = cv2.warpAffine(thing.mask.astype(np.uint8), turn, (width, height)) > 0
        x, y, wide, high = cv2.boundingRect(mask.astype(np.uint8))
        if mask.sum() < 0.8 * thing.mask.sum():  # it was turned out of the picture
            continue
        things.append(replace(thing, mask=mask, xyxy=(x, y, x + wide, y + high)))
    return Scene(picture, tuple(things)) if things else scene


def _put(row: str, scene: Scene, markers: Mapping[int, Marker], fact: Fact, text: str | None) -> Question:
    assert text is not None
    named = fact.ability in ("what", "what_only") and fact.subject is not None
    thing = scene.things[fact.subject].name if named and fact.subject is not None else None
    assert thing is None or answer_name(scene.things[fact.subject or 0]) == fact.answer or fact.answer == DONT_KNOW
    return Question(row, scene.picture, tuple(markers.values()), text, fact.answer, thing)
