"""Curves of a training: ``loss.png`` and ``accuracy.png``, by matplotlib where it is installed."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vipcli.files import write_whole

__all__ = ["can_plot", "plot"]

_LOSSES = {"loss": "training", "judged_loss": "held out", "judged_dense": "held out, dense"}
_SHARES = {
    "token": "tokens, training",
    "judged_token": "tokens, held out",
    "judged_exact": "whole answers, held out",
}
_HEADS = ("thing", "tint", "marked", "shape", "color", "ink_shape", "ink_color")


def can_plot() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def plot(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Draw the rows of a log into `folder`."""
    if any("judged_loss" in row for row in rows) or any("token" in row for row in rows):
        losses, shares = {n: t for n, t in _LOSSES.items() if n != "judged_dense"}, _SHARES
    else:  # the vision stage has no answers
        losses, shares = _LOSSES, {f"judged_{name}": name for name in _HEADS}
    _draw(rows, losses, "loss", folder / "loss.png", log=True)
    _draw(rows, shares, "share that is right", folder / "accuracy.png", log=False)


def _draw(rows: Sequence[Mapping[str, Any]], curves: Mapping[str, str], label: str, file: Path, *, log: bool) -> None:
    from matplotlib.figure import Figure  # without pyplot: no window, no state
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, text in curves.items():
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            steps, values = zip(*points, strict=True)
            is_judged = name.startswith("judged_")
            axes.plot(steps, values, label=text, linewidth=1.6 if is_judged else 1.0, marker="." if is_judged else "")
    if log:
        axes.set_yscale("log")
        for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis(ScalarFormatter())
    else:
        axes.set_ylim(0, 1.02)
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    write_whole(drawn.getbuffer(), file)
