"""A case made ready for the model, in a process beside it: its picture opened or drawn, and marked as its variant says.

Variants: as the task has it, its markers ``removed``, or each ``moved`` to another place of the picture.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from vipcli.batch import Facts, Item
from vipcli.batch.preparing import Prepared, as_seen, markers_on, opened, small_jpeg
from vipcli.errors import VipWarning
from vipcli.evaluation.exam import Question
from vipcli.evaluation.lines import CONTROLS, REMOVED
from vipcli.evaluation.tasks.synthetic import draw_scene
from vipcli.markers import Marker, named, render
from vipcli.pointing import Marked, mark
from vipcli.prompt import expand

__all__ = ["prepare_case", "thumbnail_of"]

_TRIES = 64  # places for a moved marker, of which the best is taken


def prepare_case(item: Item, facts: Facts) -> Prepared:
    """Make a case ready; see `vipcli.batch.preparing.prepare`."""
    scene = _scene(item)
    question = item.question if scene is None else scene.text.replace("@", "@@")
    if item.fields.get("variant") not in CONTROLS:
        prepared = as_seen(lambda: _marked(_picture(item, scene), item, facts, scene), question, facts)
    else:  # the question is that of the markers where they belong
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VipWarning)
            picture = _picture(item, scene)
            marked = _marked(picture, item, facts, scene)
        asked = expand(question, named(marked.markers)).replace("@", "@@")
        prepared = as_seen(lambda: _varied(picture, marked, item, facts), asked, facts)
    return prepared if scene is None else replace(prepared, fields=_facts_of(scene))


def thumbnail_of(item: Item, facts: Facts) -> bytes | None:
    """A small JPEG of a case's marked picture; None where it can't be had."""

    def drawn() -> Marked:
        scene = _scene(item)
        picture = _picture(item, scene)
        return _varied(picture, _marked(picture, item, facts, scene), item, facts)

    return small_jpeg(drawn)


def _scene(item: Item) -> Question | None:
    return draw_scene(item.image) if item.image is not None and item.image.startswith("scene:") else None


def _facts_of(scene: Question) -> dict[str, Any]:
    """What of a scene's question is known only now."""
    rows = ["one marker", scene.row] if scene.row.startswith("one marker: ") else [scene.row]
    return {"question": scene.text, "truth": scene.truth, "groups": {"ability": rows}}


def _picture(item: Item, scene: Question | None) -> np.ndarray:
    return opened(item) if scene is None else scene.picture


def _marked(picture: np.ndarray, item: Item, facts: Facts, scene: Question | None) -> Marked:
    if scene is not None:  # its markers as a user's text
        return mark(picture, [render(marker) for marker in scene.markers], tags=facts.tags)
    return mark(picture, markers_on(picture, item), tags=facts.tags)


def _varied(picture: np.ndarray, marked: Marked, item: Item, facts: Facts) -> Marked:
    """The marked `picture` of the item's variant: the same colours on all, or no markers."""
    variant = item.fields.get("variant")
    if variant not in CONTROLS:
        return marked
    if variant == REMOVED:
        return mark(picture)
    # Its id and not where its picture lies: a marker moves to the same place on every machine.
    seed = int(hashlib.blake2b(item.id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest(), 16)
    rng = np.random.default_rng(seed)
    moved = [_elsewhere(rng, marker, picture.shape[1], picture.shape[0]) for marker in marked.markers]
    return mark(picture, moved, tags=facts.tags)


def _elsewhere(rng: np.random.Generator, marker: Marker, width: int, height: int) -> Marker:
    """A marker at a random place where it overlaps least, of a few, with where it was: mostly not at all."""
    x1, y1, x2, y2 = marker.bounds
    across, down = rng.uniform(-x1, max(-x1, width - x2), _TRIES), rng.uniform(-y1, max(-y1, height - y2), _TRIES)
    shared = np.clip(x2 - x1 - abs(across), 0, None) * np.clip(y2 - y1 - abs(down), 0, None)
    near = np.maximum(abs(across) / (x2 - x1 + 1), abs(down) / (y2 - y1 + 1))  # of a point, whose box has no area
    best = int(np.argmin(shared + 1e-3 * (near < 1)))
    return marker.moved(float(across[best]), float(down[best]))
