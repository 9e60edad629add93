"""`vipcli.training.runs`, `checkpoints` and `logs`: the output folder."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from training.tried import settings_of

from vipcli.errors import UsageError
from vipcli.training.checkpoints import read_checkpoint, write_checkpoint
from vipcli.training.logs import Log, read_log
from vipcli.training.runs import Run

STATE = {"step": 3, "learning": {"masters": {"a": torch.ones(3)}}}


def begun(folder: Path, facts: dict[str, Any] | None = None, **train: Any) -> Run:
    """A run that has been begun with a checkpoint."""
    run = Run(settings_of(folder, "tiny", **train), resume=False, facts=facts or {"samples": [6]})
    with run:
        write_checkpoint(run.checkpoint, STATE)
    return run


def test_a_folder_with_a_run_is_gone_on_with_only_where_that_is_said(tmp_path: Path) -> None:
    run = begun(tmp_path)
    with pytest.raises(UsageError, match=r"run: has a run already; go on with it by --resume, or name another folder"):
        run.check()
    with Run(settings_of(tmp_path, "tiny"), resume=True, facts={"samples": [6]}):
        pass


def test_what_was_only_prepared_is_no_run(tmp_path: Path) -> None:
    with Run(settings_of(tmp_path, "tiny"), resume=False):
        pass
    with Run(settings_of(tmp_path, "tiny", rate=1.0), resume=False):
        pass
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]["train.rate"] == 1.0


def test_changed_settings_are_refused_and_named(tmp_path: Path) -> None:
    begun(tmp_path)
    with pytest.raises(UsageError) as error:
        Run(settings_of(tmp_path, "7b", rate=0.5), resume=True).check()
    assert "begun with other settings" in str(error.value)
    assert "train.rate was 0.001 and is 0.5" in str(error.value)
    assert 'model.start was "tiny" and is "7b"' in str(error.value)
    with pytest.raises(UsageError, match=r"samples was \[6\] and is \[7\]"):
        Run(settings_of(tmp_path, "tiny"), resume=True, facts={"samples": [7]}).check()


def test_how_long_and_how_often_may_change(tmp_path: Path) -> None:
    begun(tmp_path)
    changed = {"steps": 9, "log_every": 1, "save_every": 1, "judge_every": 1, "judged": 0, "workers": 1}
    Run(settings_of(tmp_path, "tiny", **changed), resume=True, facts={"samples": [6]}).check()


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "tiny")
    with Run(settings, resume=False), pytest.raises(UsageError, match="another vip is writing it"):
        Run(settings, resume=True).__enter__()
    with Run(settings, resume=True):
        pass


def test_a_folder_that_cant_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="is a file; name a folder"):
        Run(settings_of(tmp_path, "tiny"), resume=False).check()
    (tmp_path / "run").unlink()
    long = dataclasses.replace(settings_of(tmp_path, "tiny"), output=tmp_path / ("x" * 300))
    with pytest.raises(UsageError, match="can't be read: File name too long"):
        Run(long, resume=False).check()
    begun(tmp_path)
    (tmp_path / "run" / "settings.json").write_text("[]")
    with pytest.raises(UsageError, match=r"settings\.json: isn't what vip train writes"):
        Run(settings_of(tmp_path, "tiny"), resume=True).check()


def test_nothing_of_others_is_written_over(tmp_path: Path) -> None:
    """A model and settings that lie where the run's own would."""
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "run" / "model")
    for start in ("run/model", "link"):
        with pytest.raises(UsageError, match=r"the model that \[model\] start names lies in it"):
            Run(settings_of(tmp_path, start), resume=True).check()
    with pytest.raises(UsageError, match="has a model or a log, and no run to go on with; name another folder"):
        Run(settings_of(tmp_path, "tiny"), resume=True).check()
    (tmp_path / "run" / "model").rmdir()
    (tmp_path / "run" / "settings.json").write_text('{"editor.tabSize": 4}')
    with pytest.raises(UsageError, match=r"settings\.json: isn't what vip train writes; name another output"):
        Run(settings_of(tmp_path, "tiny"), resume=False).__enter__()


def test_a_name_that_the_model_could_not_be_written_to_is_refused(tmp_path: Path) -> None:
    odd = dataclasses.replace(settings_of(tmp_path, "tiny"), output=tmp_path / "m\udcfcller")
    with pytest.raises(UsageError, match="isn't UTF-8, and libraries that write the model take no other"):
        Run(odd, resume=False).check()


def test_a_checkpoint_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """A limit to the size of files stands for a full disk."""
    file = tmp_path / "checkpoint.pt"
    write_checkpoint(file, STATE)
    before = file.read_bytes()
    script = (
        "import sys, resource, signal, torch; from pathlib import Path\n"
        "from vipcli.training.checkpoints import write_checkpoint\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.RLIM_INFINITY}))\n"
        "try: write_checkpoint(Path(sys.argv[1]), {'step': 4, 'learning': {'a': torch.ones(9999)}})\n"
        "except OSError as error: sys.exit(0 if error.strerror else 1)\n"
        "sys.exit(2)"
    )
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02."])
def test_what_is_no_checkpoint_is_said(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="is no checkpoint of vip train, or is damaged"):
        read_checkpoint(file)


def test_a_pickle_that_runs_code_is_no_checkpoint(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"step": 1, "learning": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(UsageError, match="is no checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "ran").exists()


def test_rows_after_the_checkpoint_are_dropped_and_torn_ones_too(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text(
        '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.5}\nnonsense\n{"step": 3, "loss": 1.0}\n{"step": 4, "l'
    )
    with Log(file, 2) as log:
        log.write({"step": 3, "loss": 1.25})
    assert [(row["step"], row["loss"]) for row in read_log(file)] == [(1, 2.0), (2, 1.5), (3, 1.25)]
    assert read_log(tmp_path / "none.jsonl") == []


def test_tensorboard_gets_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Log(tmp_path / "log.jsonl", 0) as log:
        log.write({"step": 3, "seconds": 1.0, "loss": 1.25})
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(one.step, one.value) for one in board.Scalars("loss")] == [(3, 1.25)]
