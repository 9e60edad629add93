"""The command line: one file a command, `options` for the shared flags, `console` for everything that is printed."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run ``vip`` and exit with its code; whatever a user can cause ends in one sentence on stderr."""
    from vipcli.cli import console
    from vipcli.errors import VipError

    try:
        from vipcli.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # the reader of a pipe has gone, as in `vip ask ... | head -1`
        console.drop_stdout()
        code = 141
    except VipError as error:
        console.complain(error)
        code = error.exit_code
    except Exception as error:
        if os.environ.get("VIP_DEBUG"):
            raise
        console.unexpected(error)
        code = 1
    sys.exit(code)
