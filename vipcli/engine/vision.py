"""The vision side of a LLaVA: a picture's pixels to the features that take the place of its image tokens."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

__all__ = ["FeatureCache", "features", "trim_tower"]

_KEPT = 8  # pictures whose features are kept: 4.7 MB each for the 7B's 576 x 4096 in 16 bits


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
    """(1, 3, side, side) -> (patches, width of the text model)."""
    found = model.model.get_image_features(pixel_values=pixel_values).pooler_output
    return torch.cat(list(found), dim=0) if isinstance(found, list | tuple) else found.flatten(0, 1)


class FeatureCache:
    """Features of the last few pictures, by a digest of their pixels."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def get(self, picture: bytes) -> torch.Tensor | None:
        """The features of a picture, if they are still here."""
        if picture in self._kept:
            self._kept.move_to_end(picture)
        return self._kept.get(picture)

    def put(self, picture: bytes, found: torch.Tensor) -> None:
        """Keep the features of a picture, in place of the least wanted ones."""
        self._kept[picture] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
