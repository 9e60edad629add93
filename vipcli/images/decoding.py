"""Decoding: a Pillow image of any mode, within the limits of pixels, becomes RGB of 8 bits, a strip at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from vipcli.errors import PictureError
from vipcli.images.reasons import CONVERT

MAX_PIXELS = 200_000_000
MAX_PIXELS_SLOW = 16_000_000  # for what Pillow decodes in Python (DDS, QOI, ...): about 1 µs a pixel
TOO_MANY = "pixels are more than the limit of {:,}; make it smaller first"

_STRIP = 2**20  # pixels converted at a time: bounds the memory beside the picture's own

# EXIF orientation -> what turns the stored picture upright. 1, or anything else: it is upright.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda picture: picture[:, ::-1],
    3: lambda picture: picture[::-1, ::-1],
    4: lambda picture: picture[::-1],
    5: lambda picture: picture.swapaxes(0, 1),
    6: lambda picture: np.rot90(picture, -1),
    7: lambda picture: picture[::-1, ::-1].swapaxes(0, 1),
    8: lambda picture: np.rot90(picture),
}


def decode(image: Image.Image, name: str, *, faint: bool = False) -> np.ndarray:
    """Decode `image` once its size is known to be within the limits, and convert it from whatever mode it is in.

    faint: grey of 16 bits is taken as wider integers are, so that a mask of zeros and ones isn't all black.
    """
    _check_size(image, name)
    image.load()
    _check_size(image, name)  # an icon's true size is known only now
    low, gain = _grey_range(image, faint)
    picture = np.empty((image.height, image.width, 3), np.uint8)
    for rows, strip in _strips(image):
        if image.mode[0] in "IF":  # I, I;16, I;16B, F: one channel of more than 8 bits
            grey = (np.asarray(strip).astype(np.float64) - low) * gain
            picture[rows] = np.nan_to_num(grey).clip(0, 255)[..., None]
        else:
            picture[rows] = np.asarray(_rgb(strip))
    return picture


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    tiles = getattr(image, "tile", ())
    codecs = {tile[0] for tile in tiles}
    limit = min(MAX_PIXELS, MAX_PIXELS_SLOW) if codecs & Image.DECODERS.keys() else MAX_PIXELS
    if width < 1 or height < 1:
        raise PictureError(f"{name}: has no pixels ({width} x {height})")
    if width * height > limit:
        raise PictureError(f"{name}: {width} x {height} {TOO_MANY.format(limit)}")
    covered = sum((right - left) * (bottom - top) for _, (left, top, right, bottom), *_ in tiles)
    if image.format == "TIFF" and tiles and covered < width * height:  # Pillow would leave the rest black
        raise PictureError(f"{name}: the file is damaged: its parts don't make up {width} x {height} pixels")
    if "fits_gzip" in codecs:  # Pillow unpacks it whole, whatever its header says
        raise PictureError(f"{name}: is compressed FITS, which can't be opened safely; {CONVERT}")


def turn_of(image: Image.Image) -> Callable[[np.ndarray], np.ndarray] | None:
    """What turns the decoded `image` upright, by its EXIF orientation; None where it already is."""
    try:
        return _TURNS.get(int(image.getexif().get(0x0112, 1)))
    except Exception:  # garbage in the EXIF block is no reason to refuse the picture
        return None


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The picture a strip of rows at a time, so that no third full-size copy is made beside Pillow's and ours."""
    step = max(1, _STRIP // image.width)
    for top in range(0, image.height, step):
        rows = slice(top, min(top + step, image.height))
        yield rows, image.crop((0, rows.start, image.width, rows.stop))


def _grey_range(image: Image.Image, faint: bool) -> tuple[float, float]:
    """(low, gain) such that (value - low) * gain, cut to an integer, is the 8-bit value."""
    if image.mode not in ("I", "F") and not (faint and image.mode[0] == "I"):
        return 0.0, 1 / 256
    low, high = np.inf, -np.inf
    for _, strip in _strips(image):
        values = np.asarray(strip).astype(np.float64)
        finite = values[np.isfinite(values)]
        low, high = finite.min(initial=low), finite.max(initial=high)
    if low >= 0 and 255 < high <= 65535:
        return 0.0, 1 / 256
    gain = 255 / max(high - low, 1e-300)
    if low >= 0 and high <= 255:
        low, gain = 0.0, 255.0 if image.mode == "F" and high <= 1 else 1.0
    return low - 0.5 / gain, gain  # half a level up: cutting then rounds


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image)
        return white
    if image.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    return image if image.mode == "RGB" else image.convert("RGB")
