"""From settings to what is trained on which samples: first all but the weights, then these."""

from __future__ import annotations

import hashlib
import json
import os
import types
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers

from vipcli.engine import Model as Named
from vipcli.engine import (
    check_complete,
    eos_of,
    fingerprint,
    image_tokens,
    is_llava,
    load_processor,
    located,
    model_class,
    read_config,
    resolve,
    template_of,
    weigh,
)
from vipcli.engine.catalog import MODELS, SQUARE_SETTINGS, square_side
from vipcli.errors import ModelError, UsageError, VipError, quote
from vipcli.training.adapters import need_peft
from vipcli.training.dense import Heads
from vipcli.training.encoding import Encoder
from vipcli.training.marking import kinds_of
from vipcli.training.optimizing import need_muon
from vipcli.training.reading import read_sources
from vipcli.training.regions import Bad, Regions
from vipcli.training.samples import Source
from vipcli.training.settings import Data, Settings

__all__ = ["Prepared", "load_heads", "load_model", "prepare"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that a training needs but the weights.

    held_out: what is judged, a source for each that has some. bad: what can't be learnt from. facts: what the outcome
    depends on beside the settings, for `Run`. base: the checkpoint that it starts from; None for a fresh one.
    """

    settings: Settings
    processor: Any
    encoder: Encoder
    sources: Sequence[Source]
    held_out: Sequence[Source]
    bad: Sequence[Bad]
    facts: dict[str, Any]
    base: Named | None


def prepare(settings: Settings) -> Prepared:
    """Read and check everything but the weights. Raises `UsageError` or `ModelError` with one sentence."""
    its = settings.train
    if its.stage == "lora":
        need_peft()
    if its.optimizer == "muon":
        need_muon()
    base = None if settings.model.fresh else _named(settings)
    config, generation, processor = _fresh(settings) if base is None else _checkpoint(base)
    its_processor = processor.image_processor
    side = square_side({name: getattr(its_processor, name, None) for name in SQUARE_SETTINGS})
    tower = config.vision_config
    if side is None or tower.model_type != "clip_vision_model":
        raise UsageError("[model] start: vip trains towers of CLIP, which see one square, and here is another one")
    count = image_tokens(processor, side)
    if count is None or count != (side // tower.patch_size) ** 2:
        raise UsageError("[model] start: only the patches of a picture can be tokens, and here there are others")
    context = getattr(config.get_text_config(), "max_position_embeddings", None) or its.length
    length = min(its.length, context)
    eos = min(eos_of(generation, config), default=processor.tokenizer.eos_token_id)
    encoder = Encoder(processor, side, count, length, eos, template_of(processor))
    if its.stage != "vision" and length < (least := encoder.least()):
        whose = f"train.length is {length}" if its.length == length else f"this model has room for {length}"
        raise UsageError(f"a picture and the shortest question and answer take {least} tokens, and {whose}")
    sources: list[Source] = []
    held_out: list[Source] = []
    bad: list[Bad] = []
    for data in settings.data:
        if data.source == "scenes":
            source = _scenes(data, settings, side, tower.patch_size)
            sources.append(source)
            held_out.append(source)  # of other seeds, see `vipcli.training.judging`
        else:
            entries, kept, faults = read_sources(data, side, settings.folder)
            bad += faults
            fitting = _fitting(entries, encoder, bad)
            if not fitting.count:
                raise UsageError(f"{quote(data.source)} has nothing to learn from: {bad[-1].where}: {bad[-1].sentence}")
            sources.append(fitting)
            if kept is not None and (judged := _fitting(kept, encoder, bad)).count:
                held_out.append(judged)
    pieces = json.dumps(sorted(processor.tokenizer.get_vocab().items()))
    folder = None if base is None else located(base)
    facts = {
        "start": None if folder is None else fingerprint(folder),
        "samples": [source.count for source in sources],
        "tokenizer": hashlib.blake2b(pieces.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest(),
    }
    return Prepared(settings, processor, encoder, sources, held_out, bad, facts, base)


def _fitting(source: Regions, encoder: Encoder, bad: list[Bad]) -> Regions:
    """The source without entries whose questions leave no room for an answer, which join the `bad`."""
    fits = [all(encoder.teaches(turns, one.image is not None) for turns in one.conversations) for one in source.entries]
    sentence = f"its question leaves no room for an answer in the {encoder.limit} tokens of a sample"
    bad += [Bad(one.where, sentence) for one, fit in zip(source.entries, fits, strict=True) if not fit]
    return replace(source, entries=[one for one, fit in zip(source.entries, fits, strict=True) if fit])


def _named(settings: Settings) -> Named:
    start = settings.model.start or ""
    folder = settings.path(start)
    if os.path.isdir(folder):  # `Path` raises for long names
        return Named(start, folder=folder)
    named = resolve(start)
    no_folder = f"[model] start: there is no folder {quote(str(folder))}"
    if named.folder is not None and start not in MODELS:  # one beside whoever runs it, not beside the file
        raise ModelError(f"{no_folder}, and paths count from the folder of the file that names them")
    if located(named) is None:
        its = quote(start)
        raise ModelError(f"{no_folder}, and {its} isn't on this machine; a model of the Hub: vip models pull {its}")
    return named


def _fresh(settings: Settings) -> tuple[Any, Any, Any]:
    from vipcli.training.fresh import fresh_config, fresh_processor

    sizes = settings.model.fresh
    assert sizes is not None
    processor = fresh_processor(sizes.vocabulary, sizes.side, sizes.patch)
    return fresh_config(sizes, len(processor.tokenizer)), None, processor


def _checkpoint(base: Named) -> tuple[Any, Any, Any]:
    folder = located(base)
    assert folder is not None
    config = read_config(base, folder)
    if not is_llava(config):
        raise UsageError(f"{quote(base.name)}: is a {quote(config.model_type)}, and vip trains ViP-LLaVA and LLaVA")
    file = folder / "generation_config.json"
    try:
        generation = types.SimpleNamespace(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        generation = None
    return config, generation, load_processor(base, folder, config)


def _scenes(data: Data, settings: Settings, side: int, patch: int) -> Source:
    from vipcli.scenes import read_art
    from vipcli.training.lessons import Lessons
    from vipcli.training.questions import Questions

    sheets = [settings.path(one) for one in (*data.art, *data.strangers)]
    for sheet in sheets:
        if not (os.path.isfile(sheet) and os.path.isfile(sheet.with_suffix(".png"))):
            raise UsageError(
                f"there is no {quote(str(sheet))} with its .png beside it; make these sheets with "
                "python examples/tiny/make_art.py"
            )
    try:
        art = read_art(sheets[: len(data.art)], sheets[len(data.art) :])
    except Exception as error:  # of foreign JSON, which may say anything of foreign pictures
        raise UsageError(f"the sheets of art can't be read: {quote(str(error).strip(), 160)}") from None
    questions = None if settings.train.stage == "vision" else Questions()
    return Lessons(side, patch, art, questions, kinds_of(data.markers), weight=data.weight)


def load_model(prepared: Prepared) -> Any:
    """The model as it begins, on the CPU, in the dtype that it was saved in."""
    settings = prepared.settings
    torch.manual_seed(settings.train.seed)
    if prepared.base is None:
        from vipcli.training.fresh import fresh_model

        assert settings.model.fresh is not None
        return fresh_model(settings.model.fresh, len(prepared.processor.tokenizer))
    base = prepared.base
    folder = located(base)
    assert folder is not None
    weigh(base, folder)  # says what is missing or cut short
    try:
        model, report = model_class(read_config(base, folder)).from_pretrained(
            folder,
            dtype="auto",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except VipError:
        raise
    except MemoryError:
        raise ModelError(f"{quote(base.name)}: out of memory on cpu") from None
    except Exception as error:  # foreign files bring transformers to raise anything
        raise ModelError(f"{quote(base.name)} can't be loaded: {quote(str(error).strip(), 200)}") from error
    check_complete(base, report)
    if not isinstance(getattr(model, "generation_config", None), transformers.GenerationConfig):
        model.generation_config = transformers.GenerationConfig()
    return model


def load_heads(prepared: Prepared, config: Any) -> Heads | None:
    """The dense heads, those that lie with the checkpoint where there are some; None where nothing asks for them."""
    its = prepared.settings.train
    if its.stage != "vision" and not its.dense:
        return None
    heads = Heads(config.vision_config.hidden_size, config.get_text_config().hidden_size)
    folder = None if prepared.base is None else located(prepared.base)
    for place in () if folder is None else (folder, folder.parent):
        if (file := place / "heads.safetensors").is_file():
            _read_heads(heads, file)
            break
    return heads


def _read_heads(heads: Heads, file: Path) -> None:
    """What came later begins anew: heads, and the size in extents; in older files were those of the tower alone."""
    from safetensors.torch import load_file

    own = heads.state_dict()
    try:
        kept = load_file(file)
        if not any(name.startswith("seen.") for name in kept):
            kept = {f"seen.{name}": value for name, value in kept.items()}
        if not kept or kept.keys() - own.keys():
            raise KeyError
        for name, value in kept.items():
            rows = own[name][: len(value)] if "extent" in name or name.startswith("found.") else own[name]
            if rows.shape != value.shape:
                raise ValueError
            rows.copy_(value)
    except Exception:  # of another width, or of other things
        raise UsageError(
            f"{quote(str(file))}: doesn't fit this model and these scenes; move it away to begin anew"
        ) from None
