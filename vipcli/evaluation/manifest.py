"""What an evaluation needs to be repeated: ``manifest.json``."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vipcli.files import write_whole

__all__ = ["write_manifest"]

_PACKAGES = ("vipcli", "torch", "transformers", "opencv-python-headless", "pillow", "numpy")


def write_manifest(path: Path, command: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json``: the command, the versions of all that has a say in an answer, and `facts` of the run."""
    about = {
        "command": list(command),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "platform": platform.platform(),
        **facts,
    }
    write_whole(json.dumps(about, indent=1, default=str).encode(), path)


def _version(package: str) -> str | None:
    """None where it isn't installed, as torch where a server answers."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
