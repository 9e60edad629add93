"""Markers on things, their geometry drawn as in the paper's training data.

Source: `visual_prompt_generator.py` in mu-cai/ViP-LLaVA, which is what the published models have seen.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from vipcli.markers import Arrow, Box, Color, Contour, Ellipse, Marker, Mask, Point, Scribble, Triangle
from vipcli.scenes.composing import Thing

__all__ = ["SHAPES", "mark_thing"]

SHAPES: tuple[type[Marker], ...] = (Box, Ellipse, Point, Arrow, Triangle, Contour, Mask, Scribble)
"""The eight kinds that ViP-LLaVA was trained on."""


def mark_thing(
    rng: np.random.Generator,
    thing: Thing,
    kind: type[Marker],
    color: Color | None = None,
    *,
    vary: bool = True,
) -> Marker:
    """Put a marker of `kind` on `thing`, its geometry drawn as in the paper's training data.

    vary: width and alpha at random within the trained ranges; else the defaults, as a user types them.
    """
    height, width = thing.mask.shape
    style: dict = {"color": color}
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


# Line widths in 336ths: those of `visual_prompt_generator.py`, but for the thinnest and thickest of some kinds.
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
