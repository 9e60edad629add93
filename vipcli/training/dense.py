"""Dense supervision of the vision tower: what lies on every patch of a synthetic scene, and linear heads that say it.

Answering alone teaches a fresh tower nothing in reasonable time. With these the tower itself binds each marker to its
thing, and the language model only looks up and copies. The heads aren't part of the model that is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vipcli.markers import TRAINED, Marker, coverage
from vipcli.scenes import COLORS, SHAPES, THINGS, Scene
from vipcli.scenes.referring import KIND_WORDS
from vipcli.scenes.words import plural

__all__ = [
    "IGNORED",
    "INKS",
    "LOOKING",
    "UNMARKED",
    "Heads",
    "Patches",
    "Words",
    "label_patches",
    "look_up",
    "name_patches",
]

INKS = tuple(TRAINED)
"""The colours of markers."""
UNMARKED, IGNORED = -1, -100
_STRANGER, _BACKGROUND = len(THINGS), len(THINGS) + 1


@dataclass(frozen=True, eq=False)
class Patches:
    """What lies on each patch of a picture, row by row: int64 arrays (patches,), and `extent` (patches, 4) float32.

    thing: an index into `THINGS`, ``len(THINGS)`` for any other thing, one more for background. tint: its colour, an
    index into `COLORS`, `IGNORED` where it has none. extent: the box around it, from 0 to 1 of the square, nan on the
    background. shape and color: of the marker that marks it, `UNMARKED` without one, `IGNORED` on the background.
    ink_shape and ink_color: of the marker that is drawn across the patch itself, ``len(SHAPES)`` and ``len(INKS)``
    without one. middle: 0 where the middle of a thing's box lies, else 1.
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
    extents = [(np.array(thing.xyxy) + offset) / longest for thing in scene.things]
    return Patches(
        thing=np.array([*(_class(thing.name) for thing in scene.things), _BACKGROUND])[owner],
        tint=np.array([*(COLORS.index(t.color) if t.color else IGNORED for t in scene.things), IGNORED])[owner],
        shape=np.array([*(shape_of.get(i, UNMARKED) for i in things), IGNORED])[owner],
        color=np.array([*(color_of.get(i, UNMARKED) for i in things), IGNORED])[owner],
        ink_shape=np.array([*shapes, len(SHAPES)])[ink],
        ink_color=np.array([*colors, len(INKS)])[ink],
        middle=_middles(extents, grid),
        extent=np.array([*extents, np.full(4, np.nan)], np.float32)[owner],
    )


def _middles(extents: list[np.ndarray], grid: int) -> np.ndarray:
    middles = np.ones((grid, grid), np.int64)
    for x1, y1, x2, y2 in extents:
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
"""What the first heads look for, in this order."""


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
_WEIGHTS = {"shape": 1.5, "ink_shape": 1.5}  # what is learnt last
# Their last class is most of a picture and teaches little.
_MOSTLY_NOTHING = ("thing", "ink_shape", "ink_color", "middle")


class Heads(nn.Module):
    """What is asked of every patch: of what the tower makes of it, and of what the language model reads of it.

    found: what a word that has looked up something says of it, the box around it. width, text_width: of tower and
    language model. The projector keeps of the tower what answers need, and what none needs yet can't
    be learnt from: told of things and colours alone, it had lost in which row a thing lies.
    """

    def __init__(self, width: int, text_width: int) -> None:
        super().__init__()
        self.seen, self.read = _Heads(width), _Heads(text_width)
        self.found = nn.ModuleDict({name: nn.Linear(text_width, 4) for name in LOOKING})


class _Heads(nn.Module):
    """A linear head for each question: apart those for shape, colour and marked-or-not learn, one for pairs doesn't."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.says = nn.ModuleDict({name: nn.Linear(width, count) for name, count in _CLASSES.items()})
        self.extent = nn.Linear(width, 4)

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
            loss = loss + 4 * far.mean()
            right["extent"] = far.mean().detach()
        return loss, right


def name_patches(features: torch.Tensor, words: torch.Tensor, thing: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the image tokens of things are from the words for them, and the share that is nearest to the right one.

    features: (batch, patches, width), as the language model reads them. words: (things, width), as it reads those.
    thing: (batch, patches), see `Patches`. A word then finds its thing in the picture by likeness.
    """
    known = (thing >= 0) & (thing < len(words))
    near = functional.normalize(features[known].float(), dim=-1) @ functional.normalize(words.float(), dim=-1).T
    loss = functional.cross_entropy(_SHARPNESS * near, thing[known], reduction="sum") / known.sum().clamp(min=1)
    return loss, (near.argmax(-1) == thing[known]).float().mean().nan_to_num().detach()


_SHARPNESS = 16.0  # of likenesses from -1 to 1: enough to single out one of 128 words


