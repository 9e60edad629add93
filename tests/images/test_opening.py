"""`vipcli.images.opening`: what opens, what is refused and how it is said, and that Pillow is left as it was."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from picture_helpers import png_header, saved, why, why_of
from PIL import Image, ImageFile
from processes import WITH_ITS_OWN_PEAK

from vipcli.images import open_picture


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


def test_a_bomb_is_refused_by_its_header_alone(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(50_000, 50_000))
    start = time.perf_counter()
    assert why(path).endswith("2,500,000,000 pixels are more than the limit of 200,000,000; make it smaller first")
    assert "200,020,000 pixels are more" in why_of(path, png_header(20_000, 10_001))
    assert time.perf_counter() - start < 1


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
    command = [*WITH_ITS_OWN_PEAK, sys.executable, "-c", code, path]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(ran.stdout) < 900  # Pillow's grey 144 MB, ours 432 MB, Python and numpy 40 MB, strips


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
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf", "the file is damaged or cut off"),
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
