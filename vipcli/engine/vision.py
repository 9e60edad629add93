"""The vision side of a LLaVA: a picture's pixels to the features that take the place of its image tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch

__all__ = ["Eyes", "features", "trim_tower"]

_KEPT = 8  # pictures whose features are kept: 4.7 MB each for the 7B's 576 x 4096 in 16 bits
_TOGETHER = 8  # pictures that are looked at together, beyond which little is gained


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


def features(model: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """(pictures, 3, side, side) -> (pictures x patches, width of the text model)."""
    found = model.model.get_image_features(pixel_values=pixel_values).pooler_output
    return torch.cat(list(found), dim=0) if isinstance(found, list | tuple) else found.flatten(0, 1)


class Eyes:
    """A LLaVA's eyes: pictures to features, several at a time; those of the last few are kept.

    pixels: squares ((side, side, 3) uint8) -> ``pixel_values`` (pictures, 3, side, side).
    """

    def __init__(self, model: Any, pixels: Callable[[list[Any]], torch.Tensor]) -> None:
        self._model, self._pixels = model, pixels
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def look(self, squares: Mapping[bytes, Any]) -> dict[bytes, torch.Tensor]:
        """The features of pictures by their digests: (patches, width of the text model) each."""
        found = {picture: self._kept[picture] for picture in squares if picture in self._kept}
        new = [picture for picture in squares if picture not in found]
        for begin in range(0, len(new), _TOGETHER):
            some = new[begin : begin + _TOGETHER]
            seen = features(self._model, self._pixels([squares[picture] for picture in some]))
            found |= zip(some, seen.chunk(len(some)), strict=True)
        for picture in squares:
            self._kept[picture] = found[picture]
            self._kept.move_to_end(picture)
        while len(self._kept) > _KEPT:  # the least wanted ones go
            self._kept.popitem(last=False)
        return found

    def forget(self) -> None:
        """Forget what was seen."""
        self._kept.clear()
