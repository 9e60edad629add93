"""Markers: shapes (values), spec (text), clip (edges), palette (colours), drawing (OpenCV), visibility (what is lost).

The names below are the room's door. They load on first use, so that a command which only needs the shapes doesn't wait
for OpenCV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.markers.clip import inside as inside
    from vipcli.markers.drawing import coverage as coverage
    from vipcli.markers.drawing import draw as draw
    from vipcli.markers.palette import TRAINED as TRAINED
    from vipcli.markers.palette import Color as Color
    from vipcli.markers.palette import assign as assign
    from vipcli.markers.shapes import KINDS as KINDS
    from vipcli.markers.shapes import Arrow as Arrow
    from vipcli.markers.shapes import Box as Box
    from vipcli.markers.shapes import Contour as Contour
    from vipcli.markers.shapes import Ellipse as Ellipse
    from vipcli.markers.shapes import Marker as Marker
    from vipcli.markers.shapes import Mask as Mask
    from vipcli.markers.shapes import Pixels as Pixels
    from vipcli.markers.shapes import Point as Point
    from vipcli.markers.shapes import Scribble as Scribble
    from vipcli.markers.shapes import Tag as Tag
    from vipcli.markers.shapes import Triangle as Triangle
    from vipcli.markers.spec import BoxFormat as BoxFormat
    from vipcli.markers.spec import Coords as Coords
    from vipcli.markers.spec import named as named
    from vipcli.markers.spec import parse as parse
    from vipcli.markers.spec import render as render
    from vipcli.markers.spec import written as written
    from vipcli.markers.visibility import warn_if_unseen as warn_if_unseen

__getattr__, __all__ = door(
    __name__,
    {
        "clip": ("inside",),
        "drawing": ("coverage", "draw"),
        "palette": ("TRAINED", "Color", "assign"),
        "shapes": (
            *("KINDS", "Arrow", "Box", "Contour", "Ellipse", "Marker", "Mask"),
            *("Pixels", "Point", "Scribble", "Tag", "Triangle"),
        ),
        "spec": ("BoxFormat", "Coords", "named", "parse", "render", "written"),
        "visibility": ("warn_if_unseen",),
    },
)
