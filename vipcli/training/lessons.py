"""What the embedded model learns from: scenes, and questions about them whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vipcli.images import fit
from vipcli.markers import TRAINED, Arrow, Color, Marker, Point, Scribble, assign, coverage, draw
from vipcli.scenes import SHAPES, THINGS, Scene, compose, mark_thing, with_article

__all__ = ["COLORS", "PATCH_LABELS", "Lesson", "all_texts", "lesson", "mark_some"]

COLORS = tuple(TRAINED)
_KINDS = (*SHAPES, Point, Arrow, Scribble)  # they say least about where a thing ends: they take more lessons
UNMARKED = -1
PATCH_LABELS = ("thing", "shape", "color", "ink_shape", "ink_color")

# {where}: the trained phrase behind a noun, as `@name` becomes in a question.
_WHAT = (
    "What is the object {where}?",
    "What is the object {where}?",
    "What is the object {where}?",
    "What is {where}?",
    "What is {where}?",
    "What's {where}?",
    "What is the thing {where}?",
    "What is shown {where}?",
    "What do you see {where}?",
    "Which object is {where}?",
    "Name the object {where}.",
    "Identify the object {where}.",
    "What kind of object is {where}?",
    "What is the {name} {where}?",
    "Tell me what the object {where} is.",
)
_WHAT_ONLY = (  # one marker in the picture: nothing needs to say which
    "What is this?",
    "What is this?",
    "What is it?",
    "What is marked?",
    "What is this object?",
    "What is the marked object?",
    "What's this?",
    "What is the object with the visual prompt?",
)
_WHAT_BY_KIND = {
    "box": ("What is in the {color} box?", "What is in the {color} rectangle?", "What is inside the {color} box?"),
    "ellipse": ("What is in the {color} circle?", "What is in the {color} ellipse?", "What is circled in {color}?"),
    "arrow": ("What does the {color} arrow point to?", "What is the {color} arrow pointing at?"),
    "point": ("What is under the {color} point?", "What is the {color} dot on?"),
    "mask": ("What does the {color} mask cover?",),
    "contour": ("What has the {color} contour?", "What is outlined in {color}?"),
    "triangle": ("What is under the {color} triangle?",),
    "scribble": ("What is under the {color} scribble?",),
}
_NAMES = ("object", "thing", "item", "one", "a", "b", "x", "this", "left", "right")
_IS_IT = ("Is the object {where} {noun}?", "Is {noun} {where}?", "Is it {noun} {where}?")
_MARKED_BY = ("What marks the {thing}?", "How is the {thing} marked?", "Which marker is on the {thing}?")


@dataclass(frozen=True, eq=False)
class Lesson:
    """One picture as the model gets it, with what the vision tower and the language model should make of it.

    pixels: (side, side, 3) uint8. turns: (question, answer) pairs of one conversation.
    thing, shape, color: (patches,) int64, row by row. `thing` is an index into `THINGS` or ``len(THINGS)`` for
    background; `shape` and `color` of its marker, `UNMARKED` without one, -100 on the background. `ink_shape` and
    `ink_color`: of the marker that is drawn across the patch itself, ``len(SHAPES)`` and ``len(COLORS)`` without one.
    """

    pixels: np.ndarray
    turns: tuple[tuple[str, str], ...]
    thing: np.ndarray
    shape: np.ndarray
    color: np.ndarray
    ink_shape: np.ndarray
    ink_color: np.ndarray


def lesson(rng: np.random.Generator, side: int, patch: int) -> Lesson:
    """Draw one lesson for a model of `side` pixels and `patch` pixels a patch."""
    longest = int(rng.choice((150, 200, 260, 380), p=(0.3, 0.3, 0.25, 0.15)) * rng.uniform(0.9, 1.2))
    ratio = 1 / rng.uniform(1, 1.9) if rng.random() < 0.8 else 1 / rng.uniform(1.9, 5)
    size = (longest, max(40, int(longest * ratio)))
    size = size if rng.random() < 0.5 else size[::-1]
    scene = compose(rng, size, count=int(rng.integers(2, 6)))
    markers = mark_some(rng, scene, count=int(rng.choice((1, 2, 3), p=(0.35, 0.35, 0.3))))
    fitted = fit(draw(scene.picture, list(markers.values())), side)
    labels = _patch_labels(scene, markers, side // patch)
    return Lesson(_weather(rng, fitted.picture), _turns(rng, scene, markers), *labels)


def mark_some(
    rng: np.random.Generator, scene: Scene, count: int, kind: type[Marker] | None = None, vary: bool | None = None
) -> dict[int, Marker]:
    """Mark up to `count` things of a scene; returns index of the thing -> marker, all coloured.

    Half the time the colours are the automatic ones, half the time any of the nine, but never yellow beside gold,
    which translucent lines don't tell apart.
    """
    chosen = rng.permutation(len(scene.things))[:count]
    varied = bool(rng.random() < 0.7) if vary is None else vary
    kinds = [kind or _KINDS[rng.integers(len(_KINDS))] for _ in chosen]
    if rng.random() < 0.25 and kind is None:  # the same shape twice: only the colour tells
        kinds = [kinds[0]] * len(chosen)
    colors: list[Color | None] = [None] * len(chosen)
    if rng.random() < 0.5:
        names = [str(name) for name in rng.permutation(COLORS)]
        names.remove(str(rng.choice(("yellow", "gold"))))
        colors = [Color.of(name) for name in names[: len(chosen)]]
    markers = [
        mark_thing(rng, scene.things[i], shape, color, vary=varied)
        for i, shape, color in zip(chosen, kinds, colors, strict=True)
    ]
    return dict(zip((int(i) for i in chosen), assign(scene.picture, markers), strict=True))


def _turns(rng: np.random.Generator, scene: Scene, markers: dict[int, Marker]) -> tuple[tuple[str, str], ...]:
    turns = []
    order = list(markers.items())
    for index in rng.permutation(len(order)):
        thing, marker = order[index]
        turns.append((_what(rng, marker, alone=len(order) == 1), with_article(scene.things[thing].name)))
    if len(turns) == 1 or rng.random() < 0.4:
        extra = _is_it if rng.random() < 0.3 else _marked_by
        turns.insert(int(rng.integers(len(turns) + 1)), extra(rng, scene, markers))
    return tuple(turns)


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[rng.integers(len(choices))]


def _what(rng: np.random.Generator, marker: Marker, alone: bool) -> str:
    if alone and rng.random() < 0.35:
        return _pick(rng, _WHAT_ONLY)
    color, where = _where(marker)
    if rng.random() < 0.12:
        return _pick(rng, _WHAT_BY_KIND[marker.kind]).format(color=color)
    name = _pick(rng, _NAMES) if rng.random() < 0.7 else _pick(rng, THINGS)
    if alone and rng.random() < 0.15:
        where = where.replace(f"{color} ", "")
    return _pick(rng, _WHAT).format(where=where, name=name)


def _is_it(rng: np.random.Generator, scene: Scene, markers: dict[int, Marker]) -> tuple[str, str]:
    index = int(rng.choice(list(markers)))
    truth = scene.things[index].name
    guess = truth if rng.random() < 0.5 else scene.things[rng.integers(len(scene.things))].name
    question = _pick(rng, _IS_IT).format(where=_where(markers[index])[1], noun=with_article(guess))
    return question, "yes" if guess == truth else f"no, {with_article(truth)}"


def _marked_by(rng: np.random.Generator, scene: Scene, markers: dict[int, Marker]) -> tuple[str, str]:
    index = int(rng.integers(len(scene.things)))
    question = _pick(rng, _MARKED_BY).format(thing=scene.things[index].name)
    if index not in markers:
        return question, "nothing"
    color, where = _where(markers[index])
    noun = where.split(f"{color} ", 1)[1]
    return question, f"a {color} {noun}"


def _where(marker: Marker) -> tuple[str, str]:
    assert marker.color is not None
    return marker.color.name, marker.phrase.format(color=marker.color.name)


def all_texts() -> list[str]:
    """Every question and answer that lessons are made of: what the tokenizer learns its pieces from."""
    phrases = [marker.phrase.format(color=color) for marker in SHAPES for color in COLORS]
    questions = [
        template.format(where=where, name=name, noun=with_article(thing))
        for template in (*_WHAT, *_IS_IT)
        for where, name, thing in zip(phrases, _NAMES * 8, (*THINGS, *THINGS), strict=False)
    ]
    questions += [t.format(color=color) for by_kind in _WHAT_BY_KIND.values() for t in by_kind for color in COLORS]
    questions += [template.format(thing=thing) for template in _MARKED_BY for thing in THINGS]
    answers = [with_article(thing) for thing in THINGS for _ in range(20)]
    answers += [f"no, {with_article(thing)}" for thing in THINGS]
    return [*questions, *_WHAT_ONLY * 20, *answers, *["yes", "nothing"] * 50]


def _patch_labels(scene: Scene, markers: dict[int, Marker], grid: int) -> tuple[np.ndarray, ...]:
    """The arrays of `PATCH_LABELS`, each (grid * grid,)."""
    size = (scene.picture.shape[1], scene.picture.shape[0])
    things = [THINGS.index(thing.name) for thing in scene.things]
    owner = _owner([thing.mask for thing in scene.things], size, grid, least=0.25)
    order = list(markers)
    inks = [_on_picture(*coverage(markers[i], size), size) for i in order]
    ink = _owner(inks, size, grid, least=0.03)
    shapes = [SHAPES.index(type(markers[i])) for i in order]
    colors = [COLORS.index(markers[i].color.name) for i in order]  # type: ignore[union-attr]
    shape_of, color_of = dict(zip(order, shapes, strict=True)), dict(zip(order, colors, strict=True))
    return (
        np.array([*things, len(THINGS)])[owner],
        np.array([*(shape_of.get(i, UNMARKED) for i in range(len(things))), -100])[owner],
        np.array([*(color_of.get(i, UNMARKED) for i in range(len(things))), -100])[owner],
        np.array([*shapes, len(SHAPES)])[ink],
        np.array([*colors, len(COLORS)])[ink],
    )


def _owner(masks: list[np.ndarray], size: tuple[int, int], grid: int, least: float) -> np.ndarray:
    """Which mask covers most of each patch of the padded picture; ``len(masks)`` where none covers `least` of it."""
    width, height = size
    step = max(1, max(size) // 120)  # a coarser mask is exact enough for a share of a patch
    longest = max(size) // step
    left, top = (longest - width // step) // 2, (longest - height // step) // 2
    cover = np.full((len(masks) + 1, grid, grid), least, np.float32)
    for i, mask in enumerate(masks):
        square = np.zeros((longest, longest), np.uint8)
        small = mask[: height // step * step : step, : width // step * step : step]
        square[top : top + small.shape[0], left : left + small.shape[1]] = (small > 0) * np.uint8(255)
        cover[i] = cv2.resize(square, (grid, grid), interpolation=cv2.INTER_AREA) / 255
    return cover.argmax(axis=0).ravel()


def _on_picture(mask: np.ndarray, x: int, y: int, size: tuple[int, int]) -> np.ndarray:
    whole = np.zeros((size[1], size[0]), np.uint8)
    whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return whole


def _weather(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A little of what happens to real pictures: light, blur, noise, JPEG."""
    if rng.random() < 0.3:
        picture = cv2.convertScaleAbs(picture, alpha=rng.uniform(0.85, 1.15), beta=rng.uniform(-15, 15))
    fate = rng.random()
    if fate < 0.08:
        picture = cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.3, 0.7))
    elif fate < 0.16:
        noisy = picture.astype(np.float32) + rng.normal(0, rng.uniform(2, 8), picture.shape).astype(np.float32)
        picture = np.clip(noisy, 0, 255).astype(np.uint8)
    elif fate < 0.3:
        code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))])[1]
        picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    return picture
