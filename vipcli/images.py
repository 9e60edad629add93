"""Pictures: opened safely wherever they come from, fitted into the model's square, saved whole or not at all.

A picture is a (height, width, 3) uint8 array, RGB, upright. Whatever is wrong with one ends in a `PictureError`: one
sentence that names the source. Nothing is decoded before its header has passed the limits below.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
import queue
import re
import secrets
import stat
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from vipcli.errors import PictureError, UsageError, VipError, quote

__all__ = ["CLIP_MEAN", "Fit", "Fitted", "Source", "fit", "name_of", "open_picture", "save_picture"]

Source = str | Path | BinaryIO | np.ndarray | Image.Image
"""Where a picture comes from: a path, ``-`` for standard input, a URL, a binary stream, an array, a Pillow image."""

Fit = Literal["pad", "crop", "stretch"]
"""How a picture becomes square: bars in `CLIP_MEAN` beside it, its middle cut out, or its shape given up."""

CLIP_MEAN = (122, 116, 104)
"""The mean colour that CLIP subtracts (RGB): bars of it are nothing to the model."""

MAX_PIXELS = 200_000_000
MAX_PIXELS_SLOW = 16_000_000  # for what Pillow decodes in Python (DDS, QOI, ...): about 1 µs a pixel
MAX_FILE_BYTES = 512 * 2**20
MAX_URL_BYTES = 64 * 2**20
MAX_URL_SECONDS = 20.0  # for everything: name lookup, redirects, body
MAX_REDIRECTS = 5

_STRIP = 2**20  # pixels converted or resized at a time: bounds the memory beside the picture's own
_LONGEST = 12_288  # a longer side is thinned to this before it is resized

# EPS starts Ghostscript, WMF and the scientific formats call outside handlers, IPTC opens whatever is inside it (an
# EPS, say), MPEG is never decoded.
_REFUSED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})

_TOO_MANY = "pixels are more than the limit of {:,}; make it smaller first"
_CONVERT = "convert it to PNG or JPEG first"
_KNOWN_BYTES = (  # what a file is that Pillow won't open: the first of these that its first bytes match
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{12}|RIFF.{4}WEBP|II\*\0|MM\0\*|8BPS", "the file is damaged or cut off"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"is PostScript (EPS), which has to be run like a program; {_CONVERT}"),
    (rb"\s*%PDF", f"is a PDF, which Pillow can't read; {_CONVERT}"),
    (rb".{4}ftyp(hei[cxms]|hev[cm]|mif1|msf1)", f"is HEIC, which Pillow can't read; {_CONVERT}"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", f"is JPEG XL, which Pillow can't read; {_CONVERT}"),
    (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI |\0\0\x01[\xb3\xba]", "is a video; extract the frame you mean first"),
    (rb"\s*<(!doctype html|html|head|body)", "is a web page (HTML), not a picture"),
    (rb"\s*<.*svg", f"is an SVG drawing, which Pillow can't read; {_CONVERT}"),
    (rb"version https://git-lfs", "is a Git LFS pointer; get the picture itself with: git lfs pull"),
    (rb"[\t\n\r\x20-\x7e\x80-\xff]+\Z", "is a text file, not a picture"),
    (rb"", f"isn't a picture that Pillow can read safely; {_CONVERT}"),
)

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

_JPEG: tuple[str, dict[str, Any]] = "JPEG", {"quality": 95, "subsampling": 0}
_SAVED_AS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": ("WEBP", {"quality": 95}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
}


def name_of(source: object) -> str:
    """What to call `source` in a message: its path or URL, fit for a terminal, or else what kind of thing it is."""
    if isinstance(source, np.ndarray):
        return "the array"
    kind = "the picture" if isinstance(source, Image.Image) else "the stream"
    path = getattr(source, "filename", None) or getattr(source, "name", None) or kind  # a stream's name can be a number
    path = source if isinstance(source, str | os.PathLike) else path if isinstance(path, str | bytes) else kind
    text = os.fsdecode(path)
    return "standard input" if text == "-" else quote(text) or "an empty path"


def open_picture(source: Source) -> np.ndarray:
    """Open a picture, upright and in colour, whatever its format and mode.

    source: a path, ``-`` (standard input), an http(s) URL, a binary stream, a Pillow image, or an array: uint8 or bool
    (height, width[, 1 to 4]), or one channel of uint16, int32 or float.

    EXIF orientation is applied; see-through parts lie on white; 16-bit grey is divided by 256, wider integers and
    floats are taken as 0..1 (floats), 0..255 or 0..65535, whichever holds them, or spread over their own range; of an
    animation the first frame is taken; colour profiles are ignored.

    Returns a new (height, width, 3) uint8 array, RGB, C-contiguous. Raises `PictureError`.
    """
    name = name_of(source)
    try:
        data = b"" if isinstance(source, np.ndarray | Image.Image) else _bytes(source, name)
        with _strict_pillow():
            image = _identified(data, name) if data else _in_memory(source, name)
            picture = _decode(image, name)
            turn = _TURNS.get(_orientation(image))
            del image  # turning needs room for a second array, so make some
            return np.ascontiguousarray(turn(picture)) if turn else picture
    except VipError:
        raise
    except Exception as error:  # Pillow's decoders throw anything at all on a damaged file
        raise PictureError(f"{name}: {_reason(error)}") from error


def save_picture(picture: np.ndarray, path: Path | str) -> None:
    """Save `picture` ((height, width, 3) uint8 RGB) at `path`: all of it, or nothing changes there.

    The suffix says the format: png, jpg, jpeg, webp, bmp, tif or tiff. ``-`` writes a PNG to standard output.
    Raises `UsageError` for another suffix, `PictureError` where it can't be written.
    """
    to_stdout = str(path) == "-"
    name, suffix = ("standard output", ".png") if to_stdout else (quote(str(path)), Path(path).suffix.lower())
    if suffix not in _SAVED_AS:
        raise UsageError(f"{name}: a picture's file name ends in {', '.join(_SAVED_AS)}; it says the format")
    form, options = _SAVED_AS[suffix]
    data = io.BytesIO()
    try:
        Image.fromarray(picture).save(data, form, **options)
        (_write_stdout if to_stdout else _write)(data.getbuffer(), path)
    except (VipError, BrokenPipeError):  # a closed pipe is the command line's to end in silence
        raise
    except Exception as error:
        why = "its folder doesn't exist" if isinstance(error, FileNotFoundError) else _reason(error, "written")
        raise PictureError(f"{name}: {why}") from error


@dataclass(frozen=True, eq=False)
class Fitted:
    """A picture as the model gets it.

    picture: (side, side, 3) uint8 RGB.
    scale: how much x and y were multiplied; offset: what was then added, in pixels of the fitted picture.
    """

    picture: np.ndarray
    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_fitted(self, x: float, y: float) -> tuple[float, float]:
        """Where the point (x, y) of the picture lies in the fitted one; a crop can put it outside."""
        return x * self.scale[0] + self.offset[0], y * self.scale[1] + self.offset[1]


def fit(picture: np.ndarray, side: int, mode: Fit = "pad") -> Fitted:
    """Fit `picture` ((height, width, 3) uint8) into a square of `side` pixels, bicubic and antialiased.

    pad: all of it in the middle, bars in `CLIP_MEAN` beside it; crop: the middle square; stretch: all of it, its shape
    given up. The padded square never exists, so a picture of 12,000 pixels a side needs 30 MB beside its own.
    """
    height, width = picture.shape[:2]
    left = top = 0
    if mode == "pad":
        longest = max(width, height)
        left, top = -((longest - width) // 2), -((longest - height) // 2)
        width = height = longest
    elif mode == "crop":
        shortest = min(width, height)
        left, top = (width - shortest) // 2, (height - shortest) // 2
        picture = picture[top : top + shortest, left : left + shortest]
        width = height = shortest
    thinned = -(-max(width, height) // _LONGEST)
    picture = picture[::thinned, ::thinned]
    across, down = -(-width // thinned), -(-height // thinned)
    if mode == "stretch" and across * down <= 16 * _STRIP:  # Pillow may take columns first, so leave it to Pillow
        fitted = _resized(picture, (side, side))
    else:
        rows = _resize_rows(picture, side, across)  # (height, side, 3)
        fitted = _resize_rows(rows.swapaxes(0, 1), side, down).swapaxes(0, 1)
    scale_x, scale_y = side / width, side / height
    return Fitted(np.array(fitted, order="C"), (scale_x, scale_y), (-left * scale_x, -top * scale_y))


def _resize_rows(picture: np.ndarray, side: int, across: int) -> np.ndarray:
    """Put bars beside every row until it has `across` pixels, and resize it to `side`: one of Pillow's two passes."""
    height, width = picture.shape[:2]
    resized = np.empty((height, side, 3), np.uint8)
    left, step = (across - width) // 2, max(1, _STRIP // across)
    for top in range(0, height, step):
        strip = picture[top : top + step]
        if width < across:
            bare, strip = strip, np.full((len(strip), across, 3), CLIP_MEAN, np.uint8)
            strip[:, left : left + width] = bare
        resized[top : top + step] = _resized(strip, (side, len(strip)))
    return resized


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


