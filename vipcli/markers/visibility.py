"""What the model can't see of a marker once the picture was fitted: each is a `VipWarning`, since the answer would be
about something that the model never saw."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from vipcli.errors import VipWarning, quote
from vipcli.images import Frame
from vipcli.markers.drawing import coverage
from vipcli.markers.shapes import Marker, describe
from vipcli.markers.spec import named

__all__ = ["warn_if_unseen"]


def warn_if_unseen(markers: Sequence[Marker], size: tuple[int, int], frame: Frame | None, patch: int) -> None:
    """Warn of markers, or of what they mark, that the model can't see, and of two that look alike.

    frame: where a picture of `size` (width, height) lies in the model's square; None where the model takes any shape,
    and all is seen. patch: side of one of the model's patches, in pixels of that square.
    """
    for marker in markers:
        problem = None if frame is None else _problem(marker, size, frame, patch)
        if problem:
            warnings.warn(f"{describe(marker)} {problem}", VipWarning, stacklevel=3)
    seen: dict[tuple, str] = {}
    for name, marker in named(markers).items():
        if marker.color is None:
            continue
        shape = (marker.kind, name if marker.kind == "tag" else "")
        # Alike to the eye, or alike in the prompt's words.
        looks = ((*shape, marker.color.rgb), (*shape, marker.color.name))
        other = next((seen[look] for look in looks if look in seen), None)
        if other is not None:
            warnings.warn(
                f"markers {quote(other)} and {quote(name)} look alike ({marker.color.name} {marker.kind}): "
                "give one another colour",
                VipWarning,
                stacklevel=3,
            )
        for look in looks:
            seen.setdefault(look, name)


def _problem(marker: Marker, size: tuple[int, int], frame: Frame, patch: int) -> str | None:
    side = frame.side
    x1, y1, x2, y2 = marker.bounds
    (left, top), (right, bottom) = frame.to_fitted(x1, y1), frame.to_fitted(x2, y2)
    x, y = frame.to_fitted(*marker.anchor)
    if not (-0.5 < x < side + 0.5 and -0.5 < y < side + 0.5):  # the anchor may lie on the very edge
        return "is cut away before the model sees the picture: use --fit pad"
    seen = _overlap(left, right, side) * _overlap(top, bottom, side)
    if seen < 0.6 and marker.kind not in ("point", "arrow", "tag"):
        return f"is cut: the model sees {100 * seen:.0f} % of what it marks; use --fit pad"
    line = marker.line_width(size) * min(frame.scale)
    if marker.kind not in ("mask", "point", "tag") and line < 0.5:
        return f"is {line:.2g} pixels thin in what the model sees: give it a greater width"
    encloses = marker.kind in ("box", "ellipse", "contour", "mask", "triangle")
    if encloses and (right - left < patch / 2 or bottom - top < patch / 2):
        return (
            f"marks {right - left:.0f} x {bottom - top:.0f} pixels of what the model sees, less than half of one of "
            f"its {patch}-pixel patches: cut the picture out around it first"
        )
    if not coverage(marker, size)[0].any():
        return "covers nothing of the picture"
    return None


def _overlap(low: float, high: float, side: int) -> float:
    """The share of low..high that lies within 0..side."""
    return max(0.0, min(high, side) - max(low, 0.0)) / (high - low) if high > low else 1.0
