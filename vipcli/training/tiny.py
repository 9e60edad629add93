"""Make the embedded model: a small `VipLlavaForConditionalGeneration`, trained on scenes that this project draws.

Three stages. ``tower`` teaches the vision tower alone, by linear heads on every patch: which thing lies there, which
marker is drawn across it, and by which marker of which colour the thing is marked. ``text`` teaches the projector and
the language model to answer while the tower is held still. ``joint`` teaches everything, the heads kept on. Learning to
answer from scratch doesn't work in reasonable time; with the heads the tower binds each marker to its thing, and the
language model only looks up and copies.

    python -m vipcli.training.tiny tower --steps 8000 --run runs/tiny
    python -m vipcli.training.tiny text --steps 4000 --run runs/tiny
    python -m vipcli.training.tiny joint --steps 30000 --run runs/tiny
    python -m vipcli.training.tiny export --run runs/tiny --to vipcli/models/tiny

Every step draws fresh lessons from the seed and its number, so a run that is killed goes on from its last checkpoint as
if nothing had happened. ``--steps`` may be changed on the way: the learning rate falls over the last two fifths.
Its optimizer, Muon, is in torch 2.9 and newer.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from vipcli.errors import UsageError, VipError, quote
from vipcli.prompt import SYSTEM
from vipcli.scenes import SHAPES, THINGS
from vipcli.training.lessons import COLORS, PATCH_LABELS, Lesson, all_texts, lesson

SIDE, PATCH = 128, 16
PATCHES = (SIDE // PATCH) ** 2
WIDTH = 160  # of the vision tower and of the language model
LAYERS = [-1, -2, -3, -4, 2]  # of the tower, to the projector; the first goes to the heads too
LENGTH = 136  # tokens of one lesson: 64 of the picture, the rest for about three questions and answers
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }}"
    "{% else %}{{ '###' + ('Human' if message['role'] == 'user' else 'Assistant') + ': ' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '###Assistant:' }}{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 1,024 pieces, so that any text can be asked; ``###`` is always a piece of its own."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("###", "isolated"),
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())
    )
    texts = [f"###Human: \n{text}###Assistant: {text}" for text in all_texts()]
    bpe.train_from_iterator([*texts, *[SYSTEM] * 100], trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=1024,
    )


def processor() -> LlavaProcessor:
    """Picture and text to tensors, as the published checkpoints' own."""
    return LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=CHAT_TEMPLATE,
    )


def fresh_model(vocabulary: int) -> VipLlavaForConditionalGeneration:
    """The architecture of the 7B, small: 6 x 160 vision, 3 x 160 text, five vision layers to the projector."""
    config = VipLlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=640,
            num_hidden_layers=6,
            num_attention_heads=5,
            image_size=SIDE,
            patch_size=PATCH,
            projection_dim=160,
        ),
        text_config=LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=448,
            num_hidden_layers=3,
            num_attention_heads=5,
            num_key_value_heads=5,
            max_position_embeddings=1024,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=3,
        ),
        image_token_index=4,
        vision_feature_layer=LAYERS,
        image_seq_length=PATCHES,
    )
    return VipLlavaForConditionalGeneration(config)


class Heads(nn.Module):
    """What the tower is asked of every patch; not part of the shipped model."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.thing = nn.Linear(width, len(THINGS) + 1)
        self.marked = nn.Linear(width, 2)
        self.shape = nn.Linear(width, len(SHAPES))
        self.color = nn.Linear(width, len(COLORS))
        self.ink_shape = nn.Linear(width, len(SHAPES) + 1)
        self.ink_color = nn.Linear(width, len(COLORS) + 1)

    def forward(self, patches: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """patches: (batch, patches, width). Returns the loss and each head's accuracy."""
        patches = self.norm(patches)
        marked = torch.where(batch.shape == -100, -100, (batch.shape >= 0).long())
        targets = {
            "thing": batch.thing,
            "marked": marked,
            "shape": torch.where(batch.shape >= 0, batch.shape, -100),
            "color": torch.where(batch.color >= 0, batch.color, -100),
            "ink_shape": batch.ink_shape,
            "ink_color": batch.ink_color,
        }
        loss = patches.new_zeros(())
        right = {}
        for name, target in targets.items():
            logits = getattr(self, name)(patches).flatten(0, 1)
            target = target.flatten()
            weight = None
            if name in ("thing", "ink_shape", "ink_color"):
                weight = torch.ones(logits.shape[-1])
                weight[-1] = 0.2  # what has no thing or no ink is most of a picture and teaches little
            loss = loss + functional.cross_entropy(logits, target, weight=weight, ignore_index=-100)
            known = (target >= 0) & ((target < logits.shape[-1] - 1) | (weight is None))
            right[name] = float((logits.argmax(-1) == target)[known].float().mean())
        return loss, right