# --- Sources


def _in_memory(source: object, name: str) -> Image.Image:
    """An array or a Pillow image as a Pillow image."""
    if isinstance(source, Image.Image):
        if source.format in _REFUSED and getattr(source, "tile", None):
            raise PictureError(f"{name}: {source.format} isn't decoded here; {_CONVERT}")
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
    what = next(what for start, what in _KNOWN_BYTES if re.match(start, data[:512], re.DOTALL | re.IGNORECASE))
    raise PictureError(f"{name}: {what}")


def _bytes(source: object, name: str) -> bytes:
    """All that a path, URL or stream holds; never nothing."""
    if isinstance(source, str | os.PathLike):
        data = _read_named(os.fsdecode(source), name)
    elif hasattr(source, "read"):
        data = _read(source, name)
    else:
        raise UsageError(f"a picture is a path, URL, stream, array or Pillow image, not {type(source).__name__}")
    if not data:
        raise PictureError(f"{name}: is empty (0 bytes)")
    return data


def _read_named(path: str, name: str) -> bytes:
    """The bytes of a file, of standard input, or of a URL."""
    if path == "-":
        stdin = getattr(sys.stdin, "buffer", None)
        if stdin is None or stdin.isatty():
            raise PictureError(f"{name}: is neither a file nor a pipe; write - < picture.png")
        return _read(stdin, name)
    if scheme := re.match(r"data:|[a-z][a-z0-9+.-]*://", path, re.IGNORECASE):
        if scheme[0].lower() in ("http://", "https://"):
            return _download(path, name)
        raise PictureError(f"{name}: {scheme[0]} addresses aren't read; give a path or an http(s) URL")

    def without_waiting(file: str, flags: int) -> int:  # on a pipe or a device
        return os.open(file, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))

    try:
        with open(path, "rb", buffering=0, opener=without_waiting) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise PictureError(f"{name}: is a pipe or device, not a file; to read a pipe, write - for it")
            if facts.st_size > MAX_FILE_BYTES:
                raise _too_large(name, MAX_FILE_BYTES)
            return _read(file, name)
    except (OSError, ValueError) as error:
        raise PictureError(f"{name}: {_reason(error, 'read')}") from error


