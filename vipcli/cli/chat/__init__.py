"""``vip chat``: `command` starts it, `lines` and `terminal` read what is typed, `loop` goes round.

`commands` is the table of commands, `marking` and `conversing` are their functions, `state` is what they work on,
`answering` streams an answer, `completion` knows what Tab offers, `editor` is the user's own.
"""

from __future__ import annotations

from vipcli.cli.chat.command import add_to

__all__ = ["add_to"]
