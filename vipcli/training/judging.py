"""Judging on held-out samples while training: what the model would answer to questions that it never learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vipcli.training.encoding import Encoded, Encoder
from vipcli.training.learner import Learner
from vipcli.training.samples import Sample, Source, collate

__all__ = ["draw_held_out", "judge"]

_HELD_OUT = 1  # sets the seeds of judged samples apart from those of all that is learnt from


def draw_held_out(sources: Sequence[Source], encoder: Encoder, count: int, seed: int) -> list[tuple[Sample, Encoded]]:
    """`count` samples, always the same for the same seed; sources by their weight, entries in a random order.

    A source without end draws each from a seed of its own that no training uses.
    """
    if not sources:
        return []
    rng = np.random.default_rng((seed, 0, _HELD_OUT))
    share = np.array([source.weight for source in sources], float)
    drawn = []
    left: list[list[int]] = [[] for _ in sources]
    for number, which in enumerate(rng.choice(len(sources), size=count, p=share / share.sum())):
        source = sources[which]
        if source.count is not None and not left[which]:
            left[which] = rng.permutation(source.count).tolist()
        entry = number if source.count is None else left[which].pop()
        sample = source.sample(entry, np.random.default_rng((seed, number, _HELD_OUT)))
        drawn.append((sample, encoder.encode(sample.conversations, sample.picture is not None, sample.system)))
    return drawn


@torch.no_grad()
def judge(
    learner: Learner, encoder: Encoder, drawn: Sequence[tuple[Sample, Encoded]], batch: int, device: Any
) -> dict[str, tuple[float, float]]:
    """Figures by name, each as a sum and what it is to be divided by, so that several processes can add theirs up.

    ``loss`` and ``token`` are of single tokens; ``exact`` is the share of answers that are right to the last one.
    In stage ``vision`` they are those of the dense heads.
    """
    sums: dict[str, tuple[float, float]] = {}

    def add(name: str, value: Any, weight: Any) -> None:
        before = sums.get(name, (0.0, 0.0))
        sums[name] = (before[0] + float(value), before[1] + float(weight))

    learning = learner.training
    learner.eval()
    try:
        for begin in range(0, len(drawn), batch):
            some = list(drawn[begin : begin + batch])
            told, _, figures = learner.told(to_device(collate(encoder, some), device))
            for name, value in figures.items():
                add(name, value * len(some), len(some))
            if told is not None:
                exact = told.exact()
                add("loss", told.losses.sum(), len(told.losses))
                add("token", told.right.sum(), len(told.right))
                add("exact", exact.sum(), len(exact))
    finally:
        learner.train(learning)
    return sums


def to_device(value: Any, device: Any) -> Any:
    """A batch with its tensors on `device`."""
    if isinstance(value, dict):
        return {name: to_device(one, device) for name, one in value.items()}
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