def _read(stream: Any, name: str) -> bytes:
    # In pieces: one read of the limit's size would ask for that much memory.
    return _gather(iter(lambda: stream.read(2**20) or b"", b""), name, MAX_FILE_BYTES)


def _gather(pieces: Iterable[bytes], name: str, limit: int) -> bytes:
    data = bytearray()
    for piece in pieces:
        if isinstance(piece, str):
            raise PictureError(f"{name}: is opened as text; open it with mode 'rb'")
        data += piece
        if len(data) > limit:
            raise _too_large(name, limit)
    return bytes(data)


def _download(url: str, name: str) -> bytes:
    """The body of an http(s) URL, within the limits.

    In a thread, because httpx limits the time of each read alone (a byte a second never exceeds it) and that of the
    name lookup not at all. Closing the client ends the thread at its next byte.
    """
    import httpx

    outcome: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    client = httpx.Client(timeout=MAX_URL_SECONDS, headers={"User-Agent": "vipcli"})

    def work() -> None:
        try:
            outcome.put(_get(client, url, name))
        except Exception as error:  # raised below, in the caller's thread
            outcome.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = outcome.get(timeout=MAX_URL_SECONDS)
    except queue.Empty:
        result = httpx.ReadTimeout("")
    finally:
        client.close()
    if isinstance(result, bytes):
        return result
    if isinstance(result, VipError):
        raise result
    why = f"can't be fetched ({quote(str(result)) or type(result).__name__})"
    if isinstance(result, httpx.TimeoutException):
        why = f"wasn't there within {MAX_URL_SECONDS:g} seconds; download it yourself and give the file"
    raise PictureError(f"{name}: {why}") from result


def _get(client: Any, url: str, name: str) -> bytes:
    request = client.build_request("GET", url)
    for _ in range(MAX_REDIRECTS + 1):
        with contextlib.closing(client.send(request, stream=True)) as response:
            if response.next_request is not None:
                request = response.next_request
                if request.url.scheme not in ("http", "https"):
                    raise PictureError(f"{name}: redirects to a {quote(request.url.scheme)}: address: not followed")
                continue
            if not response.is_success:
                status = f"{response.status_code} {quote(response.reason_phrase)}".strip()
                raise PictureError(f"{name}: the server answered {status}")
            if int(response.headers.get("content-length", 0)) > MAX_URL_BYTES:
                raise _too_large(name, MAX_URL_BYTES)
            return _gather(response.iter_bytes(), name, MAX_URL_BYTES)
    raise PictureError(f"{name}: redirects more than {MAX_REDIRECTS} times")


