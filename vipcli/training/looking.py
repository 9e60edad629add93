"""What words of a question should look at: image tokens near the words for them, attention on what the words name.

Like dense supervision it is for synthetic scenes, of which every patch is known, and isn't part of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from vipcli.scenes import SHAPES, THINGS
from vipcli.scenes.referring import KIND_WORDS
from vipcli.scenes.words import plural
from vipcli.training.dense import INKS, LOOKING, TOLD, Heads

__all__ = ["NEVER", "Wanted", "Words", "look_up", "looks_of", "name_patches", "one_thing", "wanted_of"]


def name_patches(features: torch.Tensor, words: torch.Tensor, thing: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the image tokens of things are from the words for them, and the share that is nearest to the right one.

    features: (batch, patches, width), as the language model reads them. words: (things, width), as it reads those.
    thing: (batch, patches), see `Patches`. A word then finds its thing in the picture by likeness.
    """
    known = (thing >= 0) & (thing < len(words))
    near = functional.normalize(features[known].float(), dim=-1) @ functional.normalize(words.float(), dim=-1).T
    loss = functional.cross_entropy(_SHARPNESS * near, thing[known], reduction="sum") / known.sum().clamp(min=1)
    return loss, (near.argmax(-1) == thing[known]).float().mean().nan_to_num().detach()


_SHARPNESS = 16.0  # of likenesses from -1 to 1: enough to single out one of 128 words


@dataclass(frozen=True, eq=False)
class Words:
    """What tokens are words for: (vocabulary,) each, -1 for none; of a word of several pieces the last one counts.

    thing, color, shape: a number as in `Patches`. names: the token of each thing's own word, in order. long: those of
    the two words of ``mask contour``.
    """

    thing: torch.Tensor
    color: torch.Tensor
    shape: torch.Tensor
    names: tuple[int, ...]
    long: tuple[int, int]

    @classmethod
    def of(cls, token: Callable[[str], int], size: int) -> Words:
        """Of a tokenizer with `size` tokens; token: gives a word's last one."""

        def table(words: Iterable[tuple[str, int]]) -> torch.Tensor:
            made = torch.full((size,), -1)
            for word, number in words:
                made[token(word)] = number
            return made

        return cls(
            thing=table((form(name), i) for form in (str, plural) for i, name in enumerate(THINGS)),
            color=table((name, i) for i, name in enumerate(INKS)),
            shape=table((word.split()[-1], i) for i, kind in enumerate(SHAPES) for word in KIND_WORDS[kind.kind]),
            names=tuple(map(token, THINGS)),
            long=(token("mask"), token("contour")),
        )


