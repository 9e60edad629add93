"""``vip batch``: `command` has its flags and starts it, `engines` says what answers, `progress` shows how it goes.

`outputs` checks where the answers go and writes what is made of them, `stopping` ends the job between two lines,
`dry_run` shows what would be asked.
"""

from __future__ import annotations

from vipcli.cli.batch.command import add_to

__all__ = ["add_to"]
