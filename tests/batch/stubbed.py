"""The command on an engine that answers at once and workers that are no processes.

As a program, it imports everything once and then runs a command line for each line of JSON that it reads, in a fork of
itself, which is soon there and may be killed.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from PIL import Image

import vipcli.batch.feeding
import vipcli.cli.batch.command
import vipcli.cli.batch.engines
from vipcli.batch import Workers
from vipcli.batch.preparing import Prepared
from vipcli.cli import main
from vipcli.cli.app import run
from vipcli.engine import Answer, Feed, Job, Result
from vipcli.errors import ModelError
from vipcli.processes import outcome


class Stub:
    """An engine that answers with the prompt. pause: seconds for every answer. A prompt with "flaky" often fails."""

    name, side, patch, template, context = "stub", 28, 14, None, None
    special_tokens: Collection[str] = frozenset(["<image>"])

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.asked: deque[str] = deque(maxlen=100)

    def answers(self, feed: Feed, at_once: int | None = None) -> Iterator[Result]:
        held: deque[Job] = deque()
        while True:
            while len(held) < (at_once or 8) and (job := feed.take(wait=not held)) is not None:
                held.append(job)
            if not held:
                return
            if self.pause:
                time.sleep(self.pause)
            job = held.popleft()
            prompt = job.request.prompt
            self.asked.append(prompt)
            if "broken" in prompt or ("flaky" in prompt and random.random() < 0.5):
                yield Result(job.key, None, ModelError("no luck"))
            else:
                yield Result(job.key, Answer(prompt, "stop", 9, 3, self.pause, self.pause))


class Inline(Workers):
    """Workers that do a task when somebody asks for what came of it."""

    def __init__(self, _count: int = 1) -> None:
        super().__init__(0)
        self._tasks: deque[Any] = deque()

    def put(self, key: Any, task: Any, *inputs: Any) -> None:
        self._tasks.append((key, task, inputs))
        self.busy += 1

    def get(self, wait: bool) -> tuple[Any, Any] | None:  # noqa: ARG002
        if not self._tasks:
            return None
        key, task, inputs = self._tasks.popleft()
        self.busy -= 1
        return key, outcome(task, inputs)


def blank(item: Any, facts: Any) -> Prepared:
    """In place of `prepare`: nothing is opened."""
    return Prepared(np.zeros((8, 8, 3), np.uint8), item.question)


def _warm_up() -> None:
    """Import whatever a command needs."""
    vipcli.batch.Workers = Inline  # type: ignore[misc]
    vipcli.cli.batch.engines.open_engine_for_batch = lambda *_, **__: Stub()  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (30, 20)).save(f"{folder}/dot.png")
        run(["batch", folder, "-o", f"{folder}/out.jsonl", "-q", "Hm?", "-m", "tiny"])


def _run(arguments: list[str], pause: float, blanks: bool) -> None:
    """Be the command."""
    sys.argv = ["vip", *arguments]
    vipcli.cli.batch.engines.open_engine_for_batch = lambda *_, **__: Stub(pause)  # type: ignore[assignment]
    if blanks:
        vipcli.batch.feeding.prepare = blank
    random.seed()
    code: Any = 1
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    """Read {"argv", "pause", "blanks", "signal", "after"}, answer {"code", "seconds", "peak"}: kilobytes of memory."""
    for line in sys.stdin:
        order = json.loads(line)
        began = time.monotonic()
        ready, started = os.pipe()
        child = os.fork()
        if not child:
            os.close(0)
            os.write(started, b".")
            _run(order["argv"], order["pause"], order["blanks"])
        os.read(ready, 1)
        os.close(ready)
        os.close(started)
        if order["signal"]:
            time.sleep(order["after"])
            os.kill(child, order["signal"])  # it may have ended, and isn't forgotten before it is waited for
        _, status, usage = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "seconds": time.monotonic() - began, "peak": usage.ru_maxrss}), flush=True)


if __name__ == "__main__":
    _warm_up()
    _serve()
