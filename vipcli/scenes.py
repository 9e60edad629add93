"""Synthetic pictures whose truth is known: everyday things on a background, and markers put on them.

They train and judge the embedded model and serve as examples. Everything follows from a seed. The art is Noto Emoji
(Apache-2.0), in `vipcli/art`; the markers' geometry is that of the paper's training data (`visual_prompt_generator.py`
in mu-cai/ViP-LLaVA), which is what the model has seen.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import cast

import cv2
import numpy as np
from PIL import Image

from vipcli.markers import Arrow, Box, Color, Contour, Ellipse, Marker, Mask, Point, Scribble, Triangle

__all__ = ["SHAPES", "THINGS", "Scene", "Thing", "compose", "mark_thing", "with_article"]

SHAPES: tuple[type[Marker], ...] = (Box, Ellipse, Point, Arrow, Triangle, Contour, Mask, Scribble)
"""The eight kinds that ViP-LLaVA was trained on."""


def _sheet_info() -> dict:
    return json.loads((files("vipcli") / "art" / "noto.json").read_text())


THINGS: tuple[str, ...] = tuple(_sheet_info()["names"])
"""The words for the things that scenes show and the embedded model knows."""


@dataclass(frozen=True, eq=False)
class Thing:
    """One thing in a scene.

    name: its word, one of `THINGS`.
    xyxy: the tight box around what is visible of it, in pixels.
    mask: (height, width) bool of the whole picture.
    """

    name: str
    xyxy: tuple[int, int, int, int]
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture ((height, width, 3) uint8 RGB) and the things in it."""

    picture: np.ndarray
    things: tuple[Thing, ...]


def compose(rng: np.random.Generator, size: tuple[int, int], count: int = 3, names: Sequence[str] = THINGS) -> Scene:
    """Draw a scene of `size` (width, height) with up to `count` different things out of `names`.

    The things keep clear of each other; fewer than `count` are placed where there is no room for more.
    """
    width, height = size
    picture = _background(rng, width, height)
    chosen = rng.choice(len(names), size=min(count, len(names)), replace=False)
    longest = max(size)
    taken: list[tuple[int, int, int, int]] = []
    things = []
    for index in chosen:
        for _ in range(30):
            side = int(rng.uniform(0.22, 0.4) * longest)
            side = max(12, min(side, int(0.92 * min(size))))
            x, y = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
            gap = side // 10
            spot = (x - gap, y - gap, x + side + gap, y + side + gap)
            if not any(_overlap(spot, other) for other in taken):
                taken.append((x, y, x + side, y + side))
                things.append(_paste(rng, picture, names[index], x, y, side))
                break
    return Scene(picture, tuple(things))


