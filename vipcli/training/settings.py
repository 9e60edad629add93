"""What `vip train` is told: a TOML file, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vipcli.errors import UsageError, quote
from vipcli.training.typed import as_dataclass

__all__ = ["Data", "Fresh", "Lora", "Model", "Settings", "Train", "from_table", "read_settings"]

Stage = Literal["vision", "projector", "full", "lora"]


@dataclass(frozen=True)
class Fresh:
    """A new small model, by the sizes of its parts.

    side, patch: of its picture, in pixels. vision_layers, text_layers, width: of both parts; a head is 32 wide.
    vocabulary: pieces of its tokenizer, at most.
    """

    side: int = 128
    patch: int = 16
    vision_layers: int = 6
    text_layers: int = 3
    width: int = 160
    vocabulary: int = 1024


@dataclass(frozen=True)
class Model:
    """What is trained: `start`, a model's name or folder, or a `fresh` one.

    dtype: of the weights that are written.
    """

    start: str | None = None
    fresh: Fresh | None = None
    dtype: Literal["float32", "float16", "bfloat16"] = "float16"


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters for the language model, merged into it at the end; of stage ``lora``, and needs peft.

    rank, alpha, dropout: as in peft's ``LoraConfig``; the defaults are the authors'.
    """

    rank: int = 128
    alpha: float = 256.0
    dropout: float = 0.05


@dataclass(frozen=True)
class Data:
    """One source of samples; sources take turns by `weight`.

    source: ``scenes`` (drawn by vip), or a file or folder: the authors' instruct JSON, JSONL with regions and
    conversations, or annotations in any format that ``vip batch`` reads. images: where its pictures lie.
    question, answer: templates for annotations (``{label}`` and attributes; ``{it}`` is the marked thing).
    regions: how many regions of an annotated picture are marked at once, at most. held_out: share kept for judging.
    art, strangers: sheets of ``examples/tiny/make_art.py`` for scenes, beside the package's own. markers: the kinds
    that are drawn, all eight if empty.
    """

    source: str
    weight: float = 1.0
    images: str | None = None
    question: str = "What is {it}?"
    answer: str = "{label}"
    regions: int = 3
    held_out: float = 0.02
    art: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Train:
    """How it is trained.

    stage: ``vision`` (dense supervision of the tower, for scenes only), ``projector``, ``full`` or ``lora``.
    steps: updates of the weights. batch: samples that one device takes at a time. accumulate: how many times it does
    for one step. rate: of AdamW, or of Muon for the matrices inside the layers where `optimizer` is ``muon``. vision,
    projector, text: the rate of each part as a share of `rate`; 0 keeps it frozen (stages ``vision`` and ``projector``
    say themselves what learns). heads: that of the dense heads.
    warmup: steps over which the rate rises. fall, shape, floor: the share of the steps over which it falls at the end,
    how, and to which share of it. average: of the weights over the steps (0: none), as in 0.998. dense: weight of the
    dense losses beside the answers'. precision: of the pass; what learns is kept in float32. compile: the pass, by
    torch. gradient_checkpointing: less memory, a third more time. length: tokens of a sample at most, never more than
    the model's context. workers: processes that draw samples. judged: how many held-out samples are asked each
    `judge_every` steps (0: none).
    """

    stage: Stage = "full"
    steps: int = 1000
    batch: int = 16
    accumulate: int = 1
    rate: float = 2e-5
    vision: float = 0.0
    projector: float = 1.0
    text: float = 1.0
    heads: float = 1.0
    optimizer: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 0.0
    warmup: int = 100
    fall: float = 1.0
    shape: Literal["cosine", "linear"] = "cosine"
    floor: float = 0.0
    average: float = 0.0
    dense: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    gradient_checkpointing: bool = False
    length: int = 2048
    seed: int = 0
    workers: int = 2
    log_every: int = 100
    save_every: int = 250
    judge_every: int = 1000
    judged: int = 64


@dataclass(frozen=True)
class Settings:
    """A whole training: `model`, `data` and `train`, and `output`, the folder that it is written into.

    lora: of stage ``lora``. folder: the one that relative paths count from.
    """

    model: Model
    data: tuple[Data, ...]
    output: Path
    train: Train = dataclasses.field(default_factory=Train)
    lora: Lora = dataclasses.field(default_factory=Lora)
    folder: Path = dataclasses.field(default_factory=Path)

    def path(self, text: str) -> Path:
        """A path as it is written in the settings, from where the command runs."""
        return self.folder / os.path.expanduser(text)


