"""`vipcli.training.loop`: a training that is stopped at whatever moment goes on as if nothing had happened."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from training.tried import ENVIRONMENT, command, run, settings_of, without_times, write_config

from vipcli.errors import UsageError
from vipcli.training import Finished, Judged, Logged, Noted, Started, Stepped, Stopped, prepare, train
from vipcli.training import loop as looping
from vipcli.training.checkpoints import read_checkpoint
from vipcli.training.looking import looks_of
from vipcli.training.samples import Samples, collate, plan
from vipcli.training.settings import read_settings


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["learning"]["masters"]


def assert_alike(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert (one / "model" / "model.safetensors").read_bytes() == (other / "model" / "model.safetensors").read_bytes()
    assert without_times(one / "log.jsonl") == without_times(other / "log.jsonl")


def test_who_stops_it_while_it_is_judged_for_the_last_time_gets_a_checkpoint(
    saved_checkpoint: Path, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, saved_checkpoint)
    seen: list[str] = []
    for event in train(prepare(settings), stop=lambda: seen.count("Judged") == 2):
        seen.append(type(event).__name__)
    assert seen[-3:] == ["Judged", "Saved", "Stopped"]
    assert not (settings.output / "model").exists()
    assert [type(event).__name__ for event in train(prepare(settings), resume=True)] == ["Started", "Finished"]


def test_events_come_in_order_and_the_log_has_their_figures(saved_checkpoint: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, saved_checkpoint)
    events = list(train(prepare(settings)))
    shown = [f"{type(event).__name__} {getattr(event, 'step', '')}".strip() for event in events]
    assert shown == [
        *("Started 0", "Stepped 1", "Stepped 2", "Saved 2", "Stepped 3", "Logged 3", "Judged 3", "Stepped 4"),
        *("Saved 4", "Stepped 5", "Stepped 6", "Logged 6", "Judged 6", "Saved 6", "Finished 6"),
    ]
    started, finished = events[0], events[-1]
    assert isinstance(started, Started)
    assert started.learning == started.parameters
    assert started.samples == (6,)
    assert started.held_out == (2,)
    rows = without_times(settings.output / "log.jsonl")
    assert [(row["step"], "judged_exact" in row) for row in rows] == [(3, False), (3, True), (6, False), (6, True)]
    logged = [event for event in events if isinstance(event, Logged)]
    assert rows[0] == {"step": 3, "rate": logged[0].rate, **logged[0].figures}
    steps = [event.loss for event in events if isinstance(event, Stepped)]
    assert [one.figures["loss"] for one in logged] == pytest.approx([sum(steps[:3]) / 3, sum(steps[3:]) / 3], abs=1e-5)
    judged = [event for event in events if isinstance(event, Judged)]
    assert isinstance(finished, Finished)
    assert finished.figures == judged[-1].figures
    assert {"loss", "token", "exact"} == set(finished.figures)
    for curve in ("loss.png", "accuracy.png"):
        assert (settings.output / curve).read_bytes().startswith(b"\x89PNG")


def test_it_says_once_that_conversations_lose_their_end(saved_checkpoint: Path, tmp_path: Path) -> None:
    def notes(answer: str) -> list[str]:
        (tmp_path / "a.jsonl").write_text(json.dumps({"question": "Why?", "answer": answer}))
        settings = settings_of(tmp_path, saved_checkpoint, data='source = "a.jsonl"\nheld_out = 0.0', steps=2, judged=0)
        shutil.rmtree(settings.output, ignore_errors=True)
        return [event.sentence for event in train(prepare(settings)) if isinstance(event, Noted)]

    assert notes("Because.") == []
    (sentence,) = notes("word " * 600)
    assert sentence == "some conversations have more than 400 tokens and lose their end: raise train.length"


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_a_killed_training_goes_on_bit_for_bit(precision: str, saved_checkpoint: Path, tmp_path: Path) -> None:
    """Killed (-9) between a checkpoint and the next, with two workers that draw, accumulation and averaged weights."""
    options: dict[str, Any] = {"workers": 2, "precision": precision, "steps": 30, "save_every": 4, "judge_every": 10}
    whole = write_config(tmp_path, saved_checkpoint, "whole", **options)
    torn = write_config(tmp_path, saved_checkpoint, "torn", **options)
    run(whole, "--quiet")
    process = subprocess.Popen(command(torn, "--quiet"), env=ENVIRONMENT, start_new_session=True)
    checkpoint = tmp_path / "torn" / "checkpoint.pt"
    while not checkpoint.exists() or read_checkpoint(checkpoint)["step"] < 8:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert read_checkpoint(checkpoint)["step"] < 30
    (tmp_path / "torn" / "checkpoint.part").write_bytes(b"half of one")
    with (tmp_path / "torn" / "log.jsonl").open("a") as log:
        log.write('{"step": 29, "loss": 1.0}\n{"step": 30, "lo')
    run(torn, "--quiet", "--resume")
    assert_alike(tmp_path / "whole", tmp_path / "torn")


def test_a_new_small_model_learns_scenes_and_goes_on_too(tmp_path: Path) -> None:
    text = (
        'output = "{}"\n[model.fresh]\nside = 64\nwidth = 32\nvision_layers = 4\ntext_layers = 4\nvocabulary = 400\n'
        '[[data]]\nsource = "scenes"\n[train]\nvision = 1.0\ndense = 0.5\nsteps = {}\nbatch = 2\nrate = 1e-3\n'
        "accumulate = 2\naverage = 0.9\nlog_every = 1\nsave_every = 2\njudge_every = 4\njudged = 2\nworkers = 1\n"
    )
    for name, steps in (("whole", 4), ("torn", 2)):
        (tmp_path / f"{name}.toml").write_text(text.format(name, steps) + ("fall = 0.0\n"))
    run(tmp_path / "whole.toml", "--quiet")
    run(tmp_path / "torn.toml", "--quiet")
    (tmp_path / "torn.toml").write_text(text.format("torn", 4) + "fall = 0.0\n")
    run(tmp_path / "torn.toml", "--quiet", "--resume")
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "torn")
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert (tmp_path / "torn" / "heads.safetensors").is_file()
    rows = without_times(tmp_path / "torn" / "log.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert {"ink_shape", "found_thing", "alike_kind"} <= rows[0].keys()


@pytest.mark.parametrize("text_layers", [1, 3])
def test_a_language_model_too_shallow_for_comparing_learns_what_it_can(tmp_path: Path, text_layers: int) -> None:
    (tmp_path / "shallow.toml").write_text(
        f'output = "run"\n[model.fresh]\ntext_layers = {text_layers}\nvocabulary = 400\nside = 64\nwidth = 32\n'
        '[[data]]\nsource = "scenes"\n[train]\nvision = 1.0\ndense = 0.5\nsteps = 1\nbatch = 2\nworkers = 1\n'
    )
    figures = list(train(prepare(read_settings(tmp_path / "shallow.toml"))))[-1].figures  # type: ignore[union-attr]
    assert "found_thing" in figures
    assert "alike_kind" not in figures


def test_the_vision_stage_hands_its_heads_on(tmp_path: Path, saved_checkpoint: Path) -> None:
    data = 'source = "scenes"\nmarkers = ["box", "arrow"]'
    options: dict[str, Any] = {"data": data, "steps": 1, "vision": 0.5}
    first = settings_of(tmp_path, saved_checkpoint, "first", stage="vision", **options)
    events = list(train(prepare(first)))
    assert isinstance(events[0], Started)
    assert events[0].learning < events[0].parameters, "the heads are no part of the model"
    assert "ink_color" in events[-1].figures  # type: ignore[union-attr]
    kept = prepare(settings_of(tmp_path, first.output / "model", "second", dense=1.0, **options))
    config = looping.load_model(kept).config
    heads = looping.load_heads(kept, config)
    assert heads is not None
    learnt = torch.load(first.output / "checkpoint.pt", weights_only=True)["learning"]["average"]
    assert torch.equal(heads.seen.extent.weight, learnt["heads.seen.extent.weight"])
    older = {name: value[:4] if "extent" in name else value for name, value in heads.state_dict().items()}
    older = {name: value for name, value in older.items() if not name.startswith(("tells.", "alike."))}
    save_file({name: value.contiguous() for name, value in older.items()}, first.output / "heads.safetensors")
    newer = looping.load_heads(kept, config)
    assert newer is not None
    assert torch.equal(newer.seen.extent.weight[:4], older["seen.extent.weight"]), "a row that came later begins anew"
    fewer = {name: value[:-1] if "says.thing" in name else value for name, value in heads.state_dict().items()}
    save_file({name: value.contiguous() for name, value in fewer.items()}, first.output / "heads.safetensors")
    with pytest.raises(UsageError, match="doesn't fit this model"):  # its last classes would become others
        looping.load_heads(kept, config)
    (first.output / "heads.safetensors").write_bytes(b"?")
    with pytest.raises(UsageError, match="doesn't fit this model"):
        looping.load_heads(kept, config)


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_two_processes_learn_what_one_does_with_twice_the_batches(
    precision: str, saved_checkpoint: Path, tmp_path: Path
) -> None:
    one = write_config(tmp_path, saved_checkpoint, "one", accumulate=2, precision=precision)
    two = write_config(tmp_path, saved_checkpoint, "two", accumulate=1, precision=precision)
    run(one, "--quiet")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "vipcli", "train", str(two)]
    done = subprocess.run(launch, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "two" / "model")], "only the first process prints"
    assert_alike(tmp_path / "one", tmp_path / "two")


def test_accelerate_launches_it(saved_checkpoint: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, saved_checkpoint, steps=1)
    options = ["--cpu", "--num_processes", "1", "--num_machines", "1", "--mixed_precision", "bf16", "-m", "vipcli"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", *options, "train", str(config), "--quiet"]
    done = subprocess.run(launch, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "run" / "model")), done.stderr


def test_it_stops_behind_a_step_with_a_checkpoint(saved_checkpoint: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, saved_checkpoint, save_every=100)
    asked = itertools.count()
    events = list(train(prepare(settings), stop=lambda: next(asked) == 3))
    assert isinstance(events[-1], Stopped)
    assert read_checkpoint(settings.output / "checkpoint.pt")["step"] == events[-1].step == 3
    assert not (settings.output / "model").exists()
    started = next(train(prepare(settings), resume=True))
    assert isinstance(started, Started)
    assert started.step == 3


def test_only_the_stages_parts_learn(saved_checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    before = load_file(saved_checkpoint / "model.safetensors")
    for stage, vision, parts in (
        ("projector", 1.0, {"multi_modal_projector"}),
        ("full", 0.0, {"multi_modal_projector", "language_model"}),
        ("lora", 0.0, {"multi_modal_projector", "language_model"}),
    ):
        # The pass in 16 bits leaves what doesn't learn as it was, to the last bit.
        options = {"stage": stage, "vision": vision, "steps": 2, "precision": "bfloat16"}
        settings = settings_of(tmp_path, saved_checkpoint, stage, **options)
        list(train(prepare(settings)))
        after = load_file(settings.output / "model" / "model.safetensors")
        assert after.keys() == before.keys()
        changed = {name for name in before if not torch.equal(before[name].float(), after[name])}
        assert {part for part in ("vision_tower", *parts) if any(part in name for name in changed)} == parts
        if stage == "lora":
            assert not any("embed_tokens" in name or "norm" in name for name in changed if "language" in name)


def test_the_merged_adapters_say_what_the_adapted_model_said(saved_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    settings = settings_of(tmp_path, saved_checkpoint, stage="lora", steps=4, average=0.0, rate=1e-2)
    *_, finished = train(prepare(settings))
    assert isinstance(finished, Finished)
    again = prepare(settings_of(tmp_path, settings.output / "model", "again", rate=1e-9, steps=1))
    *_, judged = train(again)
    assert isinstance(judged, Finished)
    assert judged.figures["loss"] == pytest.approx(finished.figures["loss"], abs=2e-3)


def test_where_words_look_is_what_transformers_says_of_these_heads(saved_checkpoint: Path, tmp_path: Path) -> None:
    model = looping.load_model(prepare(settings_of(tmp_path, saved_checkpoint))).float().eval()
    model.set_attn_implementation("eager")
    text = model.model.language_model
    torch.manual_seed(0)
    embedded, positions = torch.randn(2, 9, text.config.hidden_size), torch.arange(9).expand(2, -1)
    mask = torch.full((2, 9, 9), torch.finfo(torch.float32).min).triu(1)
    with torch.no_grad():
        read = text(
            inputs_embeds=embedded, attention_mask=mask[:, None], position_ids=positions,
            output_hidden_states=True, output_attentions=True, use_cache=False,
        )  # fmt: skip
        looks = looks_of(text, 1, 3, read.hidden_states[1], positions, mask)
    torch.testing.assert_close(looks.exp(), read.attentions[1][:, :3], atol=1e-5, rtol=1e-4)


def test_tokens_weigh_alike_in_whichever_batch_they_are(saved_checkpoint: Path, tmp_path: Path) -> None:
    """Two batches of a step learn what one of all their samples does, though one has more answers than the other."""
    prepared = prepare(settings_of(tmp_path, saved_checkpoint))
    samples = Samples(prepared.sources, prepared.encoder, 0)
    drawn = [samples[picked] for picked in next(plan(prepared.sources, 6, 0))]
    learner = looping.Learner(
        looping.load_model(prepared).float(), None, prepared.settings.train, prepared.encoder.table
    )

    def gradient(*parts: list[Any]) -> tuple[float, torch.Tensor]:
        learner.zero_grad()
        batches = [collate(prepared.encoder, part) for part in parts]
        tokens = [int((batch["labels"] >= 0).sum()) for batch in batches]
        loss = torch.zeros(())
        for batch, its in zip(batches, tokens, strict=True):
            loss = loss + learner(batch, its / sum(tokens), len(batches))[0]
        loss.backward()
        return float(loss), learner.model.lm_head.weight.grad.clone()

    drawn.sort(key=lambda one: len(one[0].conversations[0]))
    whole, parted = gradient(drawn), gradient(drawn[:2], drawn[2:])
    assert whole[0] == pytest.approx(parted[0], abs=1e-4)
    assert torch.allclose(whole[1], parted[1], atol=1e-5)


def test_checkpointing_of_gradients_changes_nothing(saved_checkpoint: Path, tmp_path: Path) -> None:
    for name, on in (("with", True), ("without", False)):
        list(train(prepare(settings_of(tmp_path, saved_checkpoint, name, gradient_checkpointing=on, steps=2))))
    first, second = (weights(tmp_path / name) for name in ("with", "without"))
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)
