"""``vip train``: `command` has its flags and starts it, `progress` shows how it goes."""

from __future__ import annotations

from vipcli.cli.train.command import add_to

__all__ = ["add_to"]
