"""Masks as run lengths, held against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from markers.formats.samples import BRUSH, BRUSH_RLE, SPECKLED, SPECKLED_RLE
from pycocotools import mask as cocotools

from vipcli.errors import MarkerError, UsageError
from vipcli.markers.formats import Rle
from vipcli.markers.formats.rle import bitmap, from_polygons, from_rgba_runs, from_runs, from_tile

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_cocos_compressed_counts_are_read_as_pycocotools_wrote_them(mask):
    height, width = mask.shape
    encoded = cocotools.encode(np.asfortranarray(mask, np.uint8))
    assert (bitmap(Rle((height, width), encoded["counts"].decode()), (width, height)) == mask).all()


@settings(max_examples=150, deadline=None)
@given(MASKS.filter(lambda mask: mask.any()), st.integers(0, 3), st.integers(0, 3))
def test_a_tile_becomes_the_counts_that_pycocotools_makes_of_the_whole_picture(tile, left, top):
    whole = np.pad(tile, ((top, 2), (left, 1)))
    rle = from_tile(tile, left, top, whole.shape[::-1])
    assert rle.size == whole.shape
    expected = cocotools.encode(np.asfortranarray(whole, np.uint8))
    assert cocotools.frPyObjects({"size": list(rle.size), "counts": list(rle.counts)}, *rle.size) == expected


def test_a_mask_is_a_marker():
    marker = Rle((3, 4), (4, 2, 6)).mask((4, 3))
    assert marker.points == ((1.0, 1.0), (2.0, 3.0))


def test_a_mask_of_another_size_says_both():
    with pytest.raises(MarkerError, match="the mask is 4 x 3 pixels and the picture 3 x 4; they must be the same size"):
        Rle((3, 4), (4, 2, 6)).mask((3, 4))


@pytest.mark.parametrize("counts", [(4, 2), (4, 2, 7), (13, -1), (), "", "04", "~", "o" * 9 + "0", "0o", "🐈"])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(MarkerError, match="counts"):
        Rle((3, 4), counts).mask((4, 3))


def test_a_mask_without_a_pixel_is_no_marker():
    with pytest.raises(MarkerError, match="empty"):
        Rle((3, 4), (12,)).mask((4, 3))


def test_label_studios_brush_is_read_as_its_own_encoder_wrote_it():
    for rle, mask in ((BRUSH_RLE, BRUSH), (SPECKLED_RLE, SPECKLED)):
        assert (bitmap(from_rgba_runs(rle, (8, 6)), (8, 6)) == mask).all()


@pytest.mark.parametrize("rle", [[], [0] * 8, BRUSH_RLE[:-4], [256, *BRUSH_RLE], BRUSH_RLE[:8] + [255] * 40])
def test_a_damaged_brush_is_refused(rle):
    with pytest.raises(UsageError, match="brush"):
        from_rgba_runs(rle, (8, 6))


def test_runs_along_the_rows_of_a_tile():
    rle = from_runs((1, 3, 2), 2, 1, (3, 2), (6, 4))
    assert np.argwhere(bitmap(rle, (6, 4))).tolist() == [[1, 3], [1, 4], [2, 2]]


@pytest.mark.parametrize(
    ("runs", "tile", "said"),
    [
        ((1, 3), (3, 2), "don't add up to its 3 x 2 pixels"),
        ((-1, 7), (3, 2), "don't add up"),
        ((2,), (2, 1), "is empty"),
        ((0, 6), (6, 1), "sticks out"),
        ((0, 10**14), (10**7, 10**7), "are the limit"),
    ],
)
def test_runs_that_cannot_be_are_refused(runs, tile, said):
    with pytest.raises(UsageError, match=said):
        from_runs(runs, 4, 3, tile, (6, 4))


def test_several_polygons_become_one_mask():
    left, right = [(1, 1), (5, 1), (5, 9), (1, 9)], [(10, 1), (14, 1), (14, 9), (10, 9)]
    mask = bitmap(from_polygons([left, right], (20, 12)), (20, 12))
    assert mask[5, 3]
    assert mask[5, 12]
    assert not mask[5, 7]
    with pytest.raises(UsageError, match="are the limit"):
        from_polygons([left], (100_000, 100_000))
