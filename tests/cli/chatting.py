"""Ways to chat in a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
MUSHROOM, HOUSE, CHEESE = "440,118,598,283", "57,287,231,461", "33,42,272,217"


def reader(*entries):
    """What reads `entries`; an exception among them is raised."""
    left = [*entries, EOFError()]

    def read():
        entry = left.pop(0)
        if isinstance(entry, BaseException):
            raise entry
        return entry

    return read


def in_shell(command):
    """A command line with ``CHAT`` in it run by a shell, in a process of its own."""
    chat = f"{sys.executable} -m vipcli chat examples/meadow.png -m tiny"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("CHAT", chat)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
