"""The command line: one file a command, `options` for the shared flags, `console` for everything that is printed."""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import os
import sys


def program() -> None:
    """The program ``vip``: `main` in a process of its own, which starts and ends without needless work."""
    gc.set_threshold(50_000)  # what an import makes is no garbage: looking for it takes 10 of 170 ms of `vip mark`
    for stream in (sys.stdout, sys.stderr):  # what a terminal's encoding lacks is written as \\u...
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    # Taking the interpreter apart takes 20 ms behind `vip mark` and more behind torch; the system does it for nothing.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none, or nobody listens
            stream.flush()
    os._exit(code)


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
    except (console.ReaderGone, BrokenPipeError):
        console.drop_stdout()
        return 141
    except VipError as error:
        console.complain(error)
        return error.exit_code
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EBADF):  # typer's own writing
            console.drop_stdout()
            console.complain(VipError(f"standard output can't be written: {error.strerror}"))
            return 1
        if os.environ.get("VIP_DEBUG"):
            raise
        console.unexpected(error)
        return 1
