"""Where a training stands: written whole or not at all, and read again after a kill."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

import torch

from vipcli.errors import UsageError, quote

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Replace `file` by `state`; a kill leaves the old one or the new one. Raises `OSError` where there is no room."""
    part = file.with_suffix(".part")  # always the same name, so that kills leave one of them at most
    try:
        with part.open("wb") as out:
            try:
                torch.save(state, out)
            except RuntimeError as error:  # torch's way of saying that a file can't be written
                reason = next((one for one in (error.__cause__, error.__context__) if isinstance(one, OSError)), None)
                raise reason or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, file)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Raises `UsageError` where it isn't one."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        return {"step": state["step"], "learning": state["learning"], **state}
    except Exception:
        raise UsageError(
            f"{quote(str(file))}: is no checkpoint of vip train, or is damaged; delete it to begin again"
        ) from None
