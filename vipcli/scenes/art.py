"""The drawings that scenes are made of: Noto Emoji (Apache-2.0), in `vipcli/art`, and other sheets of the same form."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

__all__ = ["COLORS", "STRANGERS", "THINGS", "Art", "Sprite", "main_color", "mix", "read_art", "shipped_art", "turn_hue"]

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
"""The words for the colours of things."""


def _info(sheet: Any) -> dict[str, Any]:
    return json.loads(sheet.read_text(encoding="utf-8"))


_SHIPPED = files("vipcli") / "art"
THINGS: tuple[str, ...] = tuple(_info(_SHIPPED / "noto.json")["names"])
"""The words for the things that scenes show and the embedded model knows."""
STRANGERS: tuple[str, ...] = tuple(_info(_SHIPPED / "noto.json")["strangers"])
"""Drawings that the embedded model has no word for and never saw: of these it should say that it doesn't know."""


@dataclass(frozen=True, eq=False)
class Sprite:
    """One drawing: (side, side, 4) uint8 RGBA at full size and at each half of it; its colour's word, if it has one."""

    levels: tuple[np.ndarray, ...]
    color: str | None


@dataclass(frozen=True, eq=False)
class Art:
    """Drawings by word, each in one style or several."""

    things: Mapping[str, tuple[Sprite, ...]]
    strangers: Mapping[str, tuple[Sprite, ...]]


@functools.cache
def shipped_art() -> Art:
    """The sheet that comes with the package."""
    things, strangers = _sprites(_SHIPPED / "noto.json", _SHIPPED / "noto.png")
    return Art({name: (one,) for name, one in things.items()}, {name: (one,) for name, one in strangers.items()})


def read_art(things: list[Path], strangers: list[Path], *, shipped: bool = True) -> Art:
    """Sheets that ``examples/tiny/make_art.py`` made, named by their .json files.

    things: sheets of `THINGS` in other styles. strangers: sheets of other things. shipped: with the package's own
    drawings of `THINGS`, the first and most frequent style (its strangers are kept for judging and never among these).
    What is on several sheets has several styles. Raises `ValueError` where `things` have a word that isn't one of them.
    """
    known, others = _styles(things), _styles(strangers)
    if unknown := [name for name in known if name not in THINGS]:
        raise ValueError(f"scenes have no word {unknown[0]!r}, so what it draws belongs among the strangers")
    first = shipped_art().things if shipped else {}
    names = [name for name in THINGS if name in first or name in known]
    return Art({name: (*first.get(name, ()), *known.get(name, ())) for name in names}, others)


def _styles(sheets: list[Path]) -> dict[str, tuple[Sprite, ...]]:
    styles: dict[str, tuple[Sprite, ...]] = {}
    for file in sheets:
        for name, sprite in _sprites(file, file.with_suffix(".png"))[0].items():
            styles[name] = (*styles.get(name, ()), sprite)
    return styles


def _sprites(info_file: Any, sheet_file: Any) -> tuple[dict[str, Sprite], dict[str, Sprite]]:
    info = _info(info_file)
    side, columns = info["side"], info["columns"]
    with sheet_file.open("rb") as file:
        sheet = np.asarray(Image.open(file).convert("RGBA"))
    names = [*info["names"], *info.get("strangers", [])]
    found = {}
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        whole = np.ascontiguousarray(sheet[row * side : (row + 1) * side, column * side : (column + 1) * side])
        levels = [whole]
        while levels[-1].shape[0] > 40:
            levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        found[name] = Sprite(tuple(levels), main_color(levels[-1]))
    known = len(info["names"])
    return {name: found[name] for name in names[:known]}, {name: found[name] for name in names[known:]}


def mix(one: Sprite, other: Sprite, degrees: float) -> Sprite:
    """Half of one drawing and half of another, cut through the middle: a thing that there is no word for."""
    levels = []
    for pixels in one.levels:
        side = pixels.shape[0]
        half = cv2.resize(other.levels[0], (side, side), interpolation=cv2.INTER_AREA)
        along = np.arange(side) - (side - 1) / 2
        first = along * np.cos(np.radians(degrees)) < along[:, None] * np.sin(np.radians(degrees))
        levels.append(np.where(first[..., None], pixels, half))
    return Sprite(tuple(levels), main_color(levels[-1]))


def turn_hue(rgba: np.ndarray, degrees: float) -> np.ndarray:
    """The drawing in other colours: every hue turned, so that a red car becomes a blue one."""
    hsv = cv2.cvtColor(rgba[..., :3], cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int32) + round(degrees / 2)) % 180
    return np.dstack([cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), rgba[..., 3]])


_HUES = ((10, "red"), (20, "orange"), (34, "yellow"), (85, "green"), (125, "blue"), (155, "purple"), (170, "pink"))


def main_color(rgba: np.ndarray) -> str | None:
    """The one of `COLORS` that most people would call a drawing; None where no colour is most of it."""
    solid = rgba[rgba[..., 3] > 127][:, :3]
    if not len(solid):
        return None
    hue, saturation, value = cv2.cvtColor(solid[None], cv2.COLOR_RGB2HSV)[0].T.astype(int)
    bounds = np.array([bound for bound, _ in _HUES])
    names = np.array([COLORS.index(name) for _, name in (*_HUES, (180, "red"))])
    color = names[np.searchsorted(bounds, hue, side="right")]
    color[(hue >= 2) & (hue < 24) & (value < 185)] = COLORS.index("brown")
    color[(hue >= 8) & (hue < 24) & (saturation < 110)] = COLORS.index("brown")
    color[((hue < 16) | (hue >= 150)) & (saturation < 140) & (value > 200)] = COLORS.index("pink")
    gray = (saturation < 38) | ((saturation < 70) & (value < 110))
    color[gray] = COLORS.index("gray")
    color[gray & (value > 205)] = COLORS.index("white")
    color[value < 62] = COLORS.index("black")
    shares = np.bincount(color, minlength=len(COLORS)) / len(color)
    first, second = np.argsort(shares)[::-1][:2]
    return COLORS[first] if shares[first] >= 0.5 and shares[second] <= 0.3 else None
