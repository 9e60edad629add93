"""Scenes: things on a background, clear of each other, from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vipcli.scenes.art import THINGS, Art, Sprite, main_color, mix, shipped_art, turn_hue

__all__ = ["Look", "Scene", "Thing", "compose"]


@dataclass(frozen=True, eq=False)
class Thing:
    """One thing in a scene.

    name: its word. xyxy: the tight box around what is visible of it, in pixels. mask: (height, width) bool of the whole
    picture. color: one of `COLORS`; None where it has no main colour. known: whether its word is one of `THINGS`.
    """

    name: str
    xyxy: tuple[int, int, int, int]
    mask: np.ndarray
    color: str | None = None
    known: bool = True


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture ((height, width, 3) uint8 RGB) and the things in it."""

    picture: np.ndarray
    things: tuple[Thing, ...]


@dataclass(frozen=True, eq=False)
class Look:
    """How scenes are varied beyond the plain ones; chances are from 0 to 1.

    twins: that a thing is of a kind that is already there. recolored: that its hues are turned. strangers: that it is
    none of `THINGS`. mixed: that such a stranger is half of one drawing and half of another. rough: that the background
    is a busy one. tilt: degrees, either way. sides: the range of a thing's side, in the picture's longer side. art: the
    drawings; None: those of the package. background: (height, width, 3) uint8, a picture to crop the background from.
    """

    twins: float = 0.0
    recolored: float = 0.0
    strangers: float = 0.0
    mixed: float = 0.0
    rough: float = 0.0
    tilt: float = 12.0
    sides: tuple[float, float] = (0.22, 0.4)
    art: Art | None = None
    background: np.ndarray | None = None


PLAIN = Look()


def compose(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int = 3,
    names: Sequence[str] = THINGS,
    look: Look = PLAIN,
) -> Scene:
    """Draw a scene of `size` (width, height) with up to `count` things out of `names`, different unless `look` has it
    or a name comes twice.

    The things keep clear of each other; fewer than `count` are placed where there is no room for more.
    """
    width, height = size
    if look.background is not None:
        picture = _cropped(rng, look.background, width, height)
    elif look.rough and rng.random() < look.rough:
        picture = _rough(rng, width, height)
    else:
        picture = _background(rng, width, height)
    chosen = [names[i] for i in rng.choice(len(names), size=min(count, len(names)), replace=False)]
    art = look.art or shipped_art()
    longest = max(size)
    taken: list[tuple[int, int, int, int]] = []
    things: list[Thing] = []
    for name in chosen:
        if look.twins and things and rng.random() < look.twins:
            name = things[-1].name
        known = not (look.strangers and rng.random() < look.strangers)
        if not known:
            others = list(art.strangers)
            name = others[rng.integers(len(others))]
        for _ in range(30):
            side = int(rng.uniform(*look.sides) * longest)
            side = max(12, min(side, int(0.92 * min(size))))
            x, y = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
            gap = side // 10
            spot = (x - gap, y - gap, x + side + gap, y + side + gap)
            if not any(_overlap(spot, other) for other in taken):
                taken.append((x, y, x + side, y + side))
                sprite = _style(rng, (art.things if known and name in art.things else art.strangers)[name])
                if not known and look.mixed and rng.random() < look.mixed:
                    sprite = _mixed(rng, art)
                turned = rng.uniform(30, 330) if look.recolored and rng.random() < look.recolored else None
                things.append(_paste(rng, picture, name, sprite, (x, y), side, look.tilt, turned))
                break
    return Scene(picture, tuple(things))


def _style(rng: np.random.Generator, styles: tuple[Sprite, ...]) -> Sprite:
    return styles[0] if len(styles) == 1 or rng.random() < 0.4 else styles[rng.integers(len(styles))]


def _mixed(rng: np.random.Generator, art: Art) -> Sprite:
    everything = [*art.things.values(), *art.strangers.values()]
    one, other = rng.choice(len(everything), size=2, replace=False)
    return mix(_style(rng, everything[one]), _style(rng, everything[other]), float(rng.uniform(0, 360)))


