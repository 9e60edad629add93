"""What a text model has read of many prompts at a time: a row of memory each, as long as each has grown.

A prompt is read as if it were alone, and a step reads one token of every row: the weights, which are what a step takes
its time for, come from memory once for all rows. Nothing is padded: the rows' tokens go through the layers side by
side, and only where they look back does each keep to its own row.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional

from vipcli.engine.llama import LlamaText

__all__ = ["Slots"]

_TOGETHER = 1024  # tokens of prompts that a CPU reads together


class Slots:
    """The rows, ``0 .. len(lengths) - 1``.

    lengths: how many tokens each has read. keys, values: of each layer, (rows, key-value heads, capacity, head width).
    """

    def __init__(self, text: LlamaText) -> None:
        self._text = text
        self.lengths: list[int] = []
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._room = 0, 0  # rows and tokens

    @staticmethod
    def bytes_per_token(text: LlamaText) -> int:
        """What a token of a row takes."""
        return 2 * text.layers * text.kv_heads * text.width * text.kept.itemsize

    def begin(self, prompts: list[torch.Tensor]) -> torch.Tensor:
        """Read prompts into new rows behind the others; (tokens, width) each. Returns logits, (prompts, vocabulary).

        Where memory runs out nothing has changed.
        """
        self._reserve(len(self.lengths) + len(prompts), max(map(len, prompts)))
        before = len(self.lengths)
        try:
            return torch.cat([self._begin(some) for some in _portions(prompts, self._text.device.type)])
        except BaseException:
            del self.lengths[before:]
            raise

    def _begin(self, prompts: list[torch.Tensor]) -> torch.Tensor:
        counts = [len(prompt) for prompt in prompts]
        first = len(self.lengths)
        ends = torch.tensor(counts).cumsum(0).tolist()

        def attend(layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            found = []
            kept = self._text.kept
            many, keys, values = queries.to(kept), keys.to(kept), values.to(kept)
            for row, (end, count) in enumerate(zip(ends, counts, strict=True), first):
                own = slice(end - count, end)
                self._keys[layer][row, :, :count] = keys[0, :, own]
                self._values[layer][row, :, :count] = values[0, :, own]
                found.append(
                    functional.scaled_dot_product_attention(
                        many[:, :, own],
                        keys[:, :, own],
                        values[:, :, own],
                        is_causal=count > 1,
                        enable_gqa=self._text.grouped,
                    )
                )
            return torch.cat(found, dim=2).to(queries.dtype)

        positions = torch.cat([torch.arange(count, device=self._text.device) for count in counts])
        logits = self._text.through(torch.cat(prompts)[None], positions, attend, [end - 1 for end in ends])
        self.lengths += counts
        return logits

    def step(self, ids: list[int]) -> torch.Tensor:
        """Read one more token of every row. Returns logits, (rows, vocabulary).

        Where memory runs out nothing has changed.
        """
        rows, longest = len(ids), max(self.lengths) + 1
        self._reserve(rows, longest)
        device = self._text.device
        at = torch.tensor(self.lengths, device=device)
        every = torch.arange(rows, device=device)
        # (rows, 1, 1, longest): a row sees what it has read, this token included.
        mask = (torch.arange(longest, device=device) <= at[:, None])[:, None, None]
        hidden = torch.zeros(mask.shape, dtype=self._text.kept, device=device).masked_fill_(~mask, -torch.inf)

        def attend(layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            all_keys, all_values = self._keys[layer], self._values[layer]
            all_keys[every, :, at] = keys[0].transpose(0, 1).to(self._text.kept)
            all_values[every, :, at] = values[0].transpose(0, 1).to(self._text.kept)
            found = functional.scaled_dot_product_attention(
                queries.permute(2, 1, 0, 3).to(self._text.kept),  # (rows, heads, 1, head width)
                all_keys[:rows, :, :longest],
                all_values[:rows, :, :longest],
                attn_mask=hidden,
                enable_gqa=self._text.grouped,
            )
            return found.permute(2, 1, 0, 3).to(queries.dtype)  # (1, heads, rows, head width)

        embedded = self._text.embed(torch.tensor([ids], device=device))
        logits = self._text.through(embedded, at, attend, slice(None))
        self.lengths = [length + 1 for length in self.lengths]
        return logits

    def drop(self, row: int, *, wipe: bool = False) -> None:
        """Give up a row; the last one takes its place. wipe: its numbers overflowed, and nobody may meet them again."""
        if wipe:
            for kept in (*self._keys, *self._values):
                kept[row] = 0
        last = len(self.lengths) - 1
        if row != last:
            count = self.lengths[last]
            for kept in (*self._keys, *self._values):
                kept[row, :, :count] = kept[last, :, :count]
            self.lengths[row] = count
        del self.lengths[last]

    def _reserve(self, rows: int, tokens: int) -> None:
        """Make room for `rows` rows of `tokens` tokens. Interrupted, what was read is still there."""
        if rows <= self._room[0] and tokens <= self._room[1]:
            return
        wanted = max(rows, self._room[0]), max(self._text.room(tokens), self._room[1])
        filled, longest = len(self.lengths), max(self.lengths, default=0)
        for kept in (self._keys, self._values):
            for layer in range(self._text.layers):
                # Zeros, not whatever lies there: nothing times a number that isn't one is not nothing.
                new = torch.zeros(
                    wanted[0], self._text.kv_heads, wanted[1], self._text.width,
                    dtype=self._text.kept, device=self._text.device,
                )  # fmt: skip
                if layer < len(kept):
                    new[:filled, :, :longest] = kept[layer][:filled, :, :longest]
                    kept[layer] = new
                else:
                    kept.append(new)
        self._room = wanted


def _portions(prompts: list[torch.Tensor], device: str) -> Iterator[list[torch.Tensor]]:
    """The prompts that go through the layers together: all of them, and on a CPU, whose cache they must fit, a few."""
    some: list[torch.Tensor] = []
    for prompt in prompts:
        if some and device == "cpu" and sum(map(len, some)) + len(prompt) > _TOGETHER:
            yield some
            some = []
        some.append(prompt)
    yield some
