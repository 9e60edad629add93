"""The folder of a training: one writer at a time, one set of settings.

::

    settings.json        what the training was begun with
    checkpoint.pt        where it stands
    log.jsonl            a line each `train.log_every` steps, and for each time it was judged
    loss.png, accuracy.png, tensorboard/
    model/               what it made: a plain Hugging Face folder
    heads.safetensors    the dense heads, where there are some
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock

from vipcli.errors import UsageError, quote
from vipcli.files import write_whole
from vipcli.training.settings import Settings

__all__ = ["Run", "identity"]

# What may change on the way: how long, where, and how often something is written.
_FREE = ("steps", "log_every", "save_every", "judge_every", "judged", "workers")


def identity(settings: Settings) -> dict[str, Any]:
    """What tells a training from another, by the keys of its TOML."""
    whole = dataclasses.asdict(settings)
    train = {name: value for name, value in whole["train"].items() if name not in _FREE}
    found = {f"train.{name}": value for name, value in train.items()}
    fresh = whole["model"].pop("fresh") or {}
    found |= {f"model.fresh.{name}": value for name, value in fresh.items()}
    found |= {f"model.{name}": value for name, value in whole["model"].items() if name != "dtype"}
    if settings.train.stage == "lora":
        found |= {f"lora.{name}": value for name, value in whole["lora"].items()}
    for number, data in enumerate(whole["data"], 1):
        found |= {f"data[{number}].{name}": value for name, value in data.items()}
    return found


class Run:
    """The output folder of a training, open for writing by nobody else.

    facts: beside the settings, what the training depends on (how many samples there are, say). resume: whether a run
    that is there already is gone on with.
    """

    def __init__(self, settings: Settings, *, resume: bool, facts: Mapping[str, Any] | None = None) -> None:
        self.folder = settings.output
        self._settings, self._resume = settings, resume
        self._facts = dict(facts or {})
        self._lock = filelock.FileLock(self.folder / ".lock", blocking=False)

    @property
    def checkpoint(self) -> Path:
        """Its file."""
        return self.folder / "checkpoint.pt"

    @property
    def log(self) -> Path:
        """Its file."""
        return self.folder / "log.jsonl"

    @property
    def model(self) -> Path:
        """The folder of what is made."""
        return self.folder / "model"

    def check(self) -> None:
        """Raise what entering would, as far as it can be known without writing anything."""
        shown = quote(str(self.folder))
        try:
            self._check(shown)
        except OSError as error:  # too long a name, a folder above that may not be entered
            raise UsageError(f"output {shown}: can't be read: {error.strerror}") from None

    def _check(self, shown: str) -> None:
        try:
            str(self.folder).encode()
        except UnicodeEncodeError:
            raise UsageError(f"output {shown}: isn't UTF-8, and libraries that write the model take no other") from None
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"output {shown}: is a file; name a folder")
        start = self._settings.path(self._settings.model.start or "")
        if os.path.isdir(start) and os.path.isdir(self.model) and os.path.samefile(start, self.model):
            raise UsageError(f"output {shown}: the model that [model] start names lies in it and would be written over")
        has_run = any(one.exists() for one in (self.checkpoint, self.log, self.model))
        if has_run and not self._resume:
            raise UsageError(f"output {shown}: has a run already; go on with it by --resume, or name another folder")
        file = self.folder / "settings.json"
        if not file.is_file():
            if has_run and not self.checkpoint.is_file():
                raise UsageError(f"output {shown}: has a model or a log, and no run to go on with; name another folder")
            return
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
            changed = _changes(before["settings"], self._begun_with()["settings"])
            if self._facts:
                changed += _changes(before["facts"], self._begun_with()["facts"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            raise UsageError(
                f"{quote(str(file))}: isn't what vip train writes; name another output, or delete it to go on unchecked"
            ) from None
        if changed and has_run:
            more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
            raise UsageError(f"--resume: {shown} was begun with other settings ({'; '.join(changed[:4])}{more})")

    def __enter__(self) -> Run:
        shown = quote(str(self.folder))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except filelock.Timeout:
            raise UsageError(f"output {shown}: another vip is writing it") from None
        except OSError as error:
            raise UsageError(f"output {shown}: can't be written: {error.strerror}") from None
        try:
            self.check()
            write_whole(json.dumps(self._begun_with(), indent=1).encode(), self.folder / "settings.json")
        except OSError as error:
            self._lock.release()
            raise UsageError(f"output {shown}: can't be written: {error.strerror}") from None
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()  # its file stays: who unlinks it may unlink the next one's

    def _begun_with(self) -> dict[str, dict[str, Any]]:
        return json.loads(json.dumps({"settings": identity(self._settings), "facts": self._facts}))


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} was {_shown(before.get(name))} and is {_shown(now.get(name))}" for name in names]


def _shown(value: Any) -> str:
    return "not set" if value is None else quote(json.dumps(value))
