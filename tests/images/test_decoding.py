"""`vipcli.images.decoding`: orientation, modes, bits, and the limits of pixels."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from picture_helpers import png_header, saved, why, why_of
from PIL import Image, ImageOps

from vipcli.images import decoding, open_mask, open_picture


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


def test_a_16_bit_mask_may_have_small_numbers():
    for most in (1, 255, 65535):
        values = np.zeros((10, 10), np.uint16)
        values[2:5, 3:9] = most
        mask, is_one = open_mask(saved(Image.fromarray(values), "PNG"))
        assert is_one
        np.testing.assert_array_equal(mask, values > 0)


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


def test_a_picture_taller_than_one_strip_is_converted_without_a_seam(monkeypatch, photo):
    monkeypatch.setattr(decoding, "_STRIP", 50)  # two rows
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = open_picture(saved(Image.fromarray(photo), exif=exif))
    np.testing.assert_array_equal(picture, np.rot90(photo, -1))
    ramp = np.arange(384, dtype=np.int32).reshape(16, 24)
    np.testing.assert_array_equal(open_picture(ramp * 100)[:, :, 0], ramp * 100 >> 8)


def test_formats_that_pillow_decodes_in_python_have_a_lower_limit(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS_SLOW", 100)
    sentence = why(saved(Image.new("RGB", (20, 20)), "DDS"))
    assert "20 x 20 pixels are more than the limit of 100" in sentence


def test_an_icon_whose_picture_is_larger_than_it_says_is_refused():
    inner = png_header(30_000, 30_000)
    directory = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22)
    assert "more than the limit of 200,000,000" in why(io.BytesIO(directory + inner))


def test_pictures_without_pixels_are_refused(tmp_path):
    for data in (png_header(0, 5), b"GIF89a" + bytes(20), b"P6 0 5 255\n"):
        assert why_of(tmp_path / "p", data)
    assert why(Image.new("RGB", (0, 5))) == "the picture: has no pixels (0 x 5)"


def test_a_tiff_whose_strips_dont_make_up_its_size_isnt_filled_with_black():
    data = bytearray(saved(Image.new("RGB", (24, 20), "red"), "TIFF").getvalue())
    height = data.index(struct.pack("<HHII", 257, 4, 1, 20))  # the tag ImageLength
    data[height : height + 12] = struct.pack("<HHII", 257, 4, 1, 5_000_000)
    assert "its parts don't make up 24 x 5000000 pixels" in why(io.BytesIO(data))
