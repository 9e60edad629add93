"""A Llama or Mistral text model as plain functions over a memory of its own: read tokens, get logits.

The same numbers as transformers' own forward pass, without what that does beside them for every token: on the embedded
model a token takes a third of ``generate``'s time. What has been read is kept (`Memory`), so that a prompt that begins
as the last one did is read from where it differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from vipcli.engine.devices import free_memory

if TYPE_CHECKING:
    from vipcli.engine.recording import Step

__all__ = ["Attend", "LlamaText", "Memory", "fuse"]

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(layer, queries, keys, values) of the same tokens, each (1, heads, tokens, head width) -> what the queries found."""

_BLOCK = 256  # tokens by which a memory grows, so that the answer loop never moves it
_FUSED_BELOW = 64_000_000  # bytes of weights up to which calls cost more than their arithmetic


@dataclass
class Memory:
    """What a text model has read.

    ids: token ids, in order. picture: what the image tokens among them stand for (a digest), None without any.
    keys, values: of each layer, (1, key-value heads, capacity, head width); filled up to ``len(ids)``. step: what reads
    a token behind it, where that is recorded.
    """

    ids: list[int] = field(default_factory=list)
    picture: bytes | None = None
    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)
    step: Step | None = None

    def common(self, ids: list[int], picture: bytes | None, image_token: int) -> int:
        """How many tokens of a prompt have been read already; of another picture none from the first image token on."""
        same = next((n for n, (one, other) in enumerate(zip(self.ids, ids, strict=False)) if one != other), None)
        count = min(len(self.ids), len(ids)) if same is None else same
        if picture != self.picture and image_token in ids[:count]:
            return ids.index(image_token)
        return count


