"""What goes wrong in a training is one sentence, and what was written before it is whole."""

from __future__ import annotations

import errno
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from training.tried import ENVIRONMENT, EXAMPLES, settings_of, write_config

from vipcli.errors import MissingExtra, ModelError, OutputError, UsageError, VipError
from vipcli.training import Saved, prepare, train
from vipcli.training import loop as looping
from vipcli.training.checkpoints import read_checkpoint


def test_processes_that_cannot_be_started_are_said_and_none_stays(saved_checkpoint: Path, tmp_path: Path) -> None:
    """Each takes some file descriptors: with room for a few, the others can't begin."""
    config = write_config(tmp_path, saved_checkpoint, workers=60, judged=0)
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90)); from vipcli.cli import main; "
    )
    program = f"{limited} sys.argv = ['vip', 'train', {str(config)!r}, '--quiet']; main()"
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    said = "vip: 60 processes that draw can't be started (Too many open files): lower train.workers\n"
    assert done.stderr == said, "and it ends once nobody holds its pipes any more"


def test_a_loss_that_isnt_a_number_ends_it_and_keeps_the_last_checkpoint(
    saved_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, saved_checkpoint, accumulate=1)
    forward, calls = looping.Learner.forward, itertools.count()

    def spoiled(self: Any, *arguments: Any) -> Any:
        loss, figures = forward(self, *arguments)
        return loss * (float("nan") if next(calls) == 3 else 1.0), figures

    monkeypatch.setattr(looping.Learner, "forward", spoiled)
    with pytest.raises(VipError, match=r"step 4 diverged.*checkpoint\.pt is from before it.*lower train\.rate"):
        list(train(prepare(settings)))
    state = read_checkpoint(settings.output / "checkpoint.pt")
    assert state["step"] == 2
    assert all(torch.isfinite(one).all() for one in state["learning"]["masters"].values())


@pytest.mark.parametrize(
    ("fault", "kind", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError, "can't be written: No space left on device"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "run/x"),
            OutputError,
            "can't be written: No such file (run/x)",
        ),
        (MemoryError(), VipError, "out of memory: lower train.batch"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), VipError, "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), VipError, "out of memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed"), VipError, "lower train.workers"),
    ],
)
def test_what_the_machine_lacks_is_said(
    fault: Exception, kind: type[VipError], sentence: str, saved_checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    settings = settings_of(tmp_path, saved_checkpoint)
    events = train(prepare(settings))
    while not isinstance(next(events), Saved):
        pass

    def fails(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(looping, "write_checkpoint", fails)
    with pytest.raises(kind) as error:
        list(events)
    assert sentence in str(error.value)
    assert str(error.value).endswith("what was written is whole, and --resume goes on from there")
    assert read_checkpoint(settings.output / "checkpoint.pt")["step"] == 2


def test_a_model_that_finds_no_room_is_said(saved_checkpoint: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The library that writes weights has an error of its own for it."""
    from safetensors import SafetensorError
    from transformers import PreTrainedModel

    def fails(*_: Any, **__: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", fails)
    settings = settings_of(tmp_path, saved_checkpoint, steps=1)
    with pytest.raises(OutputError, match="can't be written: No space left on device; what was written is whole"):
        list(train(prepare(settings)))
    assert not list(settings.output.glob("model*"))


VANISHING = """
import sys
from pathlib import Path
from vipcli.errors import VipError
from vipcli.training import prepare, read_settings, train
config = Path(sys.argv[1])
prepared = prepare(read_settings(config))
for picture in config.parent.glob("*.png"):
    picture.unlink()
kept = []
try:
    list(train(prepared))
except VipError as error:
    kept.append(error)  # and with it, by its traceback, whatever the training had in hand
    print(error)
"""


def test_a_picture_that_vanishes_meanwhile_is_said_and_keeps_nothing_running(
    saved_checkpoint: Path, tmp_path: Path
) -> None:
    """Python ends behind it: it waited for the process that draws, which waited for it."""

    for name in ("meadow.png", "pond.png"):
        shutil.copy(EXAMPLES / name, tmp_path / name)
    data = f'source = "{EXAMPLES}/train/flying.json"\nimages = "."\nheld_out = 0.0'
    config = write_config(tmp_path, saved_checkpoint, data=data, workers=1)
    script = [sys.executable, "-c", VANISHING, str(config)]
    done = subprocess.run(script, env=ENVIRONMENT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"a sample can't be drawn any more: .*png.*\n", done.stdout)


def test_what_cant_be_trained_is_said_before_any_weight_is_loaded(
    saved_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="no model 'nobody'"):
        prepare(settings_of(tmp_path, "nobody"))
    with pytest.raises(ModelError, match=r"there is no folder \S+runs/v4, and runs/v4 isn't on this machine"):
        prepare(settings_of(tmp_path, "runs/v4"))
    (tmp_path / "elsewhere" / "runs" / "v4").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="and paths count from the folder of the file that names them"):
        prepare(settings_of(tmp_path, "runs/v4"))
    with pytest.raises(UsageError, match=r"take \d+ tokens, and train.length is 20"):
        prepare(settings_of(tmp_path, saved_checkpoint, length=20))
    scenes = 'source = "scenes"\n'
    with pytest.raises(UsageError, match=r"no .*none\.json with its \.png beside it.*make_art"):
        prepare(settings_of(tmp_path, saved_checkpoint, data=scenes + 'art = ["none.json"]'))
    with pytest.raises(UsageError, match="no marker 'circle'; use box, ellipse"):
        prepare(settings_of(tmp_path, saved_checkpoint, data=scenes + 'markers = ["circle"]'))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="pip install peft"):
        prepare(settings_of(tmp_path, saved_checkpoint, stage="lora"))
    monkeypatch.delattr("torch.optim.Muon")
    with pytest.raises(UsageError, match=r"needs torch 2\.9 or newer"):
        prepare(settings_of(tmp_path, saved_checkpoint, optimizer="muon"))


def test_without_matplotlib_one_line_says_so(
    saved_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looping, "can_plot", lambda: False)
    settings = settings_of(tmp_path, saved_checkpoint, steps=1)
    events = list(train(prepare(settings)))
    assert [e.sentence for e in events if hasattr(e, "sentence")] == [
        "no loss.png and accuracy.png, since matplotlib isn't there: pip install matplotlib"
    ]
    assert not (settings.output / "loss.png").exists()
    assert json.loads((settings.output / "settings.json").read_text())["facts"]["samples"] == [6]
