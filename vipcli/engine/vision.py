"""The vision side of a LLaVA: a picture's pixels to the features that take the place of its image tokens."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

__all__ = ["Eyes", "features", "lookup", "lookup_table", "one_pass_activations", "trim_tower"]

_KEPT = 8  # pictures whose features are kept: 4.7 MB each for the 7B's 576 x 4096 in 16 bits
# Patches that are looked at together: 8 pictures of 336 pixels, and on a CPU, whose cache they must fit, 1.
_TOGETHER, _TOGETHER_ON_CPU = 4608, 512
_QUICK = 1.702  # x * sigmoid(1.702 x) is CLIP's "quick GELU"


def trim_tower(model: Any) -> None:
    """Take off the layers of a CLIP tower that nothing reads: the last of 24 in published ViP-LLaVA checkpoints.

    The feature layers are counted from the front from then on.
    """
    tower = model.model.vision_tower
    layers = getattr(getattr(tower, "encoder", None), "layers", None)
    if layers is None or type(tower).__name__ != "CLIPVisionModel":
        return
    wanted = model.config.vision_feature_layer
    several = [wanted] if isinstance(wanted, int) else list(wanted)
    # Number 0 is what goes into the first layer, and so number n what comes out of layer n.
    fronts = [number if number >= 0 else len(layers) + 1 + number for number in several]
    if not all(0 <= number <= len(layers) for number in fronts):
        return
    del layers[max(fronts) :]
    tower.config.num_hidden_layers = model.config.vision_config.num_hidden_layers = len(layers)
    model.config.vision_feature_layer = fronts[0] if isinstance(wanted, int) else fronts


@torch.no_grad()
def one_pass_activations(model: Any) -> None:
    """Make CLIP's activation, three passes over memory and a third of a small tower's time, one pass on a CPU.

    It is SiLU, which torch has in one piece, of what is 1.702 times as large, and the same part of what comes of that:
    both factors go into the weights beside it. In 16 bits these would be rounded anew, and they stay as they are.
    """
    tower = model.model.vision_tower
    layers = getattr(getattr(tower, "encoder", None), "layers", ())
    if model.device.type != "cpu" or model.dtype != torch.float32:
        return
    for layer in layers:
        mlp: Any = getattr(layer, "mlp", None)
        quick = type(getattr(mlp, "activation_fn", None)).__name__ == "QuickGELUActivation"
        if quick and type(mlp.fc1) is type(mlp.fc2) is nn.Linear:
            mlp.fc1.weight.mul_(_QUICK)
            mlp.fc1.bias.mul_(_QUICK)
            mlp.fc2.weight.div_(_QUICK)
            mlp.activation_fn = nn.SiLU()


def features(model: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """(pictures, 3, side, side) -> (pictures x patches, width of the text model)."""
    found = model.model.get_image_features(pixel_values=pixel_values).pooler_output
    return torch.cat(list(found), dim=0) if isinstance(found, list | tuple) else found.flatten(0, 1)


def lookup(image_processor: Any, side: int, **options: Any) -> Callable[[list[Any]], np.ndarray] | None:
    """What an image processor makes of squares of `side` pixels, (squares, 3, side, side), in a quarter of its time.

    None where `lookup_table` has none.
    """
    table = lookup_table(image_processor, side, **options)
    return None if table is None else functools.partial(_looked_up, table)


def _looked_up(table: np.ndarray, squares: list[Any]) -> np.ndarray:
    pixels = np.stack(squares).transpose(0, 3, 1, 2)
    return np.stack([table[channel][pixels[:, channel]] for channel in range(3)], axis=1)


def lookup_table(image_processor: Any, side: int, **options: Any) -> np.ndarray | None:
    """What an image processor makes of each value of each channel of a square of `side` pixels: (3, 256) float32.

    None where a pixel becomes anything but what its own value in its own channel says.
    """
    values = np.resize(np.arange(256, dtype=np.uint8), side * side)
    square = np.repeat(values[:, None], 3, axis=1).reshape(side, side, 3)
    mixed = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)

    def asked(one: np.ndarray) -> np.ndarray:
        batch = image_processor(images=[Image.fromarray(one)], return_tensors="np", **options)
        return np.asarray(batch["pixel_values"])

    made = asked(square)
    if side * side < 256 or made.shape != (1, 3, side, side):
        return None
    table = made.reshape(3, -1)[:, :256].astype(np.float32)
    return table if np.array_equal(_looked_up(table, [mixed]), asked(mixed)) else None


class Eyes:
    """A LLaVA's eyes: pictures to features, several at a time; those of the last few are kept.

    pixels: squares ((side, side, 3) uint8) -> ``pixel_values`` (pictures, 3, side, side). together: how many pictures
    go through the tower in one pass.
    """

    def __init__(self, model: Any, pixels: Callable[[list[Any]], torch.Tensor]) -> None:
        self._model, self._pixels = model, pixels
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()
        self._lock = Lock()

    @functools.cached_property
    def together(self) -> int:
        """See above; of a tower that isn't a LLaVA's nobody asks."""
        config = self._model.config.vision_config
        patches = _TOGETHER_ON_CPU if self._model.device.type == "cpu" else _TOGETHER
        return max(1, patches // (config.image_size // config.patch_size) ** 2)

    def look(self, squares: Mapping[bytes, Any]) -> dict[bytes, torch.Tensor]:
        """The features of pictures by their digests: (patches, width of the text model) each."""
        with self._lock:
            found = {picture: self._kept[picture] for picture in squares if picture in self._kept}
        new = [picture for picture in squares if picture not in found]
        for begin in range(0, len(new), self.together):
            some = new[begin : begin + self.together]
            seen = features(self._model, self._pixels([squares[picture] for picture in some]))
            found |= zip(some, map(torch.clone, seen.chunk(len(some))), strict=True)  # or one would keep all alive
        with self._lock:
            for picture in squares:
                self._kept[picture] = found[picture]
                self._kept.move_to_end(picture)
            while len(self._kept) > _KEPT:  # the least wanted ones go
                self._kept.popitem(last=False)
        return found

    def forget(self) -> None:
        """Forget what was seen."""
        with self._lock:
            self._kept.clear()