class LlamaText:
    """The text model of a loaded image-text model, and its head.

    layers, kv_heads, width, kept: of its keys and values (key-value heads, of so many numbers of this dtype); grouped:
    it has more heads than those. angles: cosines and signed sines, (positions, head width) each. small: calls cost it
    more than their arithmetic. recorded: an answer by itself is read by a `vipcli.engine.recording.Step`. tokens_read:
    how many tokens went through it so far, for whoever wants to know what was saved.
    """

    def __init__(self, model: Any) -> None:
        its: Any = model.model.language_model
        config = its.config
        self._embed, self._norm, self._rotary = its.embed_tokens, _normed(its.norm), its.rotary_emb
        self._heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.grouped = self._heads != self.kv_heads
        self.width = its.layers[0].self_attn.head_dim
        self.dtype, self.device = model.dtype, its.embed_tokens.weight.device
        # On a CPU a row looks back at 600 tokens in 0.07 ms in fp32 and in 0.46 ms in bf16 (2 cores, AVX-512 BF16).
        self.kept = torch.float32 if self.device.type == "cpu" else self.dtype
        self.small = _is_small(its)
        self.recorded = self.device.type == "cuda" and not getattr(model, "is_quantized", False)
        self._layers = [_Layer.of(layer) for layer in its.layers]
        self.layers = len(self._layers)
        self._head = model.lm_head
        nothing = torch.empty(0, self.width, device=self.device)
        self.angles = nothing, nothing
        self.tokens_read = 0

    @staticmethod
    def runs(model: Any) -> bool:
        """Whether this is such a model, and all of it on one device."""
        text: Any = getattr(getattr(model, "model", None), "language_model", None)
        if type(text).__name__ not in ("LlamaModel", "MistralModel") or not hasattr(model, "lm_head"):
            return False
        config: Any = text.config
        rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
        window = getattr(config, "sliding_window", None)
        devices = {parameter.device for parameter in model.parameters()}
        return (
            rope in ("default", "linear", "llama3")  # the angles of the others change with the length of the text
            and (window is None or window >= config.max_position_embeddings)
            and config.hidden_act == "silu"
            and len(devices) == 1
            and torch.device("meta") not in devices  # waiting on the disk
        )

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """(..., tokens) -> (..., tokens, width)."""
        return self._embed(ids)

    def room(self, tokens: int) -> int:
        """How many tokens a memory is made for that must hold `tokens`; the model knows that many positions then."""
        capacity = -(-tokens // _BLOCK) * _BLOCK
        if capacity > len(self.angles[0]):
            positions = torch.arange(capacity, device=self.device)[None]
            cos, sin = self._rotary(torch.empty(0, dtype=self.dtype, device=self.device), positions)
            # Turning needs (-second half, first half): the sign goes into the table.
            sign = torch.ones(self.width, dtype=self.dtype, device=self.device)
            sign[: self.width // 2] = -1
            self.angles = cos[0].contiguous(), sin[0] * sign
        return capacity

    def reserve(self, memory: Memory, tokens: int) -> None:
        """Make room in `memory` for `tokens` in all. Interrupted, it leaves everything as it was."""
        capacity = self.room(tokens)
        if memory.keys and capacity <= memory.keys[0].shape[2]:
            return
        shape = (1, self.kv_heads, capacity, self.width)
        filled = len(memory.ids)
        larger = []
        for kept in (memory.keys, memory.values):
            # Zeros, not whatever lies there: what is hidden from a query must be a number all the same.
            new = [torch.zeros(shape, dtype=self.kept, device=self.device) for _ in range(self.layers)]
            for old, one in zip(kept, new, strict=False):
                one[:, :, :filled] = old[:, :, :filled]
            larger.append(new)
        memory.keys, memory.values = larger
        memory.step = None  # which is of what it was

    def read(self, embedded: torch.Tensor, memory: Memory) -> torch.Tensor:
        """Read what comes behind `memory`, for which there is room, and return the logits of the next token.

        embedded: (1, tokens, width), whose ids the caller adds to ``memory.ids``. Returns (1, vocabulary).
        """
        count = embedded.shape[1]
        start = len(memory.ids)
        end = start + count
        mask = None
        if start and count > 1:  # each of the new tokens sees all of the old ones and the new ones up to itself
            mask = torch.ones(count, end, dtype=torch.bool, device=self.device).tril(start)

        def attend(layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            all_keys, all_values = memory.keys[layer], memory.values[layer]
            all_keys[:, :, start:end] = keys
            all_values[:, :, start:end] = values
            return functional.scaled_dot_product_attention(
                queries.to(self.kept),
                all_keys[:, :, :end],
                all_values[:, :, :end],
                attn_mask=mask,
                is_causal=not start and count > 1,
                enable_gqa=self.grouped,
            ).to(queries.dtype)

        return self.through(embedded, slice(start, end), attend, slice(-1, None))

    def through(
        self, embedded: torch.Tensor, positions: slice | torch.Tensor, attend: Attend, wanted: slice | list[int]
    ) -> torch.Tensor:
        """Through all layers and the head; `attend` remembers keys and values and lets the queries look at them.

        embedded: (1, tokens, width), of one text or of several. positions: of each token in its text. wanted: the
        tokens whose successors are asked for. Returns their logits, (wanted, vocabulary).
        """
        count = embedded.shape[1]
        cos, sin = (angles[positions] for angles in self.angles)  # (tokens, head width)
        x = embedded  # (1, tokens, width)
        for number, layer in enumerate(self._layers):
            heads = layer.qkv(layer.norm_before(x)).view(1, count, -1, self.width).transpose(1, 2)
            turned = self._turned(heads[:, : self._heads + self.kv_heads], cos, sin)
            attended = attend(
                number, turned[:, : self._heads], turned[:, self._heads :], heads[:, self._heads + self.kv_heads :]
            )
            if number == self.layers - 1:  # nobody looks at the others any more
                x, attended = x[:, wanted], attended[:, :, wanted]
            x = x + layer.out(attended.transpose(1, 2).flatten(2))
            gate, up = layer.gate_up(layer.norm_behind(x))
            x = x + layer.down(functional.silu(gate) * up)
        self.tokens_read += count
        return self._head(self._norm(x))[0]

    def _turned(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Rotary positions; x: (1, heads, tokens, head width)."""
        half = self.width // 2
        return x * cos + torch.cat((x[..., half:], x[..., :half]), dim=-1) * sin


def fuse(model: Any) -> None:
    """Put ``qkv_proj`` and ``gate_up_proj`` beside what they join, and `LlamaText` takes them in their place.

    Done where a call costs more than its arithmetic, and on a GPU, which reads one large weight faster than several.
    There the weights that are joined become parts of the whole, and nothing is kept twice; but what they leave free
    may lie in pieces that serve nobody, so it isn't done where memory is short.
    """
    its: Any = model.model.language_model
    device = its.embed_tokens.weight.device
    on_gpu = device.type == "cuda" and 4 * free_memory(device) > sum(weight.nbytes for weight in its.parameters())
    if not (on_gpu or _is_small(its)):
        return
    for layer in its.layers:
        attention, mlp = layer.self_attn, layer.mlp
        qkv, both = [attention.q_proj, attention.k_proj, attention.v_proj], [mlp.gate_proj, mlp.up_proj]
        joined = hasattr(attention, "qkv_proj")
        if not joined and all(type(one) is nn.Linear and one.bias is None for one in (*qkv, *both)):
            attention.qkv_proj, mlp.gate_up_proj = _fused(qkv, shared=on_gpu), _fused(both, shared=on_gpu)


def _is_small(its: Any) -> bool:
    config = its.config
    numbers = 4 * config.hidden_size + 3 * config.intermediate_size
    return config.num_hidden_layers * config.hidden_size * numbers * its.dtype.itemsize < _FUSED_BELOW


def _fused(linears: list[nn.Linear], *, shared: bool) -> nn.Linear:
    """Several linear modules as one, whose outputs stand side by side. shared: their weights become parts of it."""
    with torch.device("meta"):
        fused = nn.Linear(linears[0].in_features, sum(one.out_features for one in linears), bias=False)
    fused.weight = nn.Parameter(torch.cat([one.weight.detach() for one in linears]), requires_grad=False)
    if shared:
        parts = fused.weight.detach().split([one.out_features for one in linears])
        for one, part in zip(linears, parts, strict=True):
            one.weight.data = part  # the same parameter, wherever else it is used
    return fused


Map = Callable[[torch.Tensor], torch.Tensor]
Maps = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]


@dataclass(frozen=True)
class _Layer:
    """One layer as functions of (1, tokens, width)."""

    norm_before: Map
    qkv: Map
    out: Map
    norm_behind: Map
    gate_up: Maps
    down: Map

    @classmethod
    def of(cls, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        fused = hasattr(attention, "qkv_proj")
        return cls(
            norm_before=_normed(layer.input_layernorm),
            qkv=attention.qkv_proj if fused else _joined([attention.q_proj, attention.k_proj, attention.v_proj]),
            out=attention.o_proj,
            norm_behind=_normed(layer.post_attention_layernorm),
            gate_up=_halved(mlp.gate_up_proj) if fused else _each([mlp.gate_proj, mlp.up_proj]),
            down=mlp.down_proj,
        )


def _joined(maps: list[Map]) -> Map:
    return lambda x: torch.cat([one(x) for one in maps], dim=-1)


def _halved(both: Map) -> Maps:
    return lambda x: both(x).chunk(2, dim=-1)


def _each(maps: list[Map]) -> Maps:
    return lambda x: tuple(one(x) for one in maps)


def _normed(norm: Any) -> Map:
    """Llama's RMSNorm as a function: in 16 bits it rounds before it multiplies by the weight."""
    weight, epsilon = norm.weight, norm.variance_epsilon
    if weight.dtype == torch.float32:
        return lambda x: functional.rms_norm(x, weight.shape, weight, epsilon)
    return lambda x: weight * functional.rms_norm(x.float(), weight.shape, None, epsilon).to(x.dtype)
