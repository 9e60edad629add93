"""The log of a training: a JSON object a line in ``log.jsonl``, and the same for TensorBoard where it is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import TracebackType
from typing import Any

from vipcli.files import write_whole

__all__ = ["Log", "read_log"]


def read_log(file: Path) -> list[dict[str, Any]]:
    """The rows of a log; a line that was torn by a kill is left out."""
    rows = []
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


class Log:
    """A log to write to. step: where the training goes on; rows after it are dropped, since they come again."""

    def __init__(self, file: Path, step: int) -> None:
        self.file = file
        kept = [row for row in read_log(file) if row["step"] <= step]
        if file.exists():
            write_whole("".join(f"{json.dumps(row)}\n" for row in kept).encode(), file)
        self._board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(file.parent / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    def write(self, row: dict[str, Any]) -> None:
        """Write one row at once; it has a ``step``."""
        with self.file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in row.items():
                if name not in ("step", "seconds"):
                    self._board.add_scalar(name, value, row["step"])