def _paste(
    rng: np.random.Generator,
    picture: np.ndarray,
    name: str,
    sprite: Sprite,
    at: tuple[int, int],
    side: int,
    tilt: float,
    turned: float | None,
) -> Thing:
    """Put a sprite, mirrored or tilted a little at random, into the square at x, y; returns what is visible of it.

    turned: degrees of hue.
    """
    x, y = at
    whole = sprite.levels[0].shape[0]
    scale = side / whole * 0.94
    angle = float(rng.uniform(-tilt, tilt))
    mirrored = rng.random() < 0.5
    # A warp doesn't average: begin with a picture that is at most twice too large.
    level = 0
    while level + 1 < len(sprite.levels) and scale * 2 ** (level + 1) <= 1.2:
        level += 1
    pixels, color = sprite.levels[level], sprite.color
    if turned is not None:
        pixels = turn_hue(pixels, turned)
        color = main_color(turn_hue(sprite.levels[-1], turned))
    if mirrored:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    middle = pixels.shape[0] / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, scale * whole / pixels.shape[0])
    matrix[:, 2] += side / 2 - middle
    pasted = cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR)
    alpha = pasted[..., 3].astype(np.float32) / 255
    region = picture[y : y + side, x : x + side]
    region[:] = cv2.blendLinear(np.ascontiguousarray(pasted[..., :3]), np.ascontiguousarray(region), alpha, 1 - alpha)
    mask = np.zeros(picture.shape[:2], bool)
    mask[y : y + side, x : x + side] = pasted[..., 3] > 127
    left, top, wide, high = cv2.boundingRect(mask[y : y + side, x : x + side].astype(np.uint8))
    box = (x + left, y + top, x + left + wide, y + top + high)
    return Thing(name, box, mask, color, name in THINGS)


def _background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A flat colour, a gradient, soft clouds or a pattern of shapes; (height, width, 3) uint8."""
    style = rng.integers(4)
    base = _base(rng)
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


def _base(rng: np.random.Generator) -> np.ndarray:
    base = rng.integers(0, 256, 3)
    if rng.random() < 0.6:  # most rooms and skies are pale or dark rather than neon
        base = np.clip((base - 128) * 0.35 + rng.uniform(40, 225), 0, 255).astype(int)
    return base


def _rough(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Like a photograph to look at: noise on every scale, sometimes cut by edges; (height, width, 3) uint8."""
    fine = (min(width, 160), min(height, 160))
    picture = np.full((fine[1], fine[0], 3), _base(rng), np.float32)
    fall = rng.uniform(0.45, 0.9)  # how quickly the noise of finer scales fades
    hues = rng.uniform(0.2, 1)  # of noise in colour, against noise in light alone
    for octave, cells in enumerate((2, 4, 8, 16, 32, 64)):
        grid = rng.normal(0, 48 * fall**octave, (cells, cells, 1)) + rng.normal(
            0, 30 * hues * fall**octave, (cells, cells, 3)
        )
        picture += cv2.resize(grid.astype(np.float32), fine, interpolation=cv2.INTER_LINEAR)
    for _ in range(int(rng.integers(0, 6))):  # roofs, trunks, horizons
        corners = rng.uniform(-0.2, 1.2, (int(rng.integers(3, 5)), 2)) * fine
        part = np.zeros(fine[::-1], np.uint8)
        cv2.fillPoly(part, [corners.astype(np.int32)], 1)
        picture[part > 0] += rng.normal(0, 45, 3)
    return cv2.resize(np.clip(picture, 0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)


def _cropped(rng: np.random.Generator, whole: np.ndarray, width: int, height: int) -> np.ndarray:
    """A part of a larger picture, of the scene's shape, mirrored at random."""
    scale = min(whole.shape[1] / width, whole.shape[0] / height) * rng.uniform(0.4, 1)
    wide, high = max(1, int(width * scale)), max(1, int(height * scale))
    x, y = int(rng.integers(0, whole.shape[1] - wide + 1)), int(rng.integers(0, whole.shape[0] - high + 1))
    part = whole[y : y + high, x : x + wide]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA)


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
