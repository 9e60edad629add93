"""Colours: the nine names that ViP-LLaVA was trained on, any CSS name, ``#rrggbb``; and the automatic choice.

The nine names and values are those of `llava/visual_prompt_generator.py` in mu-cai/ViP-LLaVA.
"""

from __future__ import annotations

from collections import Counter
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
_SPARE = (
    *("white", "black", "teal", "brown", "pink", "navy", "olive", "gray", "skyblue", "darkgreen", "salmon"),
    *("chocolate", "slateblue", "plum", "tan", "springgreen", "darkslategray"),
)

_VISIBLE = 25.0  # in Lab; a colour nearer than this to what lies under it goes only where there is no other


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
        try:
            red, green, blue = (int(part) for part in value)
        except (TypeError, ValueError, OverflowError):
            red = green = blue = -1
        if not all(0 <= part <= 255 for part in (red, green, blue)):
            raise MarkerError(f"a colour needs 3 numbers from 0 to 255, got {quote(str(value))}")
        return cls(_nearest((red, green, blue)), (red, green, blue))


def assign(picture: np.ndarray, markers: Sequence[Marker]) -> tuple[Marker, ...]:
    """Give every marker without a colour one of its own.

    picture: (height, width, 3) RGB. The choice is the trained colour that stands out most from what lies under the
    marker, among those not yet used in this picture and, once all are, not yet used for the same shape; past nine
    of one shape, or where none of the nine can be seen, further CSS colours.
    """
    import numpy as np

    done = list(markers)
    plain = [index for index, marker in enumerate(markers) if marker.color is None]
    if not plain:
        return tuple(done)
    under = _lab(np.concatenate([_samples(picture, markers[index]) for index in plain])).reshape(len(plain), -1, 3)
    for index, pixels in zip(plain, under, strict=True):
        done[index] = replace(markers[index], color=_choice(done, markers[index].kind, pixels))
    return tuple(done)


def _choice(others: Sequence[Marker], kind: str, under: np.ndarray) -> Color:
    """The colour for a marker of `kind` among `others`, over pixels of the Lab colours `under` (n, 3)."""
    taken = {other.color for other in others if other.color}
    used = {color.name for color in taken}
    used_by_kind = Counter(other.color.name for other in others if other.color and other.kind == kind)
    every = (*TRAINED, *_SPARE)
    least = min(used_by_kind[name] for name in every)
    apart = _lab([color.rgb for color in taken])
    tiers = (
        [name for name in TRAINED if name not in used],
        [name for name in TRAINED if name not in used_by_kind],
        [name for name in _SPARE if name not in used_by_kind],
        [name for name in every if used_by_kind[name] == least],
    )
    for names in filter(None, tiers):
        seen, score = _contrast(names, under, apart)
        visible = [i for i, distance in enumerate(seen) if distance >= _VISIBLE]
        best = max(visible or range(len(names)), key=score.__getitem__)
        if visible:
            break
    return Color.of(names[best])


def _contrast(names: Sequence[str], under: np.ndarray, taken: np.ndarray) -> tuple[list[float], list[float]]:
    """How well each named colour stands out, against Lab colours (n, 3): its distance from the worst tenth of what is
    under the marker; and that together with its distance from the nearest colour in use."""
    import numpy as np

    colors = _lab([Color.of(name).rgb for name in names])
    seen = np.sort(_distances(colors, under), axis=1)[:, len(under) // 10]
    if not len(taken):
        return seen.tolist(), seen.tolist()
    apart = _distances(colors, taken).min(axis=1)
    return seen.tolist(), (seen.clip(max=100) + apart.clip(max=60)).tolist()


def _samples(picture: np.ndarray, marker: Marker, most: int = 64) -> np.ndarray:
    """`most` pixels along the marker's outline: (most, 3) RGB."""
    import numpy as np

    from vipcli.markers.geometry import outline

    height, width = picture.shape[:2]
    line = outline(marker)
    steps, corners = np.linspace(0, len(line) - 1, most), np.arange(len(line))
    columns, rows = (np.rint(np.interp(steps, corners, values)).astype(int) for values in line.T)
    return picture[rows.clip(0, height - 1), columns.clip(0, width - 1)]


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Between (n, 3) and (m, 3) colours in Lab: (n, m)."""
    import numpy as np

    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.sqrt(squares.clip(0))


def _lab(colors: Sequence[RGB] | np.ndarray) -> np.ndarray:
    """RGB (n, 3) in 0..255 to CIE Lab (n, 3), where distance is about what an eye sees.

    sRGB (IEC 61966-2-1) to XYZ to CIE 1976 L*a*b* under D65. Not `cv2.cvtColor`: building its tables takes 90 ms.
    """
    import numpy as np

    srgb = np.asarray(colors, float).reshape(-1, 3) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = linear @ to_xyz.T / (0.9505, 1.0, 1.089)
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _nearest(rgb: Sequence[int]) -> str:
    """The trained name whose value is nearest to `rgb`."""
    return min(TRAINED, key=lambda name: sum((a - b) ** 2 for a, b in zip(TRAINED[name], rgb, strict=True)))


def _rgb(text: str) -> RGB:
    from PIL import ImageColor

    red, green, blue = ImageColor.getrgb(text)[:3]
    return red, green, blue