@dataclass(frozen=True, eq=False)
class Words:
    """What tokens are words for: (vocabulary,) each, -1 for none; of a word of several pieces the last one counts.

    thing, color, shape: a number as in `Patches`. names: the token of each thing's own word, in order. long: those of
    the two words of ``mask contour``.
    """

    thing: torch.Tensor
    color: torch.Tensor
    shape: torch.Tensor
    names: tuple[int, ...]
    long: tuple[int, int]

    @classmethod
    def of(cls, token: Callable[[str], int], size: int) -> Words:
        """Of a tokenizer with `size` tokens; token: gives a word's last one."""

        def table(words: Iterable[tuple[str, int]]) -> torch.Tensor:
            made = torch.full((size,), -1)
            for word, number in words:
                made[token(word)] = number
            return made

        return cls(
            thing=table((form(name), i) for form in (str, plural) for i, name in enumerate(THINGS)),
            color=table((name, i) for i, name in enumerate(INKS)),
            shape=table((word.split()[-1], i) for i, kind in enumerate(SHAPES) for word in KIND_WORDS[kind.kind]),
            names=tuple(map(token, THINGS)),
            long=(token("mask"), token("contour")),
        )


def look_up(
    looks: torch.Tensor,
    hidden: torch.Tensor,
    found: nn.ModuleDict,
    ids: torch.Tensor,
    image_token: int,
    words: Words,
    patches: Mapping[str, torch.Tensor],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """How far words are from looking at what they are for and from knowing where that lies, and how many look there.

    A thing's word looks for the thing, a colour for what is marked in it, a marker's kind for what is marked by such a
    one, of the colour before it if there is one; a word for what isn't in the picture looks at none of it. Answers
    alone teach that very slowly: after 8,000 steps without this, ``Is there a cat?`` was answered by chance.

    looks: (batch, heads, length, length) log-probabilities, where tokens look, one head for each of `LOOKING` if there
    are so many. hidden: (batch, length, width), what they know then. found: of `Heads`. ids: (batch, length). patches:
    see `Patches`.
    """
    here = ids == image_token
    count = patches["thing"].shape[1]
    whole = here.sum(1) == count  # else the picture was cut short
    columns = here[whole].nonzero()[:, 1].view(-1, 1, 1, count)
    logs = looks[whole].gather(
        3, columns.expand(-1, looks.shape[1], looks.shape[2], -1)
    )  # (batch, heads, length, patches)
    outside = looks[whole].masked_fill(here[whole][:, None, None], -1e4).logsumexp(-1)  # (batch, heads, length)
    ids, hidden, extents = ids[whole], hidden[whole], patches["extent"][whole]
    thing, color, shape = (patches[name][whole][:, None] for name in LOOKING)
    its_thing, its_color, its_shape = (table.to(ids.device)[ids] for table in (words.thing, words.color, words.shape))
    mask, contour = words.long
    is_long = (ids == contour) & (_before(ids, 1) == mask)
    its_shape = its_shape.masked_fill(_before(is_long.flip(1), 1, fill=0).flip(1).bool(), -1)
    color_before = torch.where(is_long, _before(its_color, 2), _before(its_color, 1))[..., None]
    wanted = {
        "thing": (its_thing, thing == its_thing[..., None]),
        "color": (its_color, color == its_color[..., None]),
        "shape": (its_shape, (shape == its_shape[..., None]) & ((color_before < 0) | (color == color_before))),
    }
    loss = looks.new_zeros(())
    right = {}
    for head, (name, (its, same)) in enumerate(islice(wanted.items(), looks.shape[1])):
        asked = its >= 0
        its_logs, its_same = logs[:, head][asked], same[asked]  # (words, patches)
        there = its_logs.masked_fill(~its_same, -1e4).logsumexp(1)
        probability = torch.where(its_same.any(1), there, outside[:, head][asked])
        loss = loss - probability.sum() / asked.sum().clamp(min=1)
        boxes = extents.nan_to_num()[:, None].expand(-1, ids.shape[1], -1, -1)[asked]  # (words, patches, 4)
        share = its_same.float().unsqueeze(-1) / its_same.sum(1).clamp(min=1)[:, None, None]
        middle = (boxes * share).sum(1)
        spread = ((boxes - middle[:, None]).abs() * share).sum((1, 2))
        single = its_same.any(1) & (spread < 0.01)  # one thing, not several that are marked alike
        far = (found[name](hidden[asked][single]) - middle[single]).abs()
        loss = loss + 4 * far.sum() / (4 * single.sum()).clamp(min=1)
        right[f"box_{name}"] = (far.sum() / (4 * single.sum()).clamp(min=1)).detach()
        right[f"found_{name}"] = (probability.exp() > 0.5).float().mean().nan_to_num().detach()
    return loss, right


def _before(values: torch.Tensor, steps: int, fill: int = -1) -> torch.Tensor:
    """What stands so many tokens earlier; (batch, length)."""
    return functional.pad(values, (steps, 0), value=fill)[:, : values.shape[1]]
