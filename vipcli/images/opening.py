"""Opening: whatever holds a picture is told apart and decoded, never before its header has passed the limits."""

from __future__ import annotations

import contextlib
import io
import re

import numpy as np
from PIL import Image, UnidentifiedImageError

from vipcli.errors import PictureError, VipError
from vipcli.images.decoding import MAX_PIXELS, TOO_MANY, decode, turn_of
from vipcli.images.reasons import CONVERT, reason
from vipcli.images.sources import Source, bytes_of, name_of

# EPS starts Ghostscript, WMF and the scientific formats call outside handlers, IPTC opens whatever is inside it (an
# EPS, say), MPEG is never decoded.
_REFUSED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})


def open_picture(source: Source) -> np.ndarray:
    """Open a picture, upright and in colour, whatever its format and mode.

    source: a path, ``-`` (standard input), an http(s) URL, a binary stream, a Pillow image, or an array: uint8 or bool
    (height, width[, 1 to 4]), or one channel of uint16, int32 or float.

    EXIF orientation is applied; see-through parts lie on white; 16-bit grey is divided by 256, wider integers and
    floats are taken as 0..1 (floats), 0..255 or 0..65535, whichever holds them, or spread over their own range; of an
    animation the first frame is taken; colour profiles are ignored.

    Returns a new (height, width, 3) uint8 array, RGB, C-contiguous. Raises `PictureError`.
    """
    if isinstance(source, np.ndarray) and _is_picture(source):
        return source.copy(order="C")
    return _opened(source, opacity=False)[0]


def open_mask(source: Source) -> tuple[np.ndarray, bool]:
    """Open a picture that marks a region, as a (height, width) bool array, upright, and whether it is meant as one.

    Set is what isn't see-through, in a picture with both; else what is brighter than half its brightest pixel.
    It isn't where much of it is neither dark nor bright. Raises `PictureError`.
    """
    picture, opaque = _opened(source, opacity=True)
    if opaque is not None and opaque.any() and not opaque.all():
        return opaque, True
    grey = picture.max(axis=2)
    brightest = int(grey.max())
    between = np.count_nonzero((grey > brightest // 8) & (grey < brightest - brightest // 8))
    return grey > brightest // 2, between <= grey.size // 20  # a soft edge is fine, a photograph isn't


def _is_picture(array: np.ndarray) -> bool:
    """Whether `array` is what `open_picture` returns: nothing is to be converted."""
    return array.dtype == np.uint8 and array.shape[2:] == (3,) and 0 < array.size // 3 <= MAX_PIXELS


def _opened(source: Source, *, opacity: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """The picture and, with `opacity`, where it is opaque ((height, width) bool); None where nothing is see-through."""
    name = name_of(source)
    try:
        data = b"" if isinstance(source, np.ndarray | Image.Image) else bytes_of(source, name)
        from vipcli.images.strictness import strict_pillow

        with strict_pillow():
            image = _identified(data, name) if data else _in_memory(source, name)
            picture = decode(image, name, faint=opacity)
            opaque = None
            if opacity and image.has_transparency_data:
                straight = image.convert("LA") if image.mode == "La" else image
                opaque = np.asarray(straight.convert("RGBA"))[..., 3] > 127
            turn = turn_of(image)
            del image  # turning needs room for a second array, so make some
            if turn is None:
                return picture, opaque
            return np.ascontiguousarray(turn(picture)), None if opaque is None else turn(opaque)
    except VipError:
        raise
    except Image.DecompressionBombError as error:
        pixels = re.sub(r"\D*(\d+).*", lambda count: f"{int(count[1]):,}", str(error))
        raise PictureError(f"{name}: {pixels} {TOO_MANY.format(MAX_PIXELS)}") from error
    except Exception as error:  # Pillow's decoders throw anything at all on a damaged file
        raise PictureError(f"{name}: {reason(error)}") from error


def _in_memory(source: object, name: str) -> Image.Image:
    """An array or a Pillow image as a Pillow image."""
    if isinstance(source, Image.Image):
        if source.format in _REFUSED and getattr(source, "tile", None):
            raise PictureError(f"{name}: {source.format} isn't decoded here; {CONVERT}")
        return source
    source = np.asarray(source)
    array = source[:, :, 0] if source.ndim == 3 and source.shape[2] == 1 else source
    array = array.astype(np.float32) if array.ndim == 2 and array.dtype.kind == "f" else array
    try:
        if array.ndim not in (2, 3):
            raise ValueError
        return Image.fromarray(np.ascontiguousarray(array))
    except (TypeError, ValueError) as error:
        what = f"not {source.shape} {source.dtype}"
        raise PictureError(f"{name}: a picture is (height, width, 3) uint8, {what}") from error


def _identified(data: bytes, name: str) -> Image.Image:
    """The picture in `data`, its header read and nothing decoded."""
    for load_plugins in (Image.preinit, Image.init):  # the five common formats, then all: 30 ms to import
        load_plugins()
        with contextlib.suppress(UnidentifiedImageError):
            return Image.open(io.BytesIO(data), formats=[form for form in Image.ID if form not in _REFUSED])
    from vipcli.images.unreadable import what_it_is

    raise PictureError(f"{name}: {what_it_is(data)}")