def looks_of(
    text: Any, number: int, count: int, hidden: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Where the first `count` heads of a Llama's layer look: log-probabilities (batch, heads, length, length), float32.

    hidden: (batch, length, width), what goes into the layer. mask: (batch, length, length), added to what is found.
    """
    layer = text.layers[number]
    attention, width = layer.self_attn, layer.self_attn.head_dim
    hidden = layer.input_layernorm(hidden)
    cos, sin = (angles.unsqueeze(1) for angles in text.rotary_emb(hidden, positions))
    turned = []
    for projection, step in ((attention.q_proj, attention.num_key_value_groups), (attention.k_proj, 1)):
        heads = projection(hidden).unflatten(-1, (-1, width))[:, :, ::step]  # of each group of queries the first
        x = heads[:, :, :count].transpose(1, 2)
        turned.append(x * cos + torch.cat((-x[..., width // 2 :], x[..., : width // 2]), dim=-1) * sin)
    scores = turned[0] @ turned[1].transpose(2, 3) / width**0.5 + mask.unsqueeze(1)
    return scores.float().log_softmax(-1)


Wanted = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
NEVER = -1e4
"""A log-probability that takes no part in a sum of others."""


def wanted_of(ids: torch.Tensor, words: Words, patches: Mapping[str, torch.Tensor]) -> Wanted:
    """What tokens should find, for each of `LOOKING`: whether one is to look at all, (batch, length), and which patches
    it is then for, (batch, length, patches); of a word for what isn't in the picture none."""
    thing, color, shape = (patches[name][:, None] for name in LOOKING)
    its_thing, its_color, its_shape = (table.to(ids.device)[ids] for table in (words.thing, words.color, words.shape))
    mask, contour = words.long
    is_long = (ids == contour) & (_before(ids, 1) == mask)
    its_shape = its_shape.masked_fill(functional.pad(is_long, (0, 1))[:, 1:], -1)  # not of the first of its two words
    color_before = torch.where(is_long, _before(its_color, 2), _before(its_color, 1))[..., None]
    return {
        "thing": (its_thing >= 0, thing == its_thing[..., None]),
        "color": (its_color >= 0, color == its_color[..., None]),
        "shape": (
            its_shape >= 0,
            (shape == its_shape[..., None]) & ((color_before < 0) | (color == color_before)),
        ),
    }


def one_thing(same: torch.Tensor, extents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean extent of the patches that words are for, (words, 5), and whether these are of a single thing.

    same: (words, patches), which ones they are. extents: (words, patches, 5), see `Patches`.
    """
    share = same.float().unsqueeze(-1) / same.sum(1).clamp(min=1)[:, None, None]
    middle = (extents * share).sum(1)
    spread = ((extents - middle[:, None])[..., :4].abs() * share).sum((1, 2))
    return middle, same.any(1) & (spread < 0.01)


def look_up(
    looks: torch.Tensor,
    hidden: torch.Tensor,
    heads: Heads,
    here: torch.Tensor,
    wanted: Wanted,
    patches: Mapping[str, torch.Tensor],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """How far words are from looking at what they are for and from knowing it, and how many look there.

    A thing's word looks for the thing, a colour for what is marked in it, a marker's kind for what is marked by such a
    one, of the colour before it if there is one; a word for what isn't in the picture looks at none of it. One that
    has found a single thing says then how far it reaches, and which thing it is or what marks it. Answers alone teach
    that very slowly: after 8,000 steps without this, ``Is there a cat?`` was answered by chance.

    looks: (batch, heads, length, length) log-probabilities, where tokens look, one head for each of `LOOKING` if there
    are so many. hidden: (batch, length, width), what they know then. here: (batch, length), which ones are the
    picture's, as many in each row as it has patches. wanted: see `wanted_of`. patches: see `Patches`.
    """
    columns = here.nonzero()[:, 1].view(len(here), -1)
    extents = patches["extent"].nan_to_num()
    loss = looks.new_zeros(())
    right = {}
    for head, (name, (asked, same)) in enumerate(islice(wanted.items(), looks.shape[1])):
        row, place = asked.nonzero(as_tuple=True)
        its_looks, its_same = looks[row, head, place], same[asked]  # (words, length), (words, patches)
        there = its_looks.gather(1, columns[row]).masked_fill(~its_same, NEVER).logsumexp(1)
        outside = its_looks.masked_fill(here[row], NEVER).logsumexp(1)
        probability = torch.where(its_same.any(1), there, outside)
        loss = loss - probability.sum() / asked.sum().clamp(min=1)
        middle, single = one_thing(its_same, extents[row])
        known = hidden[asked][single]
        far = (heads.found[name](known) - middle[single]).abs().sum(0) / single.sum().clamp(min=1)
        loss = loss + far[:4].sum() + 2 * far[4]  # sizes must be righter than places, see `Heads`' `forward`
        right[f"box_{name}"], right[f"size_{name}"] = far[:4].mean().detach(), far[4].detach()
        spot = its_same[single].float().argmax(1, keepdim=True)  # one of its patches
        for what, head_of in cast("nn.ModuleDict", heads.tells[name]).items():
            labels = patches[what][row][single].gather(1, spot)[:, 0]
            labels = torch.where(labels < 0, TOLD[what] - 1, labels)
            says = head_of(known)
            loss = loss + functional.cross_entropy(says, labels, reduction="sum") / single.sum().clamp(min=1)
            right[f"{name}_tells_{what}"] = (says.argmax(-1) == labels).float().mean().nan_to_num().detach()
        right[f"found_{name}"] = (probability.exp() > 0.5).float().mean().nan_to_num().detach()
    return loss, right


def _before(values: torch.Tensor, steps: int) -> torch.Tensor:
    """What stands so many tokens earlier, -1 where that is nothing; (batch, length)."""
    return functional.pad(values, (steps, 0), value=-1)[:, : values.shape[1]]