def mark_thing(
    rng: np.random.Generator,
    thing: Thing,
    kind: type[Marker],
    color: Color | None = None,
    *,
    vary: bool = True,
    name: str | None = None,
) -> Marker:
    """Put a marker of `kind` on `thing`, its geometry drawn as in the paper's training data.

    vary: width and alpha at random within the trained ranges; else the defaults, as a user types them.
    """
    height, width = thing.mask.shape
    style: dict = {"color": color, "name": name}
    if vary:
        low, high = _WIDTHS[kind]
        style["width"] = float(rng.uniform(low, high))
        style["alpha"] = float(rng.uniform(48, 128) if kind is Mask else rng.uniform(96, 255)) / 255
    x1, y1, x2, y2 = thing.xyxy
    wide, high_ = x2 - x1, y2 - y1
    if kind is Box:
        pad = rng.uniform(0, 0.12, 4) if vary else rng.uniform(0, 0.05, 4)
        return Box(
            max(0, x1 - pad[0] * wide),
            max(0, y1 - pad[1] * high_),
            min(width, x2 + pad[2] * wide),
            min(height, y2 + pad[3] * high_),
            **style,
        )
    if kind is Ellipse:
        grow = rng.uniform(1.0, 1.4, 2)
        middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
        half_x, half_y = wide / 2 * grow[0], high_ / 2 * grow[1]
        return Ellipse(middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y, **style)
    if kind is Point:
        ((x, y),) = _inside(rng, thing, 1)
        return Point(x, y, **style)
    if kind is Arrow:
        tip_x = (x1 + x2) / 2 + rng.uniform(-0.2, 0.2) * wide
        tip_y = (y1 + y2) / 2 + rng.uniform(-0.2, 0.2) * high_
        longest = max(width, height)
        for _ in range(20):  # a tail that stays in the picture
            length, angle = rng.uniform(0.09, 0.17) * longest, rng.uniform(0, 2 * np.pi)
            tail_x, tail_y = tip_x + length * np.cos(angle), tip_y + length * np.sin(angle)
            if 0 <= tail_x < width and 0 <= tail_y < height:
                break
        return Arrow(float(tail_x), float(tail_y), tip_x, tip_y, **style)
    if kind is Triangle:
        return Triangle(_triangle(rng, thing), **style)
    if kind is Scribble:
        corners = np.array(_inside(rng, thing, 4))
        t = np.linspace(0, 1, 20)[:, None]
        curve = (1 - t) ** 3 * corners[0] + 3 * (1 - t) ** 2 * t * corners[1]
        curve = curve + 3 * (1 - t) * t**2 * corners[2] + t**3 * corners[3]
        return Scribble(tuple((float(x), float(y)) for x, y in curve), **style)
    contour = _contour(thing)
    return Contour(contour, **style) if kind is Contour else Mask(corners=contour, **style)


def with_article(name: str) -> str:
    """``a cat``, ``an owl``; words that are already many stay bare (``grapes``)."""
    if name in ("grapes", "cherries", "scissors", "bread", "cheese", "broccoli"):
        return name
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


# Line widths in 336ths, from the table of `visual_prompt_generator.py`.
_WIDTHS: dict[type[Marker], tuple[float, float]] = {
    Box: (2, 8),
    Ellipse: (2, 8),
    Triangle: (2, 8),
    Point: (5, 16),
    Scribble: (2, 10),
    Contour: (1.5, 3),
    Mask: (1, 1),
    Arrow: (2, 6),
}


