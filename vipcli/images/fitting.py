"""Fitting: a picture becomes the square that a model takes, padded, cropped or stretched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image

from vipcli.errors import UsageError, quote

Fit = Literal["pad", "crop", "stretch"]
"""How a picture becomes square: bars in `CLIP_MEAN` beside it, its middle cut out, or its shape given up."""

CLIP_MEAN = (122, 116, 104)
"""The mean colour that CLIP subtracts (RGB): bars of it are nothing to the model."""

_STRIP = 2**20  # pixels resized at a time: bounds the memory beside the picture's own
_LONGEST = 12_288  # a longer side is thinned to this before it is resized


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a picture's pixels lie in the model's square, without the pixels.

    side: of the square, in pixels. scale: how much x and y are multiplied; offset: what is then added, in pixels of
    the square.
    """

    side: int
    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_fitted(self, x: float, y: float) -> tuple[float, float]:
        """Where the point (x, y) of the picture lies in the fitted one; a crop can put it outside."""
        return x * self.scale[0] + self.offset[0], y * self.scale[1] + self.offset[1]


@dataclass(frozen=True, eq=False)
class Fitted(Frame):
    """A picture as the model gets it: (side, side, 3) uint8 RGB, and where its pixels came from."""

    picture: np.ndarray


def frame(size: tuple[int, int], side: int, mode: Fit = "pad") -> Frame:
    """Where `fit` puts a picture of `size` (width, height), at no cost. Raises `UsageError` for an unknown mode."""
    left, top, width, height = _window(size, mode)
    scale_x, scale_y = side / width, side / height
    return Frame(side, (scale_x, scale_y), (-left * scale_x, -top * scale_y))


def fit(picture: np.ndarray, side: int, mode: Fit = "pad") -> Fitted:
    """Fit `picture` ((height, width, 3) uint8) into a square of `side` pixels, bicubic and antialiased.

    pad: all of it in the middle, bars in `CLIP_MEAN` beside it; crop: the middle square; stretch: all of it, its shape
    given up. The padded square never exists, so a picture of 12,000 pixels a side needs 30 MB beside its own.
    """
    size = (picture.shape[1], picture.shape[0])
    left, top, width, height = _window(size, mode)
    if size == (side, side):
        return Fitted(side, (1.0, 1.0), (0.0, 0.0), np.array(picture, order="C"))
    if mode == "crop":
        picture = picture[top : top + height, left : left + width]
    thinned = -(-max(width, height) // _LONGEST)
    picture = picture[::thinned, ::thinned]
    across, down = -(-width // thinned), -(-height // thinned)
    if mode == "stretch" and across * down <= 16 * _STRIP:  # Pillow may take columns first, so leave it to Pillow
        fitted = np.asarray(_resized(Image.fromarray(np.ascontiguousarray(picture)), (side, side)))
    else:
        fitted = np.asarray(_resized(_resized_rows(picture, side, across, down), (side, side)))
    where = frame(size, side, mode)
    return Fitted(side, where.scale, where.offset, np.array(fitted, order="C"))


def _window(size: tuple[int, int], mode: Fit) -> tuple[int, int, int, int]:
    """The part of the picture's plane that becomes the square: left, top (below 0 where bars are), width, height."""
    if mode not in get_args(Fit):
        raise UsageError(f"there is no fit {quote(str(mode))!r}; use {', '.join(get_args(Fit))}")
    width, height = size
    if mode == "stretch":
        return 0, 0, width, height
    if mode == "crop":
        shortest = min(size)
        return (width - shortest) // 2, (height - shortest) // 2, shortest, shortest
    longest = max(size)
    return -((longest - width) // 2), -((longest - height) // 2), longest, longest


def _resized_rows(picture: np.ndarray, side: int, across: int, down: int) -> Image.Image:
    """The first of Pillow's two passes over the padded square: every row resized to `side`, and all `down` rows of it.

    Bars beside the rows are put there for a strip at a time, those above and below stand in what comes out.
    """
    height, width = picture.shape[:2]
    rows = Image.new("RGB", (side, down), CLIP_MEAN)
    left, above, step = (across - width) // 2, (down - height) // 2, max(1, _STRIP // across)
    for top in range(0, height, step):
        strip = Image.fromarray(np.ascontiguousarray(picture[top : top + step]))
        if width < across:
            bare, strip = strip, Image.new("RGB", (across, strip.height), CLIP_MEAN)
            strip.paste(bare, (left, 0))
        rows.paste(_resized(strip, (side, strip.height)), (0, above + top))
    return rows


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC)
