"""What Ctrl-C and SIGTERM do to ``vip batch``."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Stopped", "stoppable"]


@dataclass
class Stopped:
    """Which signal ended the job, as an exit code."""

    code: int = 130


@contextmanager
def stoppable() -> Iterator[Stopped]:
    """Let SIGTERM end the job as Ctrl-C does: between two lines of the journal."""
    stopped = Stopped()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(number: int, _: object) -> None:
        stopped.code = 128 + number
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    except KeyboardInterrupt:  # before the job had begun, or a second time
        sys.exit(stopped.code)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
