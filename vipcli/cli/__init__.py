"""The command line: one file a command, `options` for the shared flags, `console` for everything that is printed."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run ``vip`` and exit with its code; whatever a user can cause ends in one sentence on stderr."""
    try:
        sys.exit(_code())
    except KeyboardInterrupt:  # at any moment, while modules are still being imported too
        sys.exit(130)


def _code() -> int:
    from vipcli.cli import console
    from vipcli.errors import VipError

    try:
        from vipcli.cli.app import run

        return run(sys.argv[1:])
    except BrokenPipeError:  # the reader of a pipe has gone, as in `vip ask ... | head -1`
        console.drop_stdout()
        return 141
    except VipError as error:
        console.complain(error)
        return error.exit_code
    except Exception as error:
        if os.environ.get("VIP_DEBUG"):
            raise
        console.unexpected(error)
        return 1
