"""Where a marker's line runs: what drawing, colour choice and the visibility check all start from."""

from __future__ import annotations

import math

import numpy as np

from vipcli.markers.shapes import Box, Contour, Ellipse, Marker, Mask, Triangle

__all__ = ["outline"]


def outline(marker: Marker) -> np.ndarray:
    """The line that a marker follows, as (n, 2) float x, y; closed shapes end where they begin."""
    if isinstance(marker, Ellipse):
        x1, y1, x2, y2 = marker.bounds
        # Enough corners that the polygon stays within a tenth of a pixel, or a 3000th of the radius, of the curve.
        radius = max(x2 - x1, y2 - y1) / 2
        corners = min(128, max(16, math.ceil(math.pi / math.acos(1 - 0.1 / max(radius, 1)))))
        angle = np.linspace(0, 2 * np.pi, corners + 1)
        middle, axes = np.array([x1 + x2, y1 + y2]) / 2, np.array([x2 - x1, y2 - y1]) / 2
        return middle + axes * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if isinstance(marker, Box) or (isinstance(marker, Mask) and marker.bitmap is not None):
        x1, y1, x2, y2 = marker.bounds
        return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)], float)
    if isinstance(marker, (Triangle, Contour, Mask)):
        return np.array([*marker.points, marker.points[0]], float)
    return np.array(marker.points, float)