def read_settings(file: Path) -> Settings:
    """Read a TOML file; relative paths in it count from its own folder. Raises `UsageError` with one sentence."""
    name = quote(str(file))
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{name}: can't be read: {reason}") from None
    except (ValueError, RecursionError) as error:  # of a number with thousands of digits it is no TOMLDecodeError
        raise UsageError(f"{name}: is no TOML: {quote(str(error), 200)}") from None
    return from_table(table, file)


def from_table(table: dict[str, Any], file: Path) -> Settings:
    """The settings of a TOML table that stands in `file`. Raises `UsageError` with one sentence."""
    name = quote(str(file))
    settings = as_dataclass(Settings, table, name, skip=("folder",))
    settings = dataclasses.replace(settings, folder=file.parent)
    settings = dataclasses.replace(settings, output=Path(os.path.normpath(settings.path(str(settings.output)))))
    for fault in _faults(settings, table):
        raise UsageError(f"{name}: {fault}")
    return settings


_LEAST = {
    **dict.fromkeys(("steps", "batch", "accumulate", "length", "log_every", "save_every", "judge_every"), 1),
    **dict.fromkeys(("rate", "vision", "projector", "text", "heads", "weight_decay", "warmup"), 0),
    **dict.fromkeys(("dense", "workers", "judged", "floor", "seed", "fall", "average"), 0),
}
_MOST = {
    "batch": 2**16,
    "accumulate": 2**16,
    "fall": 1,
    "floor": 1,
    "average": 0.99999,
    "workers": 256,
    "seed": 2**31,
    "steps": 10**9,
    "length": 2**20,
}


_OF_PICTURES = frozenset(("images", "question", "answer", "regions", "held_out"))
_OF_SCENES = frozenset(("art", "strangers"))


def _faults(settings: Settings, table: dict[str, Any]) -> Iterator[str]:
    """What is wrong with values that are of the right kind."""
    model, train = settings.model, settings.train
    if (model.start is None) == (model.fresh is None):
        yield "[model] needs either start = a model's name or folder, or a [model.fresh] table"
    if not settings.data:
        yield "there is no [[data]]"
    for key, least in _LEAST.items():
        value, most = getattr(train, key), _MOST.get(key, 10**9)
        if not least <= value <= most:
            yield f"train.{key} must lie from {least} to {most}, not {quote(str(value), 40)}"
    for number, data in enumerate(settings.data, 1):
        if not 0 < data.weight <= 1e9 or not 0 <= data.held_out < 1 or not 1 <= data.regions <= 1000:
            yield f"[[data]] number {number}: weight must be above 0, held_out from 0 to below 1, regions 1 to 1000"
        is_scenes = data.source == "scenes"
        idle = _OF_PICTURES if is_scenes else _OF_SCENES
        if unused := [key for key in table["data"][number - 1] if key in idle]:
            what = "scenes, which vip draws itself" if is_scenes else "pictures that are there"
            yield f"[[data]] number {number}: {unused[0]} means nothing to {what}"
    if (train.stage == "vision" or train.dense) and any(data.source != "scenes" for data in settings.data):
        yield "dense supervision needs scenes alone: only of these is every patch known"
    if train.stage != "lora" and "lora" in table:
        yield f'[lora] is of stage = "lora", and train.stage is {train.stage}'
    if not 1 <= settings.lora.rank <= 2**16 or settings.lora.alpha <= 0 or not 0 <= settings.lora.dropout < 1:
        yield "[lora] needs a rank from 1 to 65536, an alpha above 0 and a dropout from 0 to below 1"
    shares = {"vision": (1.0,), "projector": (train.projector,)}
    learns = shares.get(train.stage, (train.vision, train.projector, train.text))
    if not any(learns) or not train.rate:
        yield "nothing would learn: a rate is 0 everywhere (train.rate, vision, projector, text)"
    if model.fresh is not None:
        yield from _fresh_faults(model.fresh)


def _fresh_faults(fresh: Fresh) -> Iterator[str]:
    if fresh.width < 32 or fresh.width % 32 or fresh.width > 8192:
        yield "model.fresh.width must be a multiple of 32, from 32 to 8192"
    if not 1 <= fresh.patch <= fresh.side <= 2048 or fresh.side % fresh.patch or fresh.side < 16:
        yield "model.fresh.side must be a multiple of model.fresh.patch, from 16 to 2048"
    if not 4 <= fresh.vision_layers <= 100 or not 1 <= fresh.text_layers <= 100:
        yield "[model.fresh] needs 4 to 100 vision_layers and 1 to 100 text_layers"
    if not 300 <= fresh.vocabulary <= 100_000:
        yield "model.fresh.vocabulary must lie from 300 to 100000: every byte is a piece"
