"""`vipcli.images.fitting`: held against Pillow's own resizing of the whole square."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vipcli.images import CLIP_MEAN, fit, fitting, frame


def test_pad_puts_bars_of_the_mean_colour_beside_the_picture():
    fitted = fit(np.full((100, 200, 3), 255, np.uint8), 96)
    assert fitted.picture.shape == (96, 96, 3)
    assert fitted.picture[0, 48].tolist() == list(CLIP_MEAN)
    assert fitted.picture[48, 0].tolist() == [255] * 3
    assert fitted.to_fitted(0, 0) == (0, 24)
    assert fitted.to_fitted(200, 100) == (96, 72)


def test_crop_cuts_the_middle_out_and_stretch_takes_all(photo):
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 255
    cropped = fit(wide, 96, "crop")
    assert (cropped.picture == 255).all()
    assert cropped.to_fitted(150, 50) == (48, 48)
    stretched = fit(wide, 96, "stretch")
    assert stretched.to_fitted(150, 50) == (48, 48)
    assert stretched.picture[48, :20].max() == 0


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 7), (7, 1), (3, 500), (500, 3), (336, 336), (337, 340), (640, 480), (480, 641)]
)
@pytest.mark.parametrize("side", [64, 336])
def test_fitting_is_what_pillow_does_with_the_whole_square(size, side, monkeypatch):
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    monkeypatch.setattr(fitting, "_STRIP", 5000)
    height, width = size
    longest, shortest = max(size), min(size)
    image = Image.fromarray(picture)
    square = Image.new("RGB", (longest, longest), CLIP_MEAN)
    square.paste(image, ((longest - width) // 2, (longest - height) // 2))
    left, top = (width - shortest) // 2, (height - shortest) // 2
    middle = image.crop((left, top, left + shortest, top + shortest))
    for mode, whole in (("pad", square), ("crop", middle)):
        expected = np.asarray(whole.resize((side, side), Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(fit(picture, side, mode).picture, expected)
    monkeypatch.setattr(fitting, "_STRIP", 2**20)
    expected = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(fit(picture, side, "stretch").picture, expected)


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1), (1, 150_000), (150_000, 1)])
@pytest.mark.parametrize("mode", ["pad", "crop", "stretch"])
def test_extreme_shapes_fit(size, mode):
    fitted = fit(np.full((*size, 3), 200, np.uint8), 64, mode)
    assert fitted.picture.shape == (64, 64, 3)
    x, y = fitted.to_fitted(size[1] / 2, size[0] / 2)
    assert (x, y) == pytest.approx((32, 32), abs=0.02 if mode != "crop" else 32)
    if mode != "pad":
        assert (fitted.picture == 200).all()
    else:  # a line of some of the picture's brightness in the middle, and nothing elsewhere
        across = fitted.picture[:, :, 0].max(axis=1 if size[0] < size[1] else 0)
        assert across[31:33].max() >= CLIP_MEAN[0]
        assert (across[:28] == CLIP_MEAN[0]).all()
        assert (across[36:] == CLIP_MEAN[0]).all()


def test_a_fitted_picture_can_be_written_to(photo):
    for mode in ("pad", "crop", "stretch"):
        assert fit(photo, 32, mode).picture.flags.writeable
        assert fit(photo, 32, mode).picture.flags.c_contiguous


@pytest.mark.parametrize("mode", ["pad", "crop", "stretch"])
def test_a_frame_says_where_fit_puts_a_picture_without_its_pixels(mode):
    for size in ((640, 480), (37, 900), (1, 1), (301, 300)):
        fitted = fit(np.zeros((size[1], size[0], 3), np.uint8), 112, mode)
        alone = frame(size, 112, mode)
        assert (alone.side, alone.scale, alone.offset) == (fitted.side, fitted.scale, fitted.offset)