@dataclass
class Batch:
    """Tensors of one step: pixels (batch, 3, side, side); ids and labels (batch, length); the rest (batch, patches)."""

    pixels: torch.Tensor
    ids: torch.Tensor
    labels: torch.Tensor
    thing: torch.Tensor
    shape: torch.Tensor
    color: torch.Tensor
    ink_shape: torch.Tensor
    ink_color: torch.Tensor


class Lessons(Dataset):
    """Lesson number `index`, drawn from its number: the same on every machine and after every restart."""

    def __init__(self, seed: int, pieces: PreTrainedTokenizerFast) -> None:
        self.seed, self.pieces = seed, pieces

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, index: int) -> tuple[Lesson, list[int], list[int]]:
        rng = np.random.default_rng((self.seed, index))
        drawn = lesson(rng, SIDE, PATCH)
        system = SYSTEM if rng.random() < 0.1 else ""
        return drawn, *encode(self.pieces, drawn.turns, system)


def encode(pieces: PreTrainedTokenizerFast, turns: Any, system: str) -> tuple[list[int], list[int]]:
    """A conversation's ids, and the label of each position's *next* token: answers only, each ending in ``</s>``.

    In the prompt of a later turn an answer is followed by ``###``; the model is taught to stop there all the same.
    """
    ids = [1, *_ids(pieces, f"{system}###Human: "), *[4] * PATCHES]
    labels = [-100] * len(ids)
    for number, (question, answer) in enumerate(turns):
        asked = _ids(pieces, ("\n" if number == 0 else "###Human: ") + question + "###Assistant:")
        answered = _ids(pieces, f" {answer}")
        if len(ids) + len(asked) + len(answered) > LENGTH:
            break
        ids += asked + answered
        labels += [-100] * (len(asked) - 1) + answered + [2]
    return ids, labels


def _ids(pieces: PreTrainedTokenizerFast, text: str) -> list[int]:
    return pieces.encode(text, add_special_tokens=False)


def collate(drawn: list[tuple[Lesson, list[int], list[int]]]) -> Batch:
    """Stack lessons; pictures are normalised as CLIP's processor does it."""
    mean = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
    std = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
    pixels = (np.stack([one.pixels for one, _, _ in drawn]) / np.float32(255) - mean) / std
    return Batch(
        torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))),
        torch.tensor([ids + [3] * (LENGTH - len(ids)) for _, ids, _ in drawn]),
        torch.tensor([labels + [-100] * (LENGTH - len(labels)) for _, _, labels in drawn]),
        *(torch.from_numpy(np.stack([getattr(one, name) for one, _, _ in drawn])) for name in PATCH_LABELS),
    )


_TOWER_RATE = {"tower": 0.5, "joint": 0.15}
_REST_RATE = {"tower": 1.0, "text": 0.3, "joint": 0.3}
_AFTER = {"text": "tower", "joint": "text"}
_FIRST_LESSON = {"tower": 0, "text": 2 * 10**9, "joint": 10**9}  # no stage sees the lessons of another


