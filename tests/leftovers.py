"""What a test run leaves behind: processes that it started, directly or not, and that still run when it is over.

One of them may hold the pipe that whoever started the tests reads to its end, which then never comes.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

import psutil

_MARK = "VIP_TEST_RUN"
_PATIENCE = 10.0  # seconds that what is about to end has for it


def mark() -> None:
    """Mark this process, so that whatever it starts from now on is known to be its."""
    os.environ[_MARK] = secrets.token_hex(8)


def end_leftovers() -> list[str]:
    """End all processes that this one has started and that are still there in a while; returns what each was."""
    until = time.monotonic() + _PATIENCE
    while (left := _left()) and time.monotonic() < until:
        time.sleep(0.1)
    said = []
    for process in left:
        try:
            said.append(f"pid {process.pid}: {' '.join(process.cmdline())[:300] or process.name()}")
            process.kill()
        except psutil.Error:  # it has ended just now
            continue
    psutil.wait_procs(left, 5)
    return said


def _left() -> list[psutil.Process]:
    """By the mark in their environment, or, where they have another one, by who started them."""
    mark = f"{_MARK}={os.environ[_MARK]}".encode()
    those = {process.pid: process for process in psutil.Process().children(recursive=True)}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                those.setdefault(int(folder.name), psutil.Process(int(folder.name)))
        except (OSError, psutil.Error):  # it is another user's, or has ended
            continue
    those.pop(os.getpid(), None)
    return [process for process in those.values() if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and not _lives_with_its_owner(process)
    except psutil.Error:
        return False


def _lives_with_its_owner(process: psutil.Process) -> bool:
    """Whether it is the process in which Python counts shared memory: one for all of a run, which ends with it."""
    return process.ppid() == os.getpid() and "resource_tracker" in " ".join(process.cmdline())
