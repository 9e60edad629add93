"""Samples: a picture as the model gets it with the conversations about it; where they come from, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from vipcli.prompt import Turn
from vipcli.training.dense import Patches
from vipcli.training.encoding import Encoded, Encoder

__all__ = ["Picked", "Sample", "Samples", "Source", "collate", "plan"]


@dataclass(frozen=True, eq=False)
class Sample:
    """What is learnt in one go.

    picture: (side, side, 3) uint8, marked; None where the conversations are about none. conversations: each about the
    picture and nothing of the others; every turn has an answer. system: the text in front, None for the usual.
    patches: what lies where, if that is known.
    """

    picture: np.ndarray | None
    conversations: tuple[tuple[Turn, ...], ...]
    system: str | None = None
    patches: Patches | None = None


class Source(Protocol):
    """Where samples come from."""

    @property
    def count(self) -> int | None:
        """Of its entries; None: without end, each number is a new one."""

    @property
    def weight(self) -> float:
        """How often it has its turn."""

    def length(self, entry: int) -> int:
        """About how long a sample of `entry` is, in characters: alike ones go into one batch."""

    def sample(self, entry: int, rng: np.random.Generator) -> Sample:
        """Draw `entry` afresh: its markers come out of `rng`."""


@dataclass(frozen=True)
class Picked:
    """The `number`-th sample of a training: `entry` of the `source`-th source."""

    source: int
    entry: int
    number: int


def plan(sources: Sequence[Source], batch: int, seed: int) -> Iterator[list[Picked]]:
    """Batches without end, the same for the same seed.

    Sources take turns by their weight, each going through its entries in a new order every time. In every hundred
    batches those samples come together that are alike in length.
    """
    rng = np.random.default_rng((seed, 7))
    share = np.array([source.weight for source in sources], float)
    orders: list[list[int]] = [[] for _ in sources]
    fixed = all(source.count is None for source in sources)
    number = 0
    while True:
        pool = []
        for which in rng.choice(len(sources), size=batch * (1 if fixed else 100), p=share / share.sum()):
            count = sources[which].count
            if count is None:
                entry = number
            else:
                if not orders[which]:
                    orders[which] = rng.permutation(count).tolist()
                entry = orders[which].pop()
            pool.append(Picked(int(which), entry, number))
            number += 1
        pool.sort(key=lambda one: sources[one.source].length(one.entry))
        batches = [pool[i : i + batch] for i in range(0, len(pool), batch)]
        yield from (batches[i] for i in rng.permutation(len(batches)))


class Samples(Dataset):
    """Drawn and encoded samples by what is `Picked`: the same on every machine and after every restart."""

    def __init__(self, sources: Sequence[Source], encoder: Encoder, seed: int) -> None:
        self._sources, self._encoder, self._seed = sources, encoder, seed

    def __getitem__(self, picked: Picked) -> tuple[Sample, Encoded]:
        rng = np.random.default_rng((self._seed, picked.number))
        sample = self._sources[picked.source].sample(picked.entry, rng)
        return sample, self._encoder.encode(sample.conversations, sample.picture is not None, sample.system)


def collate(encoder: Encoder, drawn: list[tuple[Sample, Encoded]], *, fixed: bool = False) -> dict[str, Any]:
    """A batch of tensors.

    pixels: (batch, 3, side, side) uint8, a quarter of what floats would have to travel; pictured: (batch,) bool, False
    where there is no picture. ids, labels, positions, segments: (batch, length), see `Encoded`; padded to the next 32,
    or, `fixed`, always to the encoder's limit, which compiled code wants. patches: by name, or None. cut: (batch,)
    bool, see `Encoded`.
    """
    longest = max(len(one.ids) for _, one in drawn)
    length = encoder.limit if fixed else min(encoder.limit, -(-longest // 32) * 32)
    side = encoder.side
    blank = np.zeros((side, side, 3), np.uint8)
    pictures = [blank if sample.picture is None else sample.picture for sample, _ in drawn]
    labelled = [sample.patches for sample, _ in drawn if sample.patches is not None]

    def padded(name: str, fill: float, dtype: torch.dtype) -> torch.Tensor:
        whole = torch.full((len(drawn), length), fill, dtype=dtype)
        for row, (_, one) in zip(whole, drawn, strict=True):
            values = getattr(one, name)
            row[: len(values)] = torch.tensor(values, dtype=dtype)
        return whole

    return {
        "pixels": torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy()),
        "pictured": torch.tensor([sample.picture is not None for sample, _ in drawn]),
        "ids": padded("ids", encoder.padding, torch.long),
        "labels": padded("labels", -100, torch.long),
        "positions": padded("positions", 0, torch.long),
        "segments": padded("segments", 0, torch.long),
        "patches": Patches.stack(labelled) if len(labelled) == len(drawn) else None,
        "cut": torch.tensor([one.cut for _, one in drawn]),
    }
