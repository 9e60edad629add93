"""Colours: the nine names that ViP-LLaVA was trained on, any CSS name, ``#rrggbb``; and the automatic choice.

The nine names and values are those of `llava/visual_prompt_generator.py` in mu-cai/ViP-LLaVA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vipcli.errors import MarkerError, quote

if TYPE_CHECKING:
    import numpy as np

    from vipcli.markers.shapes import Marker

__all__ = ["TRAINED", "Color", "assign"]

RGB = tuple[int, int, int]

TRAINED: dict[str, RGB] = {
    "red": (255, 0, 0),
    "lime": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "fuchsia": (255, 0, 255),
    "aqua": (0, 255, 255),
    "orange": (255, 165, 0),
    "purple": (128, 0, 128),
    "gold": (255, 215, 0),
}
"""The names that the model knows, with their values."""

# Once one shape has used all nine: CSS colours far from them and from each other.
_SPARE = ("white", "black", "teal", "brown", "pink", "navy", "olive", "gray", "skyblue", "darkgreen", "salmon")


@dataclass(frozen=True)
class Color:
    """A colour: the `name` that a prompt uses for it, and its `rgb` in 0..255."""

    name: str
    rgb: RGB

    @classmethod
    def of(cls, value: str | Sequence[int] | Color) -> Color:
        """Read a trained or CSS name, ``#rgb``, ``#rrggbb`` or an RGB triple.

        A colour without a name takes that of the nearest trained one, since the prompt must call it something.
        """
        if isinstance(value, Color):
            return value
        if isinstance(value, str):
            text = value.strip().lower()
            if text in TRAINED:
                return cls(text, TRAINED[text])
            from PIL import ImageColor

            if text in ImageColor.colormap:
                return cls(text, _rgb(text))
            if text.startswith("#") and len(text) in (4, 7):
                try:
                    rgb = _rgb(text)
                except ValueError:
                    pass
                else:
                    return cls(_nearest(rgb), rgb)
            raise MarkerError(
                f"{quote(value)!r} is no colour: use one of {', '.join(TRAINED)}, a CSS colour name or #rrggbb"
            )
        triple = tuple(int(part) for part in value)
        if len(triple) != 3 or not all(0 <= part <= 255 for part in triple):
            raise MarkerError(f"a colour needs 3 numbers from 0 to 255, got {list(value)}")
        return cls(_nearest(triple), triple)


def assign(picture: np.ndarray, markers: Sequence[Marker]) -> tuple[Marker, ...]:
    """Give every marker without a colour one of its own.

    picture: (height, width, 3) RGB. The choice is the trained colour that stands out most from what lies under the
    marker, among those not yet used in this picture and, once all are, not yet used for the same shape; past nine
    of one shape, further CSS colours.
    """
    done: list[Marker] = list(markers)
    for index, marker in enumerate(markers):
        if marker.color is not None:
            continue
        colored = [other for other in done if other.color is not None]
        used = {other.color.name for other in colored if other.color}
        used_by_kind = {other.color.name for other in colored if other.color and other.kind == marker.kind}
        candidates = (
            [name for name in TRAINED if name not in used]
            or [name for name in TRAINED if name not in used_by_kind]
            or [name for name in _SPARE if name not in used_by_kind]
            or list(TRAINED)
        )
        under = _lab(_samples(picture, marker))
        taken = _lab([other.color.rgb for other in colored if other.color])
        colors = [Color.of(name) for name in candidates]
        best = int(_contrast(_lab([color.rgb for color in colors]), under, taken).argmax())
        done[index] = replace(marker, color=colors[best])
    return tuple(done)


def _contrast(colors: np.ndarray, under: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """How well each of `colors` stands out, all in Lab (n, 3): distance from the worst tenth of what is under the
    marker, and from the nearest colour in use."""
    import numpy as np

    seen = np.sort(np.linalg.norm(colors[:, None] - under, axis=2), axis=1)[:, len(under) // 10]
    if not len(taken):
        return seen
    apart = np.linalg.norm(colors[:, None] - taken, axis=2).min(axis=1)
    return np.minimum(seen, 100.0) + np.minimum(apart, 60.0)


def _samples(picture: np.ndarray, marker: Marker, most: int = 64) -> np.ndarray:
    """Up to `most` pixels along the marker's outline: (n, 3) RGB."""
    import numpy as np

    from vipcli.markers.geometry import outline

    height, width = picture.shape[:2]
    line = outline(marker)
    steps = np.linspace(0, len(line) - 1, most)
    low = np.floor(steps).astype(int)
    high = np.minimum(low + 1, len(line) - 1)
    spots = line[low] + (line[high] - line[low]) * (steps - low)[:, None]
    columns = np.clip(np.rint(spots[:, 0]), 0, width - 1).astype(int)
    rows = np.clip(np.rint(spots[:, 1]), 0, height - 1).astype(int)
    return picture[rows, columns]


def _lab(colors: Sequence[RGB] | np.ndarray) -> np.ndarray:
    """RGB (n, 3) in 0..255 to CIE Lab (n, 3), where distance is about what an eye sees."""
    import cv2
    import numpy as np

    if len(colors) == 0:
        return np.zeros((0, 3), np.float32)
    return cv2.cvtColor(np.asarray([colors], np.float32) / 255, cv2.COLOR_RGB2Lab)[0]


def _nearest(rgb: Sequence[int]) -> str:
    """The trained name whose value is nearest to `rgb`."""
    return min(TRAINED, key=lambda name: sum((a - b) ** 2 for a, b in zip(TRAINED[name], rgb, strict=True)))


def _rgb(text: str) -> RGB:
    from PIL import ImageColor

    red, green, blue = ImageColor.getrgb(text)[:3]
    return red, green, blue
