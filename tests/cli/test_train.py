"""``vip train``: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pexpect
import pytest
from training.tried import ENVIRONMENT, EXAMPLES, command, write_config

from vipcli.training.checkpoints import read_checkpoint


@pytest.fixture
def config(saved_checkpoint: Path, tmp_path: Path) -> Path:
    return write_config(tmp_path, saved_checkpoint)


def test_the_folder_of_the_model_goes_to_stdout_and_all_else_to_stderr(vip, config, tmp_path, meadow) -> None:
    ran = vip("train", config)
    model = tmp_path / "run" / "model"
    assert (ran.code, ran.out) == (0, f"{model}\n")
    lines = ran.err.splitlines()
    assert lines[0].startswith("vip: beginning, 6 steps on cpu; 113,632 of 113,632 parameters learn")
    assert lines[1].startswith("vip: step 3 of 6: loss ")
    assert " samples/s, " in lines[1]
    assert lines[2].startswith("vip: step 3, held out: loss ")
    assert lines[-1].startswith("vip: 6 steps in ")
    assert "\x1b" not in ran.err
    asked = vip("ask", meadow, "--box", "448,126,590,275", "What is @1?", "-m", model, "--max-new-tokens", "3")
    assert asked.code == 0, asked.err


def test_transformers_loads_what_it_makes(vip, config, tmp_path) -> None:
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    assert vip("train", config, "--quiet").err == ""
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "run" / "model")
    processor = AutoProcessor.from_pretrained(tmp_path / "run" / "model")
    assert model.dtype == torch.float32
    inputs = processor(
        text="###Human: <image>\nHm?###Assistant:", images=Image.new("RGB", (56, 56)), return_tensors="pt"
    )
    assert model.generate(**inputs, max_new_tokens=2, min_new_tokens=2).shape[1] == inputs["input_ids"].shape[1] + 2
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "| `train.steps` |" not in card
    assert "6 steps of 6 samples" in card
    assert "| exact |" in card
    assert "Llama 2" not in card


def test_a_model_made_from_llama_2_says_so(vip, saved_checkpoint, tmp_path) -> None:
    import shutil

    base = shutil.copytree(saved_checkpoint, tmp_path / "base")
    (base / "README.md").write_text("---\nlicense: llama2\n---\nOn Vicuna.\n")
    assert vip("train", write_config(tmp_path, base, steps=1)).code == 0
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "license: llama2" in card
    assert "Llama 2 Community License" in card


def test_json_is_an_object_a_line_for_each_event(vip, config) -> None:
    ran = vip("train", config, "--json", "--quiet")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert (ran.code, ran.err) == (0, "")
    kinds = [row["event"] for row in rows]
    assert kinds == ["started", "saved", "logged", "judged", "saved", "logged", "judged", "saved", "finished"]
    assert rows[2]["step"] == 3
    assert {"loss", "token", "rate", "samples_per_second", "left"} <= rows[2].keys()
    assert Path(rows[-1]["model"]).is_dir()


def test_a_run_that_is_there_is_refused_and_goes_on_with_resume(vip, config, tmp_path, saved_checkpoint) -> None:
    assert vip("train", config, "--resume", "--quiet").code == 0, "it begins where there is none"
    again = vip("train", config)
    assert again.code == 2
    assert (
        again.err
        == f"vip: output {tmp_path}/run: has a run already; go on with it by --resume, or name another folder\n"
    )
    changed = vip("train", write_config(tmp_path, saved_checkpoint, rate=0.5), "--resume")
    assert changed.code == 2
    assert "begun with other settings (train.rate was 0.001 and is 0.5)" in changed.err
    longer = vip("train", write_config(tmp_path, saved_checkpoint, steps=8), "--resume")
    assert longer.code == 0
    assert "going on at step 6, 8 steps" in longer.err
    shorter = vip("train", write_config(tmp_path, saved_checkpoint, steps=7), "--resume")
    assert shorter.code == 2
    assert "run has 8 steps behind it, and train.steps is 7: it can't be less" in shorter.err


BAD = [
    {"id": "a", "image": "meadow.png", "bboxes": [[448, 126, 590, 275]], "conversations": [
        {"from": "human", "value": "<image>\nWhat is <bbox>?"}, {"from": "gpt", "value": "a mushroom"}]},
    {"id": "b", "image": "none.png", "bboxes": [[448, 126, 590, 275]], "conversations": [
        {"from": "human", "value": "<image>\nWhat is <bbox>?"}, {"from": "gpt", "value": "a mushroom"}]},
    {"id": "c", "image": "meadow.png", "bboxes": [[900, 126, 990, 275]], "conversations": [
        {"from": "human", "value": "<image>\nWhat is <bbox>?"}, {"from": "gpt", "value": "a mushroom"}]},
    {"id": "d", "image": "meadow.png", "bboxes": [[448, 126, 590, 275]], "conversations": [
        {"from": "human", "value": "<image>\nWhat is <bbox3>?"}, {"from": "gpt", "value": "a mushroom"}]},
    {"id": "e", "image": "meadow.png", "bboxes": [[448, 126, 590, 275]], "conversations": [
        {"from": "human", "value": "<image>\nWhat is <bbox>?"}]},
]  # fmt: skip


def test_bad_data_is_listed_before_anything_starts(vip, saved_checkpoint, tmp_path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(BAD, indent=1))
    data = f'source = "bad.json"\nimages = "{EXAMPLES}"\nheld_out = 0.0'
    config = write_config(tmp_path, saved_checkpoint, data=data, steps=1)
    ran = vip("train", config)
    assert ran.code == 2
    lines = ran.err.splitlines()
    assert len(lines) == 5
    assert all("bad.json" in line for line in lines[:-1])
    assert lines[-1] == (
        "vip: of the data 4 can't be learnt from and 1 can: mend them, or leave them out with --skip-bad"
    )
    assert not (tmp_path / "run").exists()
    skipped = vip("train", config, "--skip-bad")
    assert skipped.code == 0
    assert "of the data 4 can't be learnt from and 1 can: going on without" in skipped.err


def test_of_warnings_only_those_of_vip_are_shown_and_each_once(saved_checkpoint, tmp_path) -> None:
    """Torch's about more processes than cores isn't; that a picture is cut off behind its header is."""
    (tmp_path / "cut.png").write_bytes((EXAMPLES / "meadow.png").read_bytes()[:40_000])
    (tmp_path / "whole.png").write_bytes((EXAMPLES / "meadow.png").read_bytes())
    rows = [{**BAD[0], "image": name} for name in ("cut.png", "whole.png")]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    config = write_config(tmp_path, saved_checkpoint, data='source = "data.json"\nheld_out = 0.0', steps=2, workers=2)
    pinned = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command(config)]
    ran = subprocess.run(pinned, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "UserWarning" not in ran.stderr
    warned = [line for line in ran.stderr.splitlines() if "cut off" in line]
    assert 1 <= len(warned) <= 2, "once in each process that draws"
    assert warned[0].startswith("vip: warning: data.json, entry 1 (id 'a'): ")


def test_a_dry_run_shows_samples_and_loads_no_weights(vip, saved_checkpoint, tmp_path) -> None:
    import shutil

    from PIL import Image

    base = shutil.copytree(saved_checkpoint, tmp_path / "base")
    (base / "model.safetensors").write_bytes(b"")
    ran = vip("train", write_config(tmp_path, base), "--dry-run")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert sum(line.endswith(" of them learnt") for line in lines) == 12
    assert any("fly?" in line for line in lines)
    assert not any("<bbox" in line for line in lines)
    assert "vip: samples learnt from: 6" in ran.err
    assert Image.open(lines[-1]).size == (1120, 840)
    assert os.listdir(tmp_path / "run") == ["samples.png"]
    trained = vip("train", write_config(tmp_path, base))
    assert trained.code == 1
    assert "is no safetensors file, or is damaged" in trained.err


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ('output = 1\n[model]\nstart = "tiny"\n[[data]]\nsource = "scenes"', 2, "output must be text"),
        ('output = "x"\n[model]\nstart = "nobody"\n[[data]]\nsource = "scenes"', 1, "there is no model 'nobody'"),
        ('output = "x"\n[model]\nstart = "tiny"\n[[data]]\nsource = "none.json"', 2, "none.json"),
    ],
)
def test_what_is_wrong_is_one_sentence(text, code, sentence, vip, tmp_path) -> None:
    (tmp_path / "a.toml").write_text(text)
    ran = vip("train", tmp_path / "a.toml")
    assert ran.code == code
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_behind_a_step_with_a_checkpoint(number, code, saved_checkpoint, tmp_path) -> None:
    config = write_config(tmp_path, saved_checkpoint, steps=100_000, save_every=100_000, workers=2, log_every=1)
    process = subprocess.Popen(
        command(config), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("vip: step 2 "):
        assert process.poll() is None
    os.killpg(process.pid, number)  # as a terminal does, which reaches the processes that draw samples too
    _, rest = process.communicate(timeout=120)
    assert process.returncode == code, rest
    assert "Traceback" not in rest
    last = rest.splitlines()[-1]
    assert last.startswith("vip: stopped at step ")
    assert last.endswith("has it, and the same command with --resume goes on from there")
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] >= 2


def test_a_second_signal_ends_it_at_once(saved_checkpoint, tmp_path, vip, monkeypatch) -> None:
    from vipcli.cli.train import command as its

    with its._stoppable(quiet=True) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert stop()
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)


def test_a_terminal_shows_a_bar(config) -> None:
    child = pexpect.spawn(command(config)[0], command(config)[1:], env=ENVIRONMENT, timeout=120, dimensions=(24, 100))
    shown = child.read().decode()
    child.close()
    assert child.exitstatus == 0
    assert "6/6" in shown
    assert "samples/s" in shown
    assert shown.count("\x1b[?25h") >= 1, "the cursor is shown again"
