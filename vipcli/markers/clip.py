"""Markers against the edges of the picture: wholly outside is an error, partly outside is clipped with a warning."""

from __future__ import annotations

import warnings
from dataclasses import replace

from vipcli.errors import MarkerError, VipWarning
from vipcli.markers.shapes import Arrow, Box, Marker, Mask, Point, Scribble, Tag, describe

__all__ = ["inside"]


def inside(marker: Marker, size: tuple[int, int]) -> Marker:
    """Return `marker` as it lies on a picture of `size` (width, height); a box is cut at the edges.

    Raises `MarkerError` where it lies outside, and warns where it does partly. An arrow's tip, a point and a tag
    must be inside, since they are all that such a marker says.
    """
    width, height = size
    x1, y1, x2, y2 = marker.bounds
    if isinstance(marker, Mask) and marker.bitmap is not None and marker.bitmap.shape != (height, width):
        rows, columns = marker.bitmap.shape
        raise MarkerError(
            f"the mask is {columns} x {rows} pixels and the picture {width} x {height}; they must be the same size"
        )
    if isinstance(marker, (Arrow, Point, Tag)):
        x, y = marker.anchor
        lost = not (0 <= x <= width and 0 <= y <= height)
    elif isinstance(marker, Scribble):  # a line may run along the very edge
        lost = x2 < 0 or y2 < 0 or x1 > width or y1 > height
    else:
        lost = x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height
    if lost:
        what = "its tip" if isinstance(marker, Arrow) else "it"
        raise MarkerError(f"{what} lies outside the picture, which is {width} x {height} pixels")
    if x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height:
        return marker
    warnings.warn(
        f"{describe(marker)} lies partly outside the picture ({width} x {height} pixels) and is clipped",
        VipWarning,
        stacklevel=3,
    )
    if isinstance(marker, Box):
        return replace(marker, x1=max(0.0, x1), y1=max(0.0, y1), x2=min(width, x2), y2=min(height, y2))
    return marker
