"""The forward pass of a training step: from pixels and tokens to the losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vipcli.training.comparing import compare, number_turns
from vipcli.training.dense import LOOKING, Heads
from vipcli.training.looking import Words, look_up, looks_of, name_patches, wanted_of
from vipcli.training.settings import Train

__all__ = ["Learner", "Told"]


@dataclass(frozen=True, eq=False)
class Told:
    """What the model makes of the tokens that it should say: each (tokens,), in the order of the batch.

    losses: cross entropy. right: whether it would have said that token. known: (batch, length) bool, where in the batch
    these tokens are.
    """

    losses: torch.Tensor
    right: torch.Tensor
    known: torch.Tensor

    def exact(self) -> torch.Tensor:
        """For each answer whether every token of it is right: greedy decoding writes exactly these."""
        begins = self.known.clone()
        begins[:, 1:] &= ~self.known[:, :-1]
        answer = (begins.flatten().cumsum(0) - 1)[self.known.flatten()]
        wrong = torch.zeros(int(begins.sum()), device=answer.device)
        return wrong.index_add(0, answer, (~self.right).float()) == 0


class Learner(nn.Module):
    """A ViP-LLaVA with what it is asked while it learns.

    heads: of dense supervision; None without it. table: what the image processor makes of pixels, see
    `vipcli.engine.vision.lookup_table`. words: with heads, those of the tokenizer. The pass runs in the dtype of the
    model's weights; losses in float32.
    """

    def __init__(
        self, model: Any, heads: Heads | None, train: Train, table: np.ndarray, words: Words | None = None
    ) -> None:
        super().__init__()
        self._table: torch.Tensor
        self.register_buffer("_table", torch.from_numpy(table).flatten(), persistent=False)
        self.model, self.heads, self._train, self._words = model, heads, train, words
        wanted = model.config.vision_feature_layer
        self._layers = [wanted] if isinstance(wanted, int) else list(wanted)
        self._image_token = model.config.image_token_index
        self._see = torch.compile(self._seen) if train.compile else self._seen
        self._read = torch.compile(self._readings) if train.compile else self._readings
        self._tower_learns = train.stage == "vision" or (train.stage != "projector" and train.vision > 0)

    def _values(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the image processor makes of pixels, in the dtype of the model."""
        rows = torch.arange(0, 3 * 256, 256, device=pixels.device).view(1, 3, 1, 1)
        return self._table.to(self.model.dtype)[pixels + rows]

    def _seen(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        hidden = self.model.model.vision_tower(pixels, output_hidden_states=True).hidden_states
        return [hidden[layer][:, 1:] for layer in self._layers]

    def _readings(
        self,
        layers: list[torch.Tensor],
        ids: torch.Tensor,
        positions: torch.Tensor,
        segments: torch.Tensor,
        pictured: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
        embedded = self.model.get_input_embeddings()(ids)
        features = self.model.model.multi_modal_projector(torch.cat(layers, dim=-1))
        here = (ids == self._image_token) & pictured[:, None]
        number = (here.cumsum(1) - 1).clamp(0, features.shape[1] - 1).unsqueeze(-1).expand(-1, -1, features.shape[-1])
        embedded = torch.where(here.unsqueeze(-1), features.gather(1, number).to(embedded.dtype), embedded)
        # A token sees the tokens before it of the shared beginning (segment 0) and of its own conversation.
        earlier = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()
        own = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
        mask = embedded.new_zeros(own.shape).masked_fill(~(earlier & own), torch.finfo(embedded.dtype).min)
        text = self.model.model.language_model
        read = text(
            inputs_embeds=embedded,
            attention_mask=mask.unsqueeze(1),
            position_ids=positions,
            use_cache=False,
            output_hidden_states=self.heads is not None,
        )
        inner = []  # where tokens look in some layers, and what they know behind them
        if self.heads is not None:
            depth = len(text.layers)
            # The first layer puts the pieces of words together, the second finds what they are for, the third compares
            # that, where one is left behind it to answer.
            asked = [(min(1, depth - 1), len(LOOKING))]
            if depth > 3:
                asked.append((2, 1))
            for number, count in asked:
                looks = looks_of(text, number, count, read.hidden_states[number], positions, mask)
                inner.append((looks, read.hidden_states[number + 1]))
        return read.last_hidden_state, features, inner

    def told(self, batch: dict[str, Any]) -> tuple[Told | None, torch.Tensor | None, dict[str, Any]]:
        """What is made of a batch: of its tokens (None in stage ``vision``), the dense loss, and the heads' figures."""
        see, read = (self._see, self._read) if self.training else (self._seen, self._readings)
        figures: dict[str, Any] = {}
        with torch.set_grad_enabled(self._tower_learns and torch.is_grad_enabled()):
            layers = see(self._values(batch["pixels"]))
        dense = None
        if self.heads is not None:
            dense, figures = self.heads.seen(layers[0].float(), batch["patches"])
            figures["dense"] = dense.detach()
        if self._train.stage == "vision":
            return None, dense, figures
        labels = batch["labels"]
        known = labels >= 0
        ids, patches = batch["ids"], batch["patches"]
        hidden, features, inner = read(layers, ids, batch["positions"], batch["segments"], batch["pictured"])
        if self.heads is not None and dense is not None:
            assert self._words is not None
            read_loss, _ = self.heads.read(features.float(), patches)
            named_loss, figures["named"] = name_patches(features, self._vectors(), patches["thing"])
            wanted = wanted_of(ids, self._words, patches)
            looks, then = inner[0]
            looks_loss, found = look_up(looks, then.float(), self.heads, ids == self._image_token, wanted, patches)
            figures |= {"read": read_loss.detach(), **found}
            dense = dense + read_loss + named_loss + looks_loss
            if len(inner) > 1:
                looks, then = inner[1]
                turns = number_turns(known, batch["segments"])
                alike_loss, found = compare(looks[:, 0], then.float(), self.heads, turns, wanted, patches)
                figures |= found
                dense = dense + alike_loss
        logits = self.model.lm_head(hidden[known]).float()
        losses = functional.cross_entropy(logits, labels[known], reduction="none")
        return Told(losses, logits.argmax(-1) == labels[known], known), dense, figures

    def _vectors(self) -> torch.Tensor:
        """What the language model reads for the word of each thing: (things, width)."""
        assert self._words is not None
        return self.model.get_input_embeddings().weight[list(self._words.names)]

    def forward(self, batch: dict[str, Any], share: float, parts: int) -> tuple[torch.Tensor, dict[str, Any]]:
        """batch: what `vipcli.training.samples.collate` makes. Returns the loss, and figures by name.

        A step may have several batches, whose losses are added up. share: this one's of all tokens of their answers, so
        that a token counts alike in whichever batch it is. parts: how many batches there are.
        """
        told, dense, figures = self.told(batch)
        if told is None:
            assert dense is not None
            return dense / parts, figures
        # Every token alike: if each answer counted as one, the first token of a long one, which often decides between
        # it and a short one, would be chosen more seldom than it is likely.
        total = max(1, len(told.losses))
        answers = told.losses.sum() / total
        figures |= {"answers": answers.detach(), "token": told.right.sum() / total}
        loss = answers * share
        if dense is not None and self._train.dense:
            loss = loss + self._train.dense * dense / parts
        return loss, figures