# --- Decoding

_pillow_lock = threading.Lock()
_pillow_users = 0
_pillow_before = contextlib.ExitStack()


@contextlib.contextmanager
def _strict_pillow() -> Iterator[None]:
    """Pillow silent, with our limit of pixels, and never content with half a file.

    These are settings of the whole process: the first thread in makes them, the last one out puts back what was.
    """
    global _pillow_users
    from PIL import ImageFile

    with _pillow_lock:
        _pillow_users += 1
        if _pillow_users == 1:
            _pillow_before.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            _pillow_before.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            _pillow_before.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses from twice as many on
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            mute = logging.NullHandler()  # where nobody listens to Pillow's log, Python prints its errors
            logging.getLogger("PIL").addHandler(mute)
            _pillow_before.callback(logging.getLogger("PIL").removeHandler, mute)
            with contextlib.suppress(AttributeError, OSError):  # libtiff prints its own; Pillow stops its warnings only
                silence = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler
                silence.argtypes, silence.restype = [ctypes.c_void_p], ctypes.c_void_p
                _pillow_before.callback(silence, silence(None))
    try:
        yield
    finally:
        with _pillow_lock:
            _pillow_users -= 1
            if _pillow_users == 0:
                _pillow_before.close()


def _decode(image: Image.Image, name: str) -> np.ndarray:
    """Decode `image` once its size is known to be within the limits, and convert it from whatever mode it is in."""
    _check_size(image, name)
    image.load()
    _check_size(image, name)  # an icon's true size is known only now
    low, gain = _grey_range(image)
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
        raise PictureError(f"{name}: {width} x {height} {_TOO_MANY.format(limit)}")
    covered = sum((right - left) * (bottom - top) for _, (left, top, right, bottom), *_ in tiles)
    if image.format == "TIFF" and tiles and covered < width * height:  # Pillow would leave the rest black
        raise PictureError(f"{name}: the file is damaged: its parts don't make up {width} x {height} pixels")
    if "fits_gzip" in codecs:  # Pillow unpacks it whole, whatever its header says
        raise PictureError(f"{name}: is compressed FITS, which can't be opened safely; {_CONVERT}")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # garbage in the EXIF block is no reason to refuse the picture
        return 1


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The picture a strip of rows at a time, so that no third full-size copy is made beside Pillow's and ours."""
    step = max(1, _STRIP // image.width)
    for top in range(0, image.height, step):
        rows = slice(top, min(top + step, image.height))
        yield rows, image.crop((0, rows.start, image.width, rows.stop))


def _grey_range(image: Image.Image) -> tuple[float, float]:
    """(low, gain) such that (value - low) * gain, cut to an integer, is the 8-bit value."""
    if image.mode not in ("I", "F"):
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
    return image.convert("RGB")


# --- Saving, and what to say


def _write(data: memoryview, path: Path | str) -> None:
    target = os.path.realpath(path)  # a link goes on pointing where it does
    if os.path.isdir(target):
        raise PictureError(f"{quote(str(path))}: is a directory; give the name of a file in it")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise PictureError(f"{quote(str(path))}: is write-protected")
    temporary = os.path.join(os.path.dirname(target), f".vip-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):  # it is gone where all went well
            os.unlink(temporary)


def _write_stdout(data: memoryview, _: Path | str) -> None:
    stdout = getattr(sys.stdout, "buffer", None)
    if stdout is None or stdout.isatty():
        raise UsageError("standard output: a terminal can't show a PNG; write - > picture.png")
    stdout.write(data)
    stdout.flush()


def _too_large(name: str, limit: int) -> PictureError:
    return PictureError(f"{name}: is larger than the limit of {limit // 2**20} MB")


def _reason(error: Exception, done: str = "decoded") -> str:
    """What `error` means for whoever gave the picture."""
    text = quote(" ".join(str(error).split())) or type(error).__name__
    system = isinstance(error, OSError) and error.strerror
    if isinstance(error, Image.DecompressionBombError):
        return re.sub(r"\D*(\d+).*", lambda count: f"{int(count[1]):,} {_TOO_MANY.format(MAX_PIXELS)}", text)
    if isinstance(error, MemoryError):
        return "there isn't enough memory for it; make it smaller first"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "is a directory, not a picture"
    if done != "decoded" or system:
        return f"can't be {done} ({quote(system) if system else text})"
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return "the file is cut off; copy or download it again"
    return f"the file is damaged, or of a kind that Pillow can't decode ({text})"