@functools.cache
def _sprites() -> dict[str, np.ndarray]:
    """Every thing as (side, side, 4) uint8 RGBA."""
    info = _sheet_info()
    side, columns = info["side"], info["columns"]
    with (files("vipcli") / "art" / "noto.png").open("rb") as file:
        sheet = np.asarray(Image.open(file).convert("RGBA"))
    return {
        name: sheet[i // columns * side : (i // columns + 1) * side, i % columns * side : (i % columns + 1) * side]
        for i, name in enumerate(info["names"])
    }


def _paste(rng: np.random.Generator, picture: np.ndarray, name: str, x: int, y: int, side: int) -> Thing:
    """Put a sprite, mirrored or tilted a little at random, into the square at x, y; returns what is visible of it."""
    sprite = _sprites()[name]
    scale = side / sprite.shape[0] * 0.94
    angle = float(rng.uniform(-12, 12))
    middle = sprite.shape[0] / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, scale)
    matrix[:, 2] += side / 2 - middle
    if rng.random() < 0.5:
        sprite = np.ascontiguousarray(sprite[:, ::-1])
    if scale < 0.6:  # a warp doesn't average: shrink first
        half = cv2.resize(sprite, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        matrix[:, :2] *= 2
        sprite = half
    pasted = cv2.warpAffine(sprite, matrix, (side, side), flags=cv2.INTER_LINEAR)
    alpha = pasted[..., 3].astype(np.float32) / 255
    region = picture[y : y + side, x : x + side]
    region[:] = cv2.blendLinear(np.ascontiguousarray(pasted[..., :3]), np.ascontiguousarray(region), alpha, 1 - alpha)
    mask = np.zeros(picture.shape[:2], bool)
    mask[y : y + side, x : x + side] = pasted[..., 3] > 127
    left, top, wide, high = cv2.boundingRect(mask[y : y + side, x : x + side].astype(np.uint8))
    return Thing(name, (x + left, y + top, x + left + wide, y + top + high), mask)


def _background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A flat colour, a gradient, soft clouds or a pattern of shapes; (height, width, 3) uint8."""
    style = rng.integers(4)
    base = rng.integers(0, 256, 3)
    if rng.random() < 0.6:  # most rooms and skies are pale or dark rather than neon
        base = np.clip((base - 128) * 0.35 + rng.uniform(40, 225), 0, 255).astype(int)
    if style == 0:
        return np.full((height, width, 3), base, np.uint8)
    grid = (int(rng.integers(3, 9)), int(rng.integers(3, 9))) if style == 2 else (2, 2)
    seed = np.clip(base + rng.normal(0, 45, (*grid, 3)), 0, 255).astype(np.uint8)
    picture = cv2.resize(seed, (width, height), interpolation=cv2.INTER_LINEAR)
    if style == 3:
        for _ in range(int(rng.integers(2, 9))):
            color = np.clip(base + rng.normal(0, 60, 3), 0, 255).tolist()
            x, y = int(rng.integers(width)), int(rng.integers(height))
            reach = int(rng.uniform(0.05, 0.4) * max(width, height))
            if rng.random() < 0.5:
                cv2.circle(picture, (x, y), reach // 2, color, -1, cv2.LINE_AA)
            else:
                cv2.rectangle(picture, (x, y), (x + reach, y + int(reach * rng.uniform(0.2, 1.5))), color, -1)
    return picture


def _inside(rng: np.random.Generator, thing: Thing, count: int) -> list[tuple[float, float]]:
    """`count` spots inside the thing, away from its rim where it is thick enough."""
    x1, y1, x2, y2 = thing.xyxy
    solid = thing.mask[y1:y2, x1:x2].astype(np.uint8)
    reach = max(1, min(solid.shape) // 8) * 2 + 1
    core = cv2.erode(solid, np.ones((reach, reach), np.uint8), borderValue=0)
    rows, columns = np.nonzero(core if core.any() else solid)
    picks = rng.integers(0, len(rows), count)
    return [(float(columns[i] + x1), float(rows[i] + y1)) for i in picks]


def _triangle(rng: np.random.Generator, thing: Thing) -> tuple[tuple[float, float], ...]:
    """Three spots inside the thing with no angle over 150 degrees, the largest of a few tries."""
    best: tuple[tuple[float, float], ...] | None = None
    best_area = 0.0
    for _ in range(8):
        corners = _inside(rng, thing, 3)
        a, b, c = np.array(corners)
        area = abs(float(np.cross(np.append(b - a, 0), np.append(c - a, 0))[2])) / 2
        sides = sorted((np.linalg.norm(b - a), np.linalg.norm(c - b), np.linalg.norm(a - c)))
        # Law of cosines: an angle of 150 degrees has a cosine of -0.866.
        flat = sides[0] * sides[1] == 0 or (
            (sides[0] ** 2 + sides[1] ** 2 - sides[2] ** 2) / (2 * sides[0] * sides[1]) < -0.866
        )
        if not flat and area > best_area:
            best, best_area = tuple(corners), area
    if best is not None and best_area > 2:
        return best
    x1, y1, x2, y2 = thing.xyxy  # a sliver: a triangle over its middle
    x, y, r = (x1 + x2) / 2, (y1 + y2) / 2, max(3.0, max(x2 - x1, y2 - y1) / 4)
    return (x, y - r), (x + r, y + r), (x - r, y + r)


def _contour(thing: Thing) -> tuple[tuple[float, float], ...]:
    """The outline of the thing's largest part."""
    x1, y1, x2, y2 = thing.xyxy
    part = np.pad(thing.mask[y1:y2, x1:x2].astype(np.uint8), 1)
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=cv2.contourArea)
    precise = cv2.approxPolyDP(largest, max(0.5, 0.004 * max(part.shape)), True)[:, 0]
    return tuple((float(x) + x1 - 1, float(y) + y1 - 1) for x, y in cast("list[tuple[int, int]]", precise.tolist()))


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
