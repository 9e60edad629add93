"""``vip eval``: `command` has its flags and starts it, `planning` makes of them what is asked.

A model is asked in `asking`; answers `given` in a file are scored without one. `judged` has the judge, `outputs` writes
and shows what it comes to. `comparing` shows two such folders side by side.
"""

from __future__ import annotations

from vipcli.cli.eval.command import add_to

__all__ = ["add_to"]