def optimizers(stage: str, model: nn.Module, heads: Heads) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the rest; a trained tower learns slower than what is new."""
    matrices: dict[float, list[nn.Parameter]] = {}
    others: dict[float, list[nn.Parameter]] = {}
    parts: list[tuple[str, nn.Parameter]] = list(model.named_parameters())
    for name, parameter in parts:
        tower = "vision_tower" in name
        if stage == ("text" if tower else "tower"):  # it doesn't learn in this stage
            continue
        rate = _TOWER_RATE[stage] if tower else _REST_RATE[stage]
        inside = parameter.ndim == 2 and ".layers." in name
        (matrices if inside else others).setdefault(rate, []).append(parameter)
    if stage != "text":
        others.setdefault(_TOWER_RATE[stage], []).extend(heads.parameters())
    return [
        torch.optim.Muon(
            [{"params": p, "lr": 2e-3 * rate, "base": 2e-3 * rate} for rate, p in matrices.items()],
            weight_decay=0.05,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            [{"params": p, "lr": 1.2e-3 * rate, "base": 1.2e-3 * rate} for rate, p in others.items()],
            betas=(0.9, 0.98),
            weight_decay=0.02,
        ),
    ]


def rate_at(step: int, steps: int) -> float:
    """Warm up over 200 steps, hold, and fall to a twentieth over the last two fifths."""
    return max(0.05, min(1.0, (step + 1) / 200, (steps - step) / (0.4 * steps)))


class Learner(nn.Module):
    """The forward pass of a step: losses of the heads and, after the tower stage, of the answers."""

    def __init__(self, model: VipLlavaForConditionalGeneration, heads: Heads, stage: str) -> None:
        super().__init__()
        self.model, self.heads, self.stage = model, heads, stage
        self.see = torch.compile(self._see)
        self.answer = torch.compile(self._answer)

    def _see(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        hidden = self.model.model.vision_tower(pixels, output_hidden_states=True).hidden_states
        return [hidden[layer][:, 1:] for layer in LAYERS]

    def _answer(self, layers: list[torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
        features = self.model.model.multi_modal_projector(torch.cat(layers, dim=-1))
        embedded = self.model.get_input_embeddings()(ids)
        here = ids == 4
        number = (here.cumsum(1) - 1).clamp(0, PATCHES - 1).unsqueeze(-1).expand(-1, -1, features.shape[-1])
        embedded = torch.where(here.unsqueeze(-1), features.gather(1, number).to(embedded.dtype), embedded)
        return self.model.model.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state

    def forward(self, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        with torch.set_grad_enabled(self.stage != "text"):
            layers = self.see(batch.pixels.to(self.model.dtype))
            dense, right = self.heads(layers[0].float(), batch)
        if self.stage == "tower":
            return dense, right
        known = batch.labels != -100
        logits = self.model.lm_head(self.answer(layers, batch.ids)[known]).float()
        loss = functional.cross_entropy(logits, batch.labels[known])
        right["token"] = float((logits.argmax(-1) == batch.labels[known]).float().mean())
        right["answer"] = loss.item()
        return loss + 0.15 * dense, right


def train(
    stage: str, run: Path, steps: int, batch: int, seed: int, dtype: torch.dtype, begin: Path | None = None
) -> None:
    """Run a stage up to `steps`, from its last checkpoint in `run` where there is one.

    begin: a checkpoint whose weights a new stage starts from; None: that of the stage before.
    """
    torch.manual_seed(seed)
    run.mkdir(parents=True, exist_ok=True)
    pieces = tokenizer()
    model = fresh_model(len(pieces))
    heads = Heads(WIDTH)
    tools = optimizers(stage, model, heads)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    start = 0
    checkpoint = run / f"{stage}.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        start, average = saved["step"], saved["average"]
        model.load_state_dict(saved["model"])
        heads.load_state_dict(saved["heads"])
        for tool, state in zip(tools, saved["tools"], strict=True):
            bases = [group["base"] for group in tool.param_groups]
            tool.load_state_dict(state)
            for group, base in zip(tool.param_groups, bases, strict=True):
                group["base"] = base
    elif begin := begin or (run / f"{_AFTER[stage]}.pt" if stage in _AFTER else None):
        if not begin.is_file():
            raise UsageError(f"{quote(str(begin))} is missing: stage {stage} begins with the weights of another stage")
        saved = torch.load(begin, weights_only=True)
        model.load_state_dict(saved["model"])
        heads.load_state_dict(saved["heads"])
        average = saved["model"]
    # The pass runs in `dtype` on a copy of the weights; what learns is kept in fp32.
    working: Any = model
    if dtype != torch.float32:
        working = fresh_model(len(pieces))
        working.to(dtype)
    learner = Learner(working, heads, stage)
    first = _FIRST_LESSON[stage] + start * batch
    sampler: Iterator[int] = iter(range(first, first + (steps - start) * batch))
    loader = DataLoader(
        Lessons(seed, pieces), batch, sampler=sampler, collate_fn=collate, num_workers=2, prefetch_factor=4
    )
    log = (run / f"{stage}.jsonl").open("a")
    began = time.monotonic()
    sums: dict[str, float] = {}
    for step, lessons in enumerate(loader, start):
        for tool in tools:
            for group in tool.param_groups:
                group["lr"] = group["base"] * rate_at(step, steps)
        if working is not model:
            _copy_weights(model, working)
        loss, right = learner(lessons)
        loss.backward()
        if working is not model:
            _move_gradients(working, model)
        nn.utils.clip_grad_norm_([p for p in (*model.parameters(), *heads.parameters()) if p.grad is not None], 1.0)
        for tool in tools:
            tool.step()
            tool.zero_grad()
        keep = min(0.998, (step + 1) / (step + 20))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - keep) if value.is_floating_point() else average[name].copy_(value)
        for name, value in {"loss": loss.item(), **right}.items():
            sums[name] = sums.get(name, 0.0) + value
        if (step + 1) % 100 == 0:
            row = {
                "step": step + 1,
                "seconds": round(time.monotonic() - began),
                **{n: v / 100 for n, v in sums.items()},
            }
            print(json.dumps({k: round(v, 4) for k, v in row.items()}), file=log, flush=True)
            sums = {}
        if (step + 1) % 250 == 0 or step + 1 == steps:
            state = {
                "step": step + 1,
                "model": model.state_dict(),
                "average": average,
                "heads": heads.state_dict(),
                "tools": [tool.state_dict() for tool in tools],
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            os.replace(checkpoint.with_suffix(".part"), checkpoint)


@torch.no_grad()
def _copy_weights(source: nn.Module, target: nn.Module) -> None:
    for one, other in zip(source.parameters(), target.parameters(), strict=True):
        other.copy_(one)


def _move_gradients(source: nn.Module, target: nn.Module) -> None:
    for one, other in zip(source.parameters(), target.parameters(), strict=True):
        other.grad = None if one.grad is None else one.grad.to(other.dtype)
        one.grad = None


def export(run: Path, to: Path) -> None:
    """Write the averaged weights as a plain checkpoint folder, fp16, that transformers loads by itself."""
    saved = torch.load(run / "joint.pt", weights_only=True)
    its = processor()
    model: Any = fresh_model(len(its.tokenizer))
    model.load_state_dict(saved["average"])
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=3)
    model.to(torch.float16).save_pretrained(to)
    its.save_pretrained(to)
    print(f"{to}: step {saved['step']}")


def main() -> None:
    """The command line of this file."""
    parser = argparse.ArgumentParser(description="Make the embedded model `tiny`.")
    parser.add_argument("stage", choices=("tower", "text", "joint", "export"))
    parser.add_argument("--run", type=Path, default=Path("runs/tiny"), help="folder of checkpoints and logs")
    parser.add_argument("--begin", type=Path, help="checkpoint to start a stage from, if not the stage before")
    parser.add_argument("--to", type=Path, default=Path("vipcli/models/tiny"), help="folder of the exported model")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="of the pass, not of what learns"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        if options.stage == "export":
            export(options.run, options.to)
        else:
            dtype = getattr(torch, options.dtype)
            train(options.stage, options.run, options.steps, options.batch, options.seed, dtype, options.begin)
    except VipError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
