"""What happens in a training, as it happens; the command decides how it looks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Event", "Finished", "Judged", "Logged", "Noted", "Saved", "Started", "Stepped", "Stopped", "as_row"]


@dataclass(frozen=True)
class Noted:
    """Something that a user may want to know, and that stops nothing."""

    sentence: str


@dataclass(frozen=True)
class Started:
    """Training begins, or goes on, at `step` of `steps`; so many of the parameters learn.

    samples: that are learnt from, by source; None: without end. held_out: those kept for judging.
    """

    step: int
    steps: int
    learning: int
    parameters: int
    device: str
    samples: tuple[int | None, ...] = ()
    held_out: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Stepped:
    """One step is done. loss: its own. left: seconds to the end, about."""

    step: int
    loss: float
    rate: float
    samples_per_second: float
    left: float


@dataclass(frozen=True)
class Logged:
    """The means since the last line of the log. seconds: of the whole training so far. left: to the end, about."""

    step: int
    seconds: float
    left: float
    rate: float
    samples_per_second: float
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """Held-out samples were asked, with the weights that would be written now: ``loss``, ``token``, ``exact``."""

    step: int
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    file: Path


@dataclass(frozen=True)
class Stopped:
    """It was asked to stop and has written a checkpoint: the same settings go on from there."""

    step: int
    file: Path


@dataclass(frozen=True)
class Finished:
    """All steps are done and the model is written. figures: the last that were judged."""

    step: int
    seconds: float
    model: Path
    figures: dict[str, float] = field(default_factory=dict)


Event = Noted | Started | Stepped | Logged | Judged | Saved | Stopped | Finished


def as_row(event: Event) -> dict[str, Any]:
    """An event as a JSON object: its kind in ``event``, its figures beside the rest."""
    row = {"event": type(event).__name__.lower(), **dataclasses.asdict(event)}
    row |= row.pop("figures", {})
    return {name: str(value) if isinstance(value, Path) else value for name, value in row.items()}
