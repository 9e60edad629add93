"""How sure a figure is: intervals from drawing the pictures again, and an exact test of two runs.

Questions about one picture are alike, so that pictures are drawn, and with each all of its questions. All figures of a
call are taken from the same draws: what is compared was drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["RESAMPLES", "SEED", "Interval", "Ratio", "bootstrap", "mcnemar", "mean_of", "numbered"]

RESAMPLES = 2000
"""How often pictures are drawn again: with another seed an end moves by some hundredths of the interval."""
SEED = 20261126
"""Of the pictures drawn: the same lines have the same intervals."""
_LEFT_OUT = 0.025  # of the draws, at either end: 95 per cent stay
_CELLS = 1 << 20  # weights held at a time: 8 MB
_DENSE = 0.2  # a figure that as many of the pictures belong to is quicker with all of them

Interval = tuple[float, float]
"""From, to."""


@dataclass(frozen=True, eq=False)
class Ratio:
    """A figure: the sum of one number over some items, divided by the sum of another.

    items: (n,) int, which ones. above, below: (n,) float. Of a mean, `below` is ones; of the share of a score that a
    marker is worth, `above` is what each question loses without it and `below` what it has to lose. within: of a mean,
    the least and the most that one item may come to.
    """

    items: np.ndarray
    above: np.ndarray
    below: np.ndarray
    within: Interval = (0.0, 1.0)

    @property
    def value(self) -> float | None:
        """The figure itself; None where nothing is below the line."""
        below = float(self.below.sum())
        return float(self.above.sum()) / below if below else None


def mean_of(values: np.ndarray, items: np.ndarray, within: Interval = (0.0, 1.0)) -> Ratio:
    """The mean of ``values[items]``. values: (all,) float; items: (n,) int; within: see `Ratio`."""
    return Ratio(items, values[items], np.ones(len(items)), within)


def numbered(names: Sequence[Hashable]) -> np.ndarray:
    """A number for each different name, by first appearance. (n,) int."""
    numbers: dict[Hashable, int] = {}
    return np.fromiter((numbers.setdefault(name, len(numbers)) for name in names), np.intp, len(names))


def bootstrap(
    ratios: Sequence[Ratio], pictures: np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[Interval | None]:
    """The 95 % interval of each figure: the percentiles of the same figure over pictures drawn again.

    pictures: (all,) int from 0, the picture of each item; see `numbered`. None where there is nothing to draw from:
    fewer than two pictures. Where every draw must give the same (all right, all wrong, two runs that differ nowhere),
    the percentiles would claim to be certain; see `_exact`, which such a mean gets instead.
    """
    counts = [len(np.unique(pictures[ratio.items])) for ratio in ratios]
    intervals = [_exact(ratio, count) for ratio, count in zip(ratios, counts, strict=True)]
    drawn = [i for i, count in enumerate(counts) if intervals[i] is None and count > 1]
    if drawn:
        sums = [_by_picture(ratios[i], pictures) for i in drawn]
        values = _resampled(sums, int(pictures.max()) + 1, resamples, seed)
        for i, own in zip(drawn, values.T, strict=True):
            if len(own := own[~np.isnan(own)]):  # a draw may have no item of a small group
                low, high = np.quantile(own, [_LEFT_OUT, 1 - _LEFT_OUT])
                intervals[i] = (float(low), float(high))
    return intervals


def _exact(ratio: Ratio, count: int) -> Interval | None:
    """The interval of a mean over `count` pictures whose items are all worth the same.

    The bound of Clopper and Pearson for n of n says how many of all pictures may be others; those may be worth anything
    in `Ratio.within`. Of all right that is their interval itself.
    """
    least, most = ratio.within
    if not count or not (ratio.below == 1).all() or np.ptp(ratio.above):
        return None
    value = float(ratio.above[0])
    if not least <= value <= most:
        return None
    others = 1 - float(_LEFT_OUT ** (1 / count))
    return value - others * (value - least), value + others * (most - value)


@dataclass(frozen=True, eq=False)
class _Sums:
    """The sums of a ratio in each picture that has any of its items. pictures: (k,) int; sums: (k, 2) float."""

    pictures: np.ndarray
    sums: np.ndarray


def _by_picture(ratio: Ratio, pictures: np.ndarray) -> _Sums:
    own, place = np.unique(pictures[ratio.items], return_inverse=True)
    return _Sums(own, np.stack([np.bincount(place, side, len(own)) for side in (ratio.above, ratio.below)], axis=1))


def _resampled(sums: Sequence[_Sums], count: int, resamples: int, seed: int) -> np.ndarray:
    """Each figure in each draw of `count` pictures out of `count`. (resamples, figures), nan where it has no item.

    Of a figure that few pictures belong to only those are looked at: of 300 small groups the whole matrix would be
    mostly zeros.
    """
    wide = [i for i, one in enumerate(sums) if len(one.pictures) >= _DENSE * count]
    whole = np.zeros((count, 2 * len(wide)))
    for column, i in enumerate(wide):
        whole[sums[i].pictures, 2 * column : 2 * column + 2] = sums[i].sums
    narrow = sorted(set(range(len(sums))) - set(wide))
    drawn = np.empty((resamples, len(sums), 2))
    for rows, weights in _weights(count, resamples, seed):
        drawn[rows, wide] = (weights @ whole).reshape(len(weights), -1, 2)
        for i in narrow:
            drawn[rows, i] = weights[:, sums[i].pictures] @ sums[i].sums
    below = drawn[..., 1]
    return np.divide(drawn[..., 0], below, out=np.full_like(below, np.nan), where=below != 0)


def _weights(count: int, resamples: int, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """How often each picture was drawn, some draws at a time: which ones, (draws, pictures) float."""
    rng = np.random.default_rng(seed)
    step = max(1, min(resamples, _CELLS // count))
    for first in range(0, resamples, step):
        rows = slice(first, min(first + step, resamples))
        weights = np.empty((rows.stop - first, count))
        for row in weights:
            row[:] = np.bincount(rng.integers(count, size=count, dtype=np.int32), minlength=count)
        yield rows, weights


def mcnemar(only_a: int, only_b: int) -> float:
    """How likely runs that are equally good differ as much or more: the exact McNemar test, two-sided.

    only_a, only_b: how many items only the one, and only the other, has right.
    """
    count, fewer = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    # Twice the lower tail of a fair coin, from its largest term down: each is the one above it times i / (n - i + 1).
    tail = term = 1.0
    for i in range(fewer, 0, -1):
        term *= i / (count - i + 1)
        tail += term
        if term < tail * 1e-18:
            break
    largest = math.lgamma(count + 1) - math.lgamma(fewer + 1) - math.lgamma(count - fewer + 1) - count * math.log(2)
    return min(1.0, 2 * tail * math.exp(largest))
