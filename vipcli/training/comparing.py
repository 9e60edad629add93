"""Comparing: what a word that has found a thing should know of those that were named before it in the same turn.

Answers alone teach a small language model that badly. `tiny` 9 compared 32 of 400 pairs wrongly, though for each of
these what it said of both things, asked of them one by one, gave the right answer: what it lacked was the comparing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from vipcli.scenes import THINGS
from vipcli.training.dense import Heads
from vipcli.training.looking import NEVER, Wanted, one_thing

__all__ = ["compare", "number_turns"]


def compare(
    looks: torch.Tensor,
    hidden: torch.Tensor,
    heads: Heads,
    turns: torch.Tensor,
    wanted: Wanted,
    patches: Mapping[str, torch.Tensor],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """How far words are from knowing whether their thing is like one that was named before it in the same turn.

    Of what two markers mark: where that is of the same kind, a head looks at the word for the other; where it is of
    another kind, anywhere else; and the word says behind it which of both. Of whatever is named: it says whether one
    has its colour. Yes and no weigh alike, since most are a no.

    looks: (batch, length, length) log-probabilities, where tokens look. hidden: (batch, length, width), what they know
    then. turns: (batch, length), see `number_turns`. wanted: see `vipcli.training.looking.wanted_of`. patches: see
    `Patches`.
    """
    spot = _spots(wanted, patches)
    thing, tint = (_at(patches[name], spot) for name in ("thing", "tint"))
    # A thing goes by its own word only where there is no other of its kind: that alone would say no.
    is_marked = (thing >= 0) & (thing < len(THINGS)) & ~wanted["thing"][0]
    earlier = torch.ones(turns.shape[1], turns.shape[1], dtype=torch.bool, device=turns.device).tril(-1)
    now = turns[:, :, None] == turns[:, None]
    others = earlier & now & (spot[:, :, None] != spot[:, None])
    pairs = is_marked[:, :, None] & is_marked[:, None]
    kinds = others & pairs
    tints = others & (tint >= 0)[:, :, None] & (tint >= 0)[:, None]
    same_kind, same_tint = (
        some & (what[:, :, None] == what[:, None]) for some, what in ((kinds, thing), (tints, tint))
    )
    asked, truth = (
        torch.stack([one.any(2), other.any(2)], dim=-1) for one, other in ((kinds, tints), (same_kind, same_tint))
    )
    row, place = asked[..., 0].nonzero(as_tuple=True)
    is_same = truth[row, place, 0]
    # What stands in earlier turns counts neither way: it is looked at or not.
    mine = looks[row, place].masked_fill((pairs & ~now)[row, place], NEVER)  # (words, length)
    there = mine.masked_fill(~same_kind[row, place], NEVER).logsumexp(1)
    elsewhere = mine.masked_fill(kinds[row, place], NEVER).logsumexp(1)
    loss = _balanced(mine.logsumexp(1) - torch.where(is_same, there, elsewhere), is_same)
    right = {}
    told = heads.alike(hidden)
    for i, name in enumerate(("alike_kind", "alike_tint")):
        says, its = told[..., i][asked[..., i]], truth[..., i][asked[..., i]]
        loss = loss + _balanced(functional.binary_cross_entropy_with_logits(says, its.float(), reduction="none"), its)
        right[name] = _balanced(((says > 0) == its).float(), its)
    return loss, right


def _balanced(losses: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The mean of two means, of those that are true and of the others; of one where there are no others; else 0."""
    halves = (truth, ~truth)
    means = torch.stack([(losses * its).sum() / its.sum().clamp(min=1) for its in halves])
    return means.sum() / torch.stack([its.any() for its in halves]).sum().clamp(min=1)


def _spots(wanted: Wanted, patches: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The last patch of the one thing that each token finds, -1 where that is none or several: (batch, length)."""
    extents = patches["extent"].nan_to_num()
    numbers = torch.arange(extents.shape[1], device=extents.device)
    spots = torch.full(wanted["thing"][0].shape, -1, device=extents.device)
    for asked, same in wanted.values():
        row, place = asked.nonzero(as_tuple=True)
        its = same[asked]
        _, single = one_thing(its, extents[row])
        spots[row[single], place[single]] = (its[single] * numbers).amax(1)
    return spots


def _at(values: torch.Tensor, spots: torch.Tensor) -> torch.Tensor:
    """What lies on these patches, -1 where there is none."""
    return torch.where(spots >= 0, values.gather(1, spots.clamp(min=0)), -1)


def number_turns(known: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
    """A number for each turn of each conversation, up to the end of its answer; (batch, length).

    known: (batch, length), the tokens of answers. segments: see `vipcli.training.encoding.Encoded`.
    """
    ends = known & ~functional.pad(known, (0, 1))[:, 1:]
    return (ends.cumsum(1) - ends.long()) * (segments.amax() + 1) + segments
