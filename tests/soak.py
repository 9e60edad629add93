"""A server asked for a long time at half of what it can: python tests/soak.py [MINUTES], 30 by default.

It ends with 1 where a request failed, or where the server's memory left the range of 5 % around what it was after the
first minute (of a shorter run: after its first third).
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from vipcli.benchmark.serving import questions_from, served
from vipcli.server import servers_in

CLIENTS = 8
FLAT = 0.05


@dataclass(frozen=True)
class Moment:
    """What was seen: after so many seconds, the server's memory (private bytes and shared), and answers so far."""

    seconds: float
    memory: int
    answers: int


@dataclass(frozen=True)
class Soaked:
    """The whole run. settled: from which second memory counts."""

    moments: list[Moment]
    faults: list[str]
    settled: float

    @property
    def drift(self) -> float:
        """By how much memory left what it was when it had settled, as a share of it."""
        counted = [one.memory for one in self.moments if one.seconds >= self.settled]
        return max(abs(one / counted[0] - 1) for one in counted)


class Pace:
    """Lets questions through at `rate` a second altogether, whoever asks."""

    def __init__(self, rate: float) -> None:
        self._apart, self._next, self._lock = 1 / rate, time.monotonic(), threading.Lock()

    def wait(self) -> None:
        with self._lock:
            self._next = max(self._next + self._apart, time.monotonic() - 1)
            pause = self._next - time.monotonic()
        if pause > 0:
            time.sleep(pause)


def soak(url: str, pid: int, seconds: float, every: float) -> Soaked:
    """Ask the server with process `pid` for so long, looking at its memory every so many seconds."""
    times: list[float] = []
    tried = min(10.0, seconds / 5)
    until = time.monotonic() + tried
    faults = questions_from(url, "tiny", CLIENTS, lambda: time.monotonic() > until, times.append)
    pace = Pace(max(1.0, len(times) / tried / 2))
    times.clear()
    began = time.monotonic()
    moments: list[Moment] = []

    def is_over() -> bool:
        pace.wait()
        return time.monotonic() - began > seconds

    asking = threading.Thread(target=lambda: faults.extend(questions_from(url, "tiny", CLIENTS, is_over, times.append)))
    asking.start()
    process = psutil.Process(pid)
    while asking.is_alive():
        moments.append(Moment(time.monotonic() - began, process.memory_info().rss, len(times)))
        asking.join(every)
    return Soaked(moments, faults, min(60.0, seconds / 3))


def servers(environment: dict[str, str]) -> Iterator[int]:
    """Processes of the servers that were started in `environment`."""
    for one in servers_in(Path(environment["XDG_RUNTIME_DIR"]) / "vip"):
        yield one.pid


def main(minutes: float) -> int:
    with served("tiny") as (url, environment):
        (pid,) = servers(environment)
        done = soak(url, pid, 60 * minutes, max(1.0, minutes))
    for one in done.moments:
        print(f"{one.seconds:7.0f} s  {one.memory / 1e6:8.1f} MB  {one.answers:8} answers")
    counted = [one.memory for one in done.moments if one.seconds >= done.settled]
    print(
        f"memory within {100 * done.drift:.1f} % (median {statistics.median(counted) / 1e6:.1f} MB)", *done.faults[:3]
    )
    return int(bool(done.faults) or done.drift > FLAT)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 30))
