"""``vip eval``: `command` has its flags and starts it, `outputs` writes what it comes to, `showing` shows that."""

from __future__ import annotations

from vipcli.cli.eval.command import add_to

__all__ = ["add_to"]
