"""Starting processes whose memory is measured, and looking after those that others start."""

from __future__ import annotations

from pathlib import Path

# A process inherits the peak (ru_maxrss) of the one that starts it, which in a long test run is that of torch and every
# model loaded before; a shell in between has none worth speaking of.
WITH_ITS_OWN_PEAK = ["sh", "-c", '"$0" "$@"; exit $?']


def children(pid: int) -> list[int]:
    """The processes that one has started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process is still there, and more than an entry in the table that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
