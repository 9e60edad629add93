"""Dense supervision of the vision tower: what lies on every patch of a synthetic scene, and linear heads that say it.

Answering alone teaches a fresh tower nothing in reasonable time. With these the tower itself binds each marker to its
thing, and the language model only looks up and copies. The heads aren't part of the model that is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vipcli.markers import TRAINED, Marker, coverage
from vipcli.scenes import COLORS, SHAPES, THINGS, Scene

__all__ = ["IGNORED", "INKS", "LOOKING", "TOLD", "UNMARKED", "Heads", "Patches", "label_patches"]

INKS = tuple(TRAINED)
"""The colours of markers."""
UNMARKED, IGNORED = -1, -100
_STRANGER, _BACKGROUND = len(THINGS), len(THINGS) + 1


@dataclass(frozen=True, eq=False)
class Patches:
    """What lies on each patch of a picture, row by row: int64 arrays (patches,), and `extent` (patches, 5) float32.

    thing: an index into `THINGS`, ``len(THINGS)`` for any other thing, one more for background. tint: its colour, an
    index into `COLORS`, `IGNORED` where it has none. extent: the box around it, from 0 to 1 of the square, and the
    logarithm of the side of a square as large, whose differences tell which of two is larger; nan on the background.
    shape and color: of the marker that marks it, `UNMARKED` without one, `IGNORED` on the background. ink_shape and
    ink_color: of the marker that is drawn across the patch itself, ``len(SHAPES)`` and ``len(INKS)`` without one.
    middle: 0 where the middle of a thing's box lies, else 1.
    """

    thing: np.ndarray
    tint: np.ndarray
    shape: np.ndarray
    color: np.ndarray
    ink_shape: np.ndarray
    ink_color: np.ndarray
    middle: np.ndarray
    extent: np.ndarray

    @classmethod
    def stack(cls, several: list[Patches]) -> dict[str, torch.Tensor]:
        """Tensors (batch, patches, ...) by name."""
        return {f.name: torch.from_numpy(np.stack([getattr(one, f.name) for one in several])) for f in fields(cls)}


def label_patches(scene: Scene, markers: Mapping[int, Marker], grid: int) -> Patches:
    """Label the (grid x grid) patches of a scene that is padded to a square; `markers` by the number of their thing."""
    height, width = scene.picture.shape[:2]
    size, longest = (width, height), max(width, height)
    owner = _owner([thing.mask for thing in scene.things], size, grid, least=0.25)
    order = list(markers)
    ink = _owner([_on_picture(*coverage(markers[i], size), size) for i in order], size, grid, least=0.03)
    shapes = [SHAPES.index(type(markers[i])) for i in order]
    colors = [INKS.index(markers[i].color.name) for i in order]  # type: ignore[union-attr]
    shape_of, color_of = dict(zip(order, shapes, strict=True)), dict(zip(order, colors, strict=True))
    things = range(len(scene.things))
    offset = np.array([longest - width, longest - height] * 2) / 2
    extents = [_extent((np.array(thing.xyxy) + offset) / longest) for thing in scene.things]
    return Patches(
        thing=np.array([*(_class(thing.name) for thing in scene.things), _BACKGROUND])[owner],
        tint=np.array([*(COLORS.index(t.color) if t.color else IGNORED for t in scene.things), IGNORED])[owner],
        shape=np.array([*(shape_of.get(i, UNMARKED) for i in things), IGNORED])[owner],
        color=np.array([*(color_of.get(i, UNMARKED) for i in things), IGNORED])[owner],
        ink_shape=np.array([*shapes, len(SHAPES)])[ink],
        ink_color=np.array([*colors, len(INKS)])[ink],
        middle=_middles(extents, grid),
        extent=np.array([*extents, np.full(5, np.nan)], np.float32)[owner],
    )


def _extent(box: np.ndarray) -> np.ndarray:
    x1, y1, x2, y2 = box
    return np.array([*box, np.log(max((x2 - x1) * (y2 - y1), 1e-6)) / 2])


def _middles(extents: list[np.ndarray], grid: int) -> np.ndarray:
    middles = np.ones((grid, grid), np.int64)
    for x1, y1, x2, y2, _ in extents:
        column, row = (min(grid - 1, int((low + high) / 2 * grid)) for low, high in ((x1, x2), (y1, y2)))
        middles[row, column] = 0
    return middles.ravel()


_NUMBERS = {name: i for i, name in enumerate(THINGS)}


def _class(name: str) -> int:
    return _NUMBERS.get(name, _STRANGER)


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


LOOKING = ("thing", "color", "shape")
"""What words look for, each with an attention head of its own, in this order."""
TOLD = {"thing": len(THINGS) + 1, "shape": len(SHAPES) + 1, "color": len(INKS) + 1}
"""What a word that has found something says of it, and of how many; the last is any other thing, or no marker."""
_CLASSES = {
    "thing": len(THINGS) + 2,
    "tint": len(COLORS),
    "marked": 2,
    "shape": len(SHAPES),
    "color": len(INKS),
    "ink_shape": len(SHAPES) + 1,
    "ink_color": len(INKS) + 1,
    "middle": 2,
}
_WEIGHTS = {"shape": 3.5, "color": 1.5, "ink_shape": 2.0}  # what is learnt last
# Their last class is most of a picture and teaches little.
_MOSTLY_NOTHING = ("thing", "ink_shape", "ink_color", "middle")


class Heads(nn.Module):
    """What is asked of every patch: of what the tower makes of it, and of what the language model reads of it.

    found: what a word that has looked up something says of it, its extent, and tells: what else it says, which thing
    that is and what marks it (`vipcli.training.looking`). alike: whether one that was named before it in the turn is of
    its kind, and whether one has its colour (`vipcli.training.comparing`). width, text_width: of tower and language
    model. The projector keeps of the tower what answers need, and what none needs yet can't be learnt from: told of
    things and colours alone, it had lost in which row a thing lies.
    """

    def __init__(self, width: int, text_width: int) -> None:
        super().__init__()
        self.seen, self.read = _Heads(width), _Heads(text_width)
        self.found = nn.ModuleDict({name: nn.Linear(text_width, 5) for name in LOOKING})
        self.tells = nn.ModuleDict(
            {
                name: nn.ModuleDict({what: nn.Linear(text_width, TOLD[what]) for what in TOLD if what != name})
                for name in LOOKING
            }
        )
        self.alike = nn.Linear(text_width, 2)


class _Heads(nn.Module):
    """A linear head for each question: apart those for shape, colour and marked-or-not learn, one for pairs doesn't."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.says = nn.ModuleDict({name: nn.Linear(width, count) for name, count in _CLASSES.items()})
        self.extent = nn.Linear(width, 5)

    def forward(self, hidden: torch.Tensor, patches: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, Any]]:
        """hidden: (batch, patches, width) float32. Returns the loss, and each head's share of right patches."""
        hidden = self.norm(hidden)
        shape, color = patches["shape"], patches["color"]
        targets = {
            **patches,
            "marked": torch.where(shape == IGNORED, IGNORED, (shape >= 0).long()),
            "shape": torch.where(shape >= 0, shape, IGNORED),
            "color": torch.where(color >= 0, color, IGNORED),
        }
        loss = hidden.new_zeros(())
        right: dict[str, Any] = {}
        for name, head in self.says.items():
            logits = head(hidden).flatten(0, 1)
            target = targets[name].flatten()
            weight = None
            known = target >= 0
            if name in _MOSTLY_NOTHING:
                weight = logits.new_ones(logits.shape[-1])
                weight[-1] = 0.2
                known &= target < logits.shape[-1] - 1
            one = functional.cross_entropy(logits, target, weight=weight, ignore_index=IGNORED, reduction="sum")
            counted = (target >= 0).sum() if weight is None else weight[target.clamp(min=0)][target >= 0].sum()
            loss = loss + _WEIGHTS.get(name, 1.0) * one / counted.clamp(min=1)
            right[name] = (logits.argmax(-1) == target)[known].float().mean().nan_to_num().detach()
        extent = targets["extent"].flatten(0, 1)
        there = ~extent.isnan().any(-1)
        if there.any():
            far = (self.extent(hidden).flatten(0, 1)[there] - extent[there]).abs()
            # Of two things that differ least the larger one is told at a size that is right to a tenth.
            loss = loss + far[:, :4].mean(0).sum() + 3 * far[:, 4].mean()
            right["extent"], right["size"] = far[:, :4].mean().detach(), far[:, 4].mean().detach()
        return loss, right
