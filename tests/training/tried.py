"""A small training that tests run: a random checkpoint, six pictures of the examples, a few steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from vipcli.training import Settings, read_settings

EXAMPLES = Path(__file__).parents[2] / "examples"

DEFAULTS: dict[str, Any] = {
    "stage": "full",
    "vision": 1.0,
    "steps": 6,
    "batch": 3,
    "accumulate": 2,
    "rate": 1e-3,
    "warmup": 2,
    "average": 0.9,
    "log_every": 3,
    "save_every": 2,
    "judge_every": 3,
    "judged": 4,
    "length": 400,
    "workers": 0,
}


def write_config(folder: Path, start: Path | str, name: str = "run", data: str | None = None, **train: Any) -> Path:
    """A configuration `name`.toml whose output is `name`; train: what is other than in `DEFAULTS`."""
    flying = f'source = "{EXAMPLES}/train/flying.json"\nimages = "{EXAMPLES}"\nheld_out = 0.3'
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in (DEFAULTS | train).items())
    file = folder / f"{name}.toml"
    model = f'start = "{start}"\ndtype = "float32"'
    file.write_text(f'output = "{name}"\n[model]\n{model}\n[[data]]\n{data or flying}\n[train]\n{keys}\n')
    return file


def settings_of(folder: Path, start: Path | str, name: str = "run", data: str | None = None, **train: Any) -> Settings:
    """The same, read."""
    return read_settings(write_config(folder, start, name, data, **train))


def command(*arguments: Any) -> list[str]:
    """``vip train`` in a process of its own, with one thread, so that sums come out alike."""
    return [sys.executable, "-m", "vipcli", "train", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


def run(*arguments: Any, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run it to its end, which must be `code`."""
    done = subprocess.run(command(*arguments), env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done


def without_times(log: Path) -> list[dict[str, Any]]:
    """The rows of a log but for how long they took."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
