"""`vipcli.images`: what opens, what is refused and how it is said, how pictures are fitted and saved."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from vipcli import images
from vipcli.errors import PictureError, UsageError
from vipcli.images import CLIP_MEAN, fit, name_of, open_picture, save_picture


@pytest.fixture
def photo() -> np.ndarray:
    """24 x 16, every pixel another colour, nothing symmetrical."""
    y, x = np.mgrid[:16, :24]
    return np.stack([x * 10, y * 15, 255 - x * 5 - y * 5], axis=2).astype(np.uint8)


@pytest.fixture
def png(photo: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    return path


def saved(image: Image.Image, form: str = "PNG", **options: object) -> io.BytesIO:
    data = io.BytesIO()
    image.save(data, form, **options)
    data.seek(0)
    return data


def why(source: object) -> str:
    """The sentence that opening `source` ends in; always one printable line."""
    with pytest.raises(PictureError) as caught:
        open_picture(source)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert sentence.isprintable(), sentence
    return sentence


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is as large as you like, in 70 bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")


# --- What a picture can be given as


def test_a_picture_opens_from_a_path_a_string_a_stream_an_array_or_a_pillow_image(photo, png):
    for source in (png, str(png), png.open("rb"), io.BytesIO(png.read_bytes()), photo, Image.open(png)):
        picture = open_picture(source)
        assert picture.dtype == np.uint8
        assert picture.flags.c_contiguous
        assert picture.flags.writeable
        np.testing.assert_array_equal(picture, photo)


def test_an_array_is_copied_so_that_the_callers_stays_as_it_is(photo):
    opened = open_picture(photo)
    opened[:] = 0
    assert photo.any()


def test_a_dash_is_standard_input(photo, png, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(png.open("rb")))
    np.testing.assert_array_equal(open_picture("-"), photo)


def test_an_empty_or_missing_standard_input_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert why("-") == "standard input: is empty (0 bytes)"
    monkeypatch.setattr(sys, "stdin", None)
    assert why("-").startswith("standard input: is neither a file nor a pipe")


def test_a_terminal_isnt_waited_for(monkeypatch):
    controller, terminal = os.openpty()
    with open(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert why("-").startswith("standard input: is neither a file nor a pipe")
    os.close(controller)


def test_endless_input_stops_at_the_limit(monkeypatch):
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 3 * 2**20)
    with open("/dev/zero") as zeros:
        monkeypatch.setattr(sys, "stdin", zeros)
        assert why("-") == "standard input: is larger than the limit of 3 MB"


def test_a_file_called_dash_opens_by_its_path(photo, png, monkeypatch):
    png.rename(png.parent / "-")
    monkeypatch.chdir(png.parent)
    np.testing.assert_array_equal(open_picture("./-"), photo)


def test_arrays_of_other_shapes_and_types_are_understood(photo):
    grey = photo[:, :, 0]
    for array in (grey, grey[..., None], grey.astype(np.uint16) * 256, grey.astype(np.float64) / 255):
        np.testing.assert_array_equal(open_picture(array), np.repeat(grey[..., None], 3, axis=2))
    assert open_picture(grey > 100).max() == 255
    assert open_picture(photo[::2, ::-1]).shape == (8, 24, 3)
    assert (open_picture(np.dstack([photo, np.zeros_like(grey)])) == 255).all()


def test_arrays_that_are_no_pictures_are_refused():
    for shape in ((4,), (4, 4, 5), (2, 4, 4, 3), (0, 5, 3), (5, 0, 3), (0, 0)):
        assert why(np.zeros(shape, np.uint8)).startswith("the array: ")
    assert "uint8" in why(np.zeros((4, 4, 3), np.float32))
    assert "(height, width, 3) uint8" in why(np.zeros((4, 4), complex))


def test_something_else_is_wrong_usage():
    with pytest.raises(UsageError, match="not int"):
        open_picture(3)  # type: ignore[arg-type]


def test_a_text_stream_says_to_open_it_in_binary_mode(png):
    with open(png, encoding="latin-1") as stream:
        assert "mode 'rb'" in why(stream)


def test_names_in_messages_hold_no_control_characters():
    assert name_of("a\x1b[31m\nb.png") == r"a\x1b[31m\x0ab.png"
    assert name_of(b"\xff.png".decode(errors="surrogateescape")) == r"\xff.png"
    assert name_of("-") == "standard input"
    assert name_of("") == "an empty path"
    assert name_of(io.BytesIO()) == "the stream"
    assert name_of(np.zeros(1)) == "the array"
    assert name_of(Image.new("L", (1, 1))) == "the picture"
    assert len(name_of("x" * 5000)) < 100


def test_file_names_that_arent_utf8_and_odd_ones_work(photo, png):
    for name in (os.fsdecode(b"\xff\xfe.png"), "a\nb\x1b[0m.png", "--box.png", "🙂 .png", "wrong-suffix.jpg", "none"):
        path = png.parent / name
        path.write_bytes(png.read_bytes())
        np.testing.assert_array_equal(open_picture(path), photo)
        assert why(path.parent / f"missing {name}")


# --- Orientation, modes, bits


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_before_anything_else(photo, orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(photo), form, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(data)).convert("RGB")
    picture = open_picture(io.BytesIO(data.getvalue()))
    assert picture.shape == ((16, 24, 3) if orientation < 5 else (24, 16, 3))
    np.testing.assert_array_equal(picture, np.asarray(expected))
    assert picture.flags.c_contiguous


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"\0"]
)
def test_garbage_in_exif_and_colour_profile_is_ignored(photo, exif):
    for form in ("JPEG", "PNG", "WEBP"):
        data = saved(Image.fromarray(photo), form, exif=exif, icc_profile=b"garbage" * 9)
        assert open_picture(data).shape == (16, 24, 3)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_doesnt_exist_is_none(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(open_picture(saved(Image.fromarray(photo), exif=exif)), photo)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_every_mode_becomes_rgb(photo, mode):
    image = Image.fromarray(photo).convert(mode)
    np.testing.assert_array_equal(open_picture(image), np.asarray(image.convert("RGB")))


def test_cmyk_and_lab_files_open(photo):
    cmyk = Image.fromarray(photo).convert("CMYK")
    np.testing.assert_array_equal(open_picture(saved(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))
    assert open_picture(saved(cmyk, "JPEG")).shape == photo.shape
    lab = Image.merge("LAB", [Image.new("L", (2, 2), v) for v in (136, 208, 195)])  # sRGB red: L 53, a 80, b 67
    np.testing.assert_allclose(open_picture(saved(lab, "TIFF")), np.full((2, 2, 3), [255, 0, 0]), atol=12)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_see_through_parts_lie_on_white(mode):
    half = Image.new("RGBA", (2, 1), (100, 100, 100, 255))
    half.putpixel((1, 0), (100, 100, 100, 0))
    steps = {"PA": ("PA",), "LA": ("LA",), "La": ("LA", "La"), "RGBa": ("RGBa",), "RGBA": ("RGBA",)}[mode]
    image = half
    for step in steps:
        image = image.convert(step)
    assert image.mode == mode
    np.testing.assert_allclose(open_picture(image)[0], [[100] * 3, [255] * 3], atol=1)


def test_half_transparent_is_half_white():
    image = Image.new("RGBA", (1, 1), (100, 0, 200, 128))
    np.testing.assert_allclose(open_picture(saved(image))[0, 0], [177, 127, 227], atol=1)


def test_palettes_and_keyed_colours_with_transparency_lie_on_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for form, transparency in (("PNG", bytes([255, 0])), ("GIF", 1)):
        picture = open_picture(saved(palette, form, transparency=transparency))
        np.testing.assert_array_equal(picture[0], [[10, 20, 30], [255, 255, 255]])
    for mode, key in (("RGB", (40, 50, 60)), ("L", 48)):
        picture = open_picture(saved(palette.convert(mode), transparency=key))
        np.testing.assert_array_equal(picture[0, 1], [255, 255, 255])
        assert picture[0, 0].max() < 31


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_16_bit_grey_is_divided_by_256(mode):
    values = np.array([[0, 255, 256, 4095, 32768, 65535]], np.uint16)
    image = Image.frombytes(mode, (6, 1), values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    assert open_picture(image)[0, :, 0].tolist() == [0, 0, 1, 15, 128, 255]


def test_16_bit_png_and_tiff_open():
    grey = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    for form in ("PNG", "TIFF"):
        picture = open_picture(saved(Image.fromarray(grey), form))
        np.testing.assert_array_equal(picture[:, :, 1], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 7, 255], [0, 7, 255]),
        ([0, 256, 65535], [0, 1, 255]),
        ([-100, 0, 100], [0, 128, 255]),
        ([0, 1_000_000, 2_000_000], [0, 128, 255]),
        ([-5, -5, -5], [0, 0, 0]),
    ],
)
def test_wide_integers_are_taken_as_bytes_as_16_bits_or_spread(values, expected):
    np.testing.assert_allclose(open_picture(np.array([values], np.int32))[0, :, 0], expected, atol=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 2.6, 255], [0, 3, 255]),
        ([0, 256, 65535], [0, 1, 255]),
        ([-1, 0, 1], [0, 128, 255]),
        ([0, np.nan, 255], [0, 0, 255]),
        ([-np.inf, 5, np.inf], [0, 5, 255]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
        ([-3e38, 0, 3e38], [0, 128, 255]),
    ],
)
def test_floats_are_taken_as_their_range_suggests(values, expected):
    np.testing.assert_allclose(open_picture(np.array([values], np.float32))[0, :, 0], expected, atol=1)


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        data = saved(frames[0], form, save_all=True, append_images=frames[1:])
        np.testing.assert_allclose(open_picture(data), np.full((4, 4, 3), [255, 0, 0]), atol=3)


@pytest.mark.parametrize(
    "form",
    [
        "BMP",
        "DDS",
        "GIF",
        "ICNS",
        "ICO",
        "JPEG",
        "JPEG2000",
        "PCX",
        "PNG",
        "PPM",
        "QOI",
        "SGI",
        "TGA",
        "TIFF",
        "WEBP",
        "AVIF",
    ],
)
def test_formats_open_whatever_the_file_is_called(form, tmp_path):
    path = tmp_path / "picture.txt"
    colors = np.kron(
        np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 0]]], np.uint8), np.ones((32, 32, 1), np.uint8)
    )
    Image.fromarray(colors).save(path, form)
    picture = open_picture(path)
    side = len(picture)
    assert picture.shape == (side, side, 3)
    corners = picture[:: side - 1, :: side - 1].astype(int)
    np.testing.assert_allclose(corners, colors[::63, ::63], atol=60)  # GIF's and the lossy ones' own colours


def test_a_picture_taller_than_one_strip_is_converted_without_a_seam(monkeypatch, photo):
    monkeypatch.setattr(images, "_STRIP", 50)  # two rows
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = open_picture(saved(Image.fromarray(photo), exif=exif))
    np.testing.assert_array_equal(picture, np.rot90(photo, -1))
    ramp = np.arange(384, dtype=np.int32).reshape(16, 24)
    np.testing.assert_array_equal(open_picture(ramp * 100)[:, :, 0], ramp * 100 >> 8)


# --- What is refused


def test_a_bomb_is_refused_by_its_header_alone(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(50_000, 50_000))
    start = time.perf_counter()
    assert why(path).endswith("2,500,000,000 pixels are more than the limit of 200,000,000; make it smaller first")
    assert "200,020,000 pixels are more" in why_of(path, png_header(20_000, 10_001))
    assert time.perf_counter() - start < 1


def why_of(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return why(path)


def test_pillows_own_limits_are_put_back_and_its_warnings_never_seen(tmp_path):
    path = tmp_path / "large.png"
    before = Image.MAX_IMAGE_PIXELS
    filters = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "cut off" in why_of(path, png_header(12_000, 12_000))  # large, but allowed: fails at its data
    assert before == Image.MAX_IMAGE_PIXELS
    assert warnings.filters == filters


def test_many_threads_open_at_once_and_leave_no_trace(png, photo):
    before, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        for picture in pool.map(open_picture, [png] * 200):
            np.testing.assert_array_equal(picture, photo)
    assert before == Image.MAX_IMAGE_PIXELS
    assert warnings.filters == filters


def test_a_picture_of_12000_by_12000_opens_and_fits_within_900_mb(tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", (12_000, 12_000), 77).save(path, compress_level=1)
    code = """if True:
        import resource, sys
        from vipcli.images import fit, open_picture
        picture = open_picture(sys.argv[1])
        assert picture.shape == (12_000, 12_000, 3) and (picture[::1000, ::1000] == 77).all()
        assert (fit(picture, 336).picture == 77).all()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    """
    ran = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=True)
    assert int(ran.stdout) < 900  # Pillow's grey 144 MB, ours 432 MB, Python and numpy 40 MB, strips


def test_formats_that_pillow_decodes_in_python_have_a_lower_limit(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS_SLOW", 100)
    sentence = why(saved(Image.new("RGB", (20, 20)), "DDS"))
    assert "20 x 20 pixels are more than the limit of 100" in sentence


def test_an_icon_whose_picture_is_larger_than_it_says_is_refused():
    inner = png_header(30_000, 30_000)
    directory = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22)
    assert "more than the limit of 200,000,000" in why(io.BytesIO(directory + inner))


def test_a_truncated_file_is_never_half_a_picture(png, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG"
    ).getvalue()
    assert "the file is cut off; copy or download it again" in why(io.BytesIO(data[: len(data) // 2]))
    assert why_of(png, png.read_bytes()[:60]).startswith(str(png.parent)[:10])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty (0 bytes)"),
        (b"Dear diary,\nno picture today.\n", "is a text file, not a picture"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page (HTML), not a picture"),
        (
            b'<?xml version="1.0"?>\n<svg width="9"></svg>',
            "is an SVG drawing, which Pillow can't read; convert it to PNG",
        ),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is HEIC, which Pillow can't read; convert it to PNG or JPEG first"),
        (b"%PDF-1.7\n%\xe2\xe3", "is a PDF, which Pillow can't read; convert it to PNG or JPEG first"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "is a video; extract the frame"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\nrubbish", "the file is damaged or cut off"),
        (b"\0\1\2\3" * 100, "isn't a picture that Pillow can read safely; convert it to PNG or JPEG first"),
    ],
)
def test_what_isnt_a_picture_is_called_what_it_is(tmp_path, data, sentence):
    path = tmp_path / "p.jpg"
    assert f"p.jpg: {sentence}" in why_of(path, data)


def test_postscript_never_starts_ghostscript(tmp_path, monkeypatch):
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("an outside program was started")

    monkeypatch.setattr(subprocess, "Popen", forbidden)
    monkeypatch.setattr(os, "system", forbidden)
    eps = saved(Image.new("RGB", (9, 9)), "EPS").getvalue()
    path = tmp_path / "p.eps"
    assert "is PostScript (EPS)" in why_of(path, eps)
    assert "EPS isn't decoded here" in why(Image.open(path))
    field = b"".join(  # an IPTC record whose picture is the EPS: Pillow's plugin would open it
        b"\x1c" + bytes(tag) + struct.pack(">H", len(body)) + body
        for tag, body in [
            ((3, 60), b"\1\0"),
            ((3, 20), b"\0\x09"),
            ((3, 30), b"\0\x09"),
            ((3, 120), b"\5"),
            ((8, 10), eps[:30000]),
        ]
    )
    assert why(io.BytesIO(field))


def test_pictures_without_pixels_are_refused(tmp_path):
    for data in (png_header(0, 5), b"GIF89a" + bytes(20), b"P6 0 5 255\n"):
        assert why_of(tmp_path / "p", data)
    assert why(Image.new("RGB", (0, 5))) == "the picture: has no pixels (0 x 5)"


def test_directories_pipes_devices_and_missing_files_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    start = time.perf_counter()
    assert why(tmp_path).endswith("is a directory, not a picture")
    assert "is a pipe or device" in why(tmp_path / "pipe")
    assert "is a pipe or device" in why("/dev/zero")
    assert "is a pipe or device" in why("/dev/null")
    assert why(tmp_path / "none.png").endswith("none.png: no such file")
    assert why("").endswith("an empty path: no such file")
    assert "can't be read" in why("a\0b.png")
    assert "can't be read" in why("x" * 5000)
    assert "can't be read" in why(tmp_path / "pipe" / "p.png")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert "can't be read" in why(tmp_path / "socket")
    assert time.perf_counter() - start < 1


def test_a_file_beyond_the_limit_isnt_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(600 * 2**20)
    assert why(path).endswith("is larger than the limit of 512 MB")


def test_a_tiff_whose_strips_dont_make_up_its_size_isnt_filled_with_black():
    data = bytearray(saved(Image.new("RGB", (24, 20), "red"), "TIFF").getvalue())
    height = data.index(struct.pack("<HHII", 257, 4, 1, 20))  # the tag ImageLength
    data[height : height + 12] = struct.pack("<HHII", 257, 4, 1, 5_000_000)
    assert "its parts don't make up 24 x 5000000 pixels" in why(io.BytesIO(data))


def test_nothing_is_printed_while_opening_a_damaged_file(capfd):
    data = bytearray(saved(Image.new("RGB", (24, 20), "red"), "TIFF", compression="tiff_deflate").getvalue())
    offset = data.index(b"\x78", 8)  # the compressed strip, which libtiff complains of
    data[offset + 4 : offset + 12] = b"\xff" * 8
    assert why(io.BytesIO(data))
    assert capfd.readouterr() == ("", "")


def test_a_damaged_file_says_so_in_one_line_whatever_pillow_throws(png, monkeypatch):
    for error in (
        SyntaxError,
        struct.error,
        ValueError,
        IndexError,
        OverflowError,
        zlib.error,
        RecursionError,
        KeyError,
    ):

        def broken(*_: object, error: type[Exception] = error) -> None:
            raise error("two\nlines \x1b[31m")

        with monkeypatch.context() as patched:
            patched.setattr(ImageFile.ImageFile, "load", broken)
            patched.setattr("PIL.PngImagePlugin.PngImageFile.load", broken)
            assert "photo.png: the file is damaged, or of a kind that Pillow can't decode (" in why(png)
    monkeypatch.setattr(Image.Image, "crop", lambda *_: bytearray(2**62))
    assert "there isn't enough memory" in why(png)


def test_a_lazily_opened_pillow_image_that_is_broken_is_said(png):
    png.write_bytes(png.read_bytes()[:60])
    assert "photo.png: " in why(Image.open(png))


# --- URLs


class Misbehaving(BaseHTTPRequestHandler):
    """A server whose path says what it does wrong."""

    picture = b""

    def do_GET(self) -> None:
        answer = getattr(self, self.path.strip("/").partition("/")[0].replace("-", "_"))
        with contextlib.suppress(OSError):
            answer()

    def head(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def good(self) -> None:
        self.head(Content_Length=len(self.picture), Content_Type="text/html")
        self.wfile.write(self.picture)

    def page(self) -> None:
        self.head(Content_Type="image/png")
        self.wfile.write(b"<!doctype html><title>Log in</title>")

    def empty(self) -> None:
        self.head(Content_Length=0)

    def missing(self) -> None:
        self.head(404)

    def announced(self) -> None:
        self.head(Content_Length=10 * 2**30)
        self.wfile.write(b"x")

    def endless(self) -> None:
        self.head()
        while True:
            self.wfile.write(bytes(2**16))

    def drip(self) -> None:
        self.head(Content_Length=1000)
        self.trickle(b"\0")

    def header_drip(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        self.trickle(b"x")

    def trickle(self, byte: bytes) -> None:
        for _ in range(200):
            self.wfile.write(byte)
            time.sleep(0.05)

    def silent(self) -> None:
        time.sleep(3)

    def short(self) -> None:
        self.head(Content_Length=len(self.picture) + 99)
        self.wfile.write(self.picture)

    def rubbish(self) -> None:
        self.wfile.write(b"\x1b[31m nonsense\r\n\r\n")

    def loop(self) -> None:
        self.head(302, Location=f"/loop/{time.time()}")

    def steps(self) -> None:
        left = int(self.path.rpartition("/")[2])
        self.head(302, Location=f"/steps/{left - 1}" if left > 1 else "/good")

    def to_file(self) -> None:
        self.head(302, Location="file:///etc/passwd")

    def to_nowhere(self) -> None:
        self.head(302)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(png: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(Misbehaving, "picture", png.read_bytes())
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


def test_a_url_opens_whatever_content_type_it_says_and_after_up_to_five_redirects(server, photo):
    np.testing.assert_array_equal(open_picture(f"{server}/good"), photo)
    np.testing.assert_array_equal(open_picture(f"HTTP{server[4:]}/steps/5"), photo)


def test_redirects_end(server):
    assert why(f"{server}/loop").endswith("redirects more than 5 times")
    assert why(f"{server}/steps/6").endswith("redirects more than 5 times")


def test_a_redirect_to_another_kind_of_address_isnt_followed(server):
    assert why(f"{server}/to-file").endswith("redirects to a file: address: not followed")
    assert why(f"{server}/to-nowhere").endswith("the server answered 302 Found")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x/y.png", "data:image/png;base64,AA", "S3://a/b", "smb://a/b.png"]
)
def test_other_kinds_of_address_are_refused(url):
    assert "addresses aren't read; give a path or an http(s) URL" in why(url)


def test_a_download_has_a_limit_of_bytes_announced_or_not(server, monkeypatch):
    monkeypatch.setattr(images, "MAX_URL_BYTES", 2**20)
    assert why(f"{server}/announced").endswith("is larger than the limit of 1 MB")
    assert why(f"{server}/endless").endswith("is larger than the limit of 1 MB")


@pytest.mark.parametrize("path", ["drip", "header-drip", "silent"])
def test_a_download_has_a_limit_of_time_even_at_a_byte_now_and_then(server, monkeypatch, path):
    monkeypatch.setattr(images, "MAX_URL_SECONDS", 0.3)
    before = set(threading.enumerate())
    start = time.perf_counter()
    assert "wasn't there within 0.3 seconds" in why(f"{server}/{path}")
    assert time.perf_counter() - start < 2
    for thread in set(threading.enumerate()) - before:
        if "work" in thread.name:
            thread.join(2)
            assert not thread.is_alive()


def test_what_else_a_server_does_is_said_with_the_url(server):
    assert why(f"{server}/missing").endswith("/missing: the server answered 404 Not Found")
    assert why(f"{server}/page").endswith("/page: is a web page (HTML), not a picture")
    assert why(f"{server}/empty").endswith("/empty: is empty (0 bytes)")
    assert "can't be fetched" in why(f"{server}/short")
    assert "can't be fetched" in why(f"{server}/rubbish")


def test_a_url_that_leads_nowhere_is_said():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "can't be fetched" in why(f"http://127.0.0.1:{unused.getsockname()[1]}/p.png")
    for url in ("http://", "http://[::1", "http://a b/", "https://:99999999/", "http://\x1b[0m/"):
        assert "can't be fetched" in why(url)


# --- Fitting


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
    monkeypatch.setattr(images, "_STRIP", 5000)
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
    monkeypatch.setattr(images, "_STRIP", 2**20)
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


# --- Saving


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".tiff"])
def test_a_saved_picture_opens_as_it_was(photo, tmp_path, suffix):
    save_picture(photo, tmp_path / f"p{suffix}")
    np.testing.assert_array_equal(open_picture(tmp_path / f"p{suffix}"), photo)
    assert [path.name for path in tmp_path.iterdir()] == [f"p{suffix}"]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_lose_little(photo, tmp_path, suffix):
    save_picture(photo, str(tmp_path / f"p{suffix}"))
    difference = open_picture(tmp_path / f"p{suffix}").astype(int) - photo
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("name", ["p", "p.gif", "p.txt", ".png", "p.png.exe"])
def test_another_suffix_is_wrong_usage_and_lists_those_there_are(photo, tmp_path, name):
    with pytest.raises(UsageError, match=r"\.png, \.jpg, \.jpeg, \.webp, \.bmp, \.tif, \.tiff"):
        save_picture(photo, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_new_file_has_the_permissions_of_any_other(photo, tmp_path):
    before = os.umask(0o027)
    try:
        save_picture(photo, tmp_path / "p.png")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "p.png").stat().st_mode) == 0o640


def test_a_link_goes_on_pointing_at_the_file_it_pointed_at(photo, tmp_path):
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to("real.png")
    save_picture(photo, tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    np.testing.assert_array_equal(open_picture(tmp_path / "real.png"), photo)


def why_unsaved(picture: np.ndarray, path: Path | str) -> str:
    with pytest.raises(PictureError) as caught:
        save_picture(picture, path)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_where_it_cant_be_saved_is_said_and_nothing_is_left_behind(photo, tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    assert "its folder doesn't exist" in why_unsaved(photo, tmp_path / "none" / "p.png")
    assert "is a directory" in why_unsaved(photo, tmp_path / "folder.png")
    assert "can't be written" in why_unsaved(photo, tmp_path / f"{'x' * 300}.png")
    assert "can't be written" in why_unsaved(photo, "a\0b.png")
    assert "can't be written" in why_unsaved(np.zeros((1, 70_000, 3), np.uint8), tmp_path / "p.jpg")
    assert "can't be written" in why_unsaved(np.zeros((1, 70_000, 3), np.uint8), tmp_path / "p.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Give up root's rights for a while: root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_read_only_folder_or_file_is_said(photo):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to nobody
        folder = Path(name)
        (folder / "p.png").touch(0o444)
        folder.chmod(0o555)
        with nobody():
            assert "is write-protected" in why_unsaved(photo, folder / "p.png")
            assert "can't be written (Permission denied)" in why_unsaved(photo, folder / "new.png")
        folder.chmod(0o755)


def test_a_full_disk_leaves_the_old_file_whole(photo, tmp_path):
    path = tmp_path / "p.bmp"
    save_picture(photo, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the write stops in the middle, as on a full disk
    try:
        assert "can't be written (File too large)" in why_unsaved(photo[::-1], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(open_picture(path), photo)
    assert [path.name for path in tmp_path.iterdir()] == ["p.bmp"]


def test_ctrl_c_while_saving_leaves_nothing_behind(photo, tmp_path, monkeypatch):
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_picture(photo, tmp_path / "p.png")
    assert not list(tmp_path.iterdir())


def test_a_dash_writes_a_png_to_standard_output_but_not_to_a_terminal(photo, monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stdout)
    save_picture(photo, "-")
    np.testing.assert_array_equal(open_picture(io.BytesIO(stdout.buffer.getvalue())), photo)
    controller, terminal = os.openpty()
    with open(terminal, "w") as tty:
        monkeypatch.setattr(sys, "stdout", tty)
        with pytest.raises(UsageError, match="a terminal can't show a PNG"):
            save_picture(photo, "-")
    os.close(controller)


def test_a_full_standard_output_is_said_and_a_closed_pipe_is_left_to_the_command_line(photo, monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", full)
    assert why_unsaved(photo, "-") == "standard output: can't be written (No space left on device)"
    with contextlib.suppress(OSError):
        full.close()
    reader, writer = os.pipe()
    os.close(reader)
    pipe = open(writer, "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", pipe)
    with pytest.raises(BrokenPipeError):
        save_picture(photo, "-")
    with contextlib.suppress(OSError):
        pipe.close()


# --- The module itself


def test_importing_it_loads_numpy_and_one_module_of_pillow():
    code = """if True:
        import sys, numpy, PIL.Image
        before = set(sys.modules)
        import vipcli.images
        print(*sorted(name for name in set(sys.modules) - before if name.startswith(("PIL", "httpx", "cv2", "torch"))))
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"
