"""Where the things of a scene lie and how large they are: what is clear enough to ask about."""

from __future__ import annotations

from vipcli.scenes.composing import Scene, Thing
from vipcli.scenes.words import with_article

__all__ = ["SIDES", "beside", "middle", "place_of", "ratio_of", "relation_of"]

SIDES = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
"""A side, as answers say it, and what questions call it."""
_PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("on the left", "in the middle", "on the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)


def relation_of(one: Thing, other: Thing) -> str | None:
    """Where `one` lies as seen from `other`; None where that isn't clear."""
    (x1, y1), (x2, y2) = middle(one), middle(other)
    dx, dy = x1 - x2, y1 - y2
    if max(abs(dx), abs(dy)) < 1.4 * min(abs(dx), abs(dy)):
        return None
    if abs(dx) > abs(dy):
        return "left" if dx < 0 else "right"
    return "above" if dy < 0 else "below"


def middle(thing: Thing) -> tuple[float, float]:
    """Of the box around it, in pixels."""
    x1, y1, x2, y2 = thing.xyxy
    return (x1 + x2) / 2, (y1 + y2) / 2


def ratio_of(one: Thing, other: Thing) -> float | None:
    """How much larger `one` is; None where box and outline disagree or it isn't clear."""

    def box(thing: Thing) -> float:
        x1, y1, x2, y2 = thing.xyxy
        return max(1, (x2 - x1) * (y2 - y1))

    by_box = box(one) / box(other)
    by_mask = max(1, int(one.mask.sum())) / max(1, int(other.mask.sum()))
    if min(by_box, by_mask) > 1.35 or max(by_box, by_mask) < 1 / 1.35:
        return by_box
    return None


def beside(scene: Scene, index: int, side: str) -> str | None:
    """What lies on one side of a thing: a name or ``nothing``; None where that isn't clear."""
    x1, y1, x2, y2 = scene.things[index].xyxy
    its_x, its_y = middle(scene.things[index])
    found = []
    for i, other in enumerate(scene.things):
        if i == index:
            continue
        x, y = middle(other)
        dx, dy = x - its_x, y - its_y
        along, across = (abs(dx), abs(dy)) if side in ("left", "right") else (abs(dy), abs(dx))
        towards = {"left": dx < 0, "right": dx > 0, "above": dy < 0, "below": dy > 0}[side]
        past = {"left": x < x1, "right": x > x2, "above": y < y1, "below": y > y2}[side]
        if towards and along > 1.35 * across and past:
            found.append(other)
        elif towards and along > 0.75 * across:
            return None
    if not found:
        return "nothing"
    return with_article(found[0].name) if len(found) == 1 and found[0].known else None


def place_of(scene: Scene, index: int) -> str | None:
    """One of nine places in words; None where a thing lies about as near to the next."""
    height, width = scene.picture.shape[:2]
    x, y = middle(scene.things[index])
    thirds = []
    for share in (x / width, y / height):
        if min(abs(share - edge) for edge in (0.36, 0.64)) < 0.04:
            return None
        thirds.append(0 if share < 0.36 else 1 if share < 0.64 else 2)
    return _PLACES[thirds[1]][thirds[0]]
