"""``python -m vipcli`` is ``vip``."""

from vipcli.cli import program

program()
