"""The steps of an answer, measured: ours beside the plain transformers script and beside the floor."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vipcli.benchmark.floors import decode_floor, matmul_rate, prefill_floor, read_rate, vision_floor, wait_for
from vipcli.benchmark.models import Sides
from vipcli.engine import Request, features
from vipcli.errors import ModelError
from vipcli.prompt import IMAGE

__all__ = ["Row", "measure"]

_QUESTION = "What is the object within the red rectangle?"
_ANSWER_TOKENS = 32  # of a decode that is measured
_SHORT = 8  # tokens of the answers to several questions
_OUR_PEAK = """
import sys, numpy as np
from vipcli.engine import Model, Request
from vipcli.engine.loading import load
folder, device, kind = sys.argv[1:]
from pathlib import Path
engine = load(Model("it", folder=Path(folder)), device=device, dtype=kind)
prompt = "###Human: <image>\\nWhat is this?###Assistant:"
engine.stream(Request(np.zeros((480, 640, 3), np.uint8), prompt, max_new_tokens=8)).finished()
"""
_PLAIN_PEAK = """
import sys, torch, numpy as np
from PIL import Image
from transformers import VipLlavaForConditionalGeneration, LlavaProcessor
folder, device, kind = sys.argv[1:]
model = VipLlavaForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, kind)).to(device)
processor = LlavaProcessor.from_pretrained(folder)
picture = Image.fromarray(np.zeros((480, 640, 3), np.uint8))
inputs = processor(images=picture, text="###Human: <image>\\nWhat is this?###Assistant:", return_tensors="pt")
model.generate(**inputs.to(device, model.dtype), max_new_tokens=8)
"""
_PEAK = """
import resource, torch
from pathlib import Path
status = Path("/proc/self/status")  # unlike getrusage, it doesn't count what the process was before
if device.startswith("cuda"):
    peak = torch.cuda.max_memory_allocated()
elif status.exists():
    peak = 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / 1e6)
"""
_IMPORTS = {
    "ours": "import vipcli.engine.loading",
    "plain": "import torch; from transformers import VipLlavaForConditionalGeneration, LlavaProcessor",
}


@dataclass(frozen=True)
class Row:
    """One measurement, in `unit` (``s``, ``tokens/s``, ``answers/s`` or ``MB``); medians over the rounds.

    plain: the transformers script; floor: what the machine allows. None where there is no such thing.
    """

    name: str
    unit: str
    ours: float
    plain: float | None = None
    floor: float | None = None

    @property
    def gain(self) -> float | None:
        """How many times better than the plain script."""
        if self.plain is None:
            return None
        return self.ours / self.plain if self.unit.endswith("/s") else self.plain / self.ours

    @property
    def of_floor(self) -> float | None:
        """How many times the floor's time; 1 can't be beaten."""
        if self.floor is None:
            return None
        return self.floor / self.ours if self.unit.endswith("/s") else self.ours / self.floor


def measure(sides: Sides, rounds: int = 1) -> Iterator[Row]:
    """Measure the steps one after the other, each `rounds` times after a warm-up, both sides in turn."""
    its = _Work(sides)
    device, kind = sides.model.device, sides.model.dtype
    timed = partial(_seconds, device=device)

    def multiplying() -> float:
        return matmul_rate(device, kind, rows=its.prompt_tokens)

    def seeing(rate: float) -> float:
        return vision_floor(sides.model, len(sides.engine.model.model.vision_tower.encoder.layers), rate)

    def beginning() -> float:
        rate = multiplying()
        return seeing(rate) + prefill_floor(sides.model, its.prompt_tokens, rate)

    def going_on() -> float:
        return 1 / decode_floor(sides.model, its.prompt_tokens, read_rate(device))

    ours, plain = (timed(partial(_run, _IMPORTS[side])) for side in ("ours", "plain"))
    yield _row("import", ours, plain, rounds)
    if sides.load_seconds:
        yield Row("load", "s", *sides.load_seconds)
    yield _row("picture and prompt to tensors", timed(its.prepare), timed(its.plain_prepare), rounds)
    yield _row("vision", timed(its.look), timed(its.plain_look), rounds, lambda: seeing(multiplying()))
    yield _row("time to first token", timed(its.first), timed(its.plain_first), rounds, beginning)
    yield _row("decode, tokens a second", its.rate, its.plain_rate, rounds, going_on, unit="tokens/s")
    for turns in (1, 20):
        its.converse(turns)
        name = f"follow-up's first token, after {turns} turn{'s' if turns > 1 else ''}"
        yield _row(name, its.follow_up, timed(its.plain_follow_up), rounds)
    yield _row("8 questions about one picture", timed(its.eight), timed(its.plain_eight), rounds)
    if sides.folder is not None:
        peaks = (_peak(code, sides.folder, str(device), kind) for code in (_OUR_PEAK, _PLAIN_PEAK))
        yield Row("peak memory of a first answer", "MB", *peaks)


def _peak(code: str, folder: Path, device: str, kind: torch.dtype) -> float:
    """Megabytes that a process of its own took at most: on the device, where that has memory of its own."""
    name = str(kind).removeprefix("torch.")
    command = [sys.executable, "-c", f"{code}\n{_PEAK}", str(folder), device, name]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise ModelError(f"a process that measures memory ended with code {ran.returncode}; is there enough of it?")
    return float(ran.stdout)


def _row(
    name: str,
    ours: Callable[[], float],
    plain: Callable[[], float],
    rounds: int,
    floor: Callable[[], float] | None = None,
    unit: str = "s",
) -> Row:
    """Both sides in turn, after each was tried once, and the floor between them: machines change by the second."""
    ours(), plain()
    sides: list[tuple[float, ...]] = []
    for _ in range(rounds):
        sides.append((ours(), *([floor()] if floor else []), plain()))
    mine, *lowest, theirs = (statistics.median(side) for side in zip(*sides, strict=True))
    return Row(name, unit, mine, theirs, lowest[0] if lowest else None)


def _seconds(work: Callable[[], object], device: torch.device) -> Callable[[], float]:
    def timed() -> float:
        began = time.perf_counter()
        work()
        wait_for(device)
        return time.perf_counter() - began

    return timed


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


class _Work:
    """What is done on each side, the same on both."""

    def __init__(self, sides: Sides) -> None:
        self._engine, self._model, self._processor = sides.engine, sides.model, sides.processor
        self._device = sides.model.device
        self._picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
        self._prompt = f"###Human: {IMAGE}\n{_QUESTION}###Assistant:"
        self._history = self._prompt
        self._number = 0
        self._pixels = self._engine.prepare(self._request(self._prompt, 1))["pixel_values"]
        self.prompt_tokens = self._engine.prepare(self._request(self._prompt, 1))["input_ids"].shape[1]

    def _request(self, prompt: str, tokens: int) -> Request:
        return Request(self._picture, prompt, max_new_tokens=tokens)

    def _generate(self, prompt: str, tokens: int) -> None:
        image = Image.fromarray(self._engine.seen(self._picture, "pad"))
        inputs = self._processor(images=image, text=prompt, return_tensors="pt")
        inputs = inputs.to(self._model.device, self._model.dtype)
        self._model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)

    def prepare(self) -> None:
        self._engine.prepare(self._request(self._prompt, 1))

    def plain_prepare(self) -> None:
        image = Image.fromarray(self._engine.seen(self._picture, "pad"))
        inputs = self._processor(images=image, text=self._prompt, return_tensors="pt")
        inputs.to(self._model.device, self._model.dtype)

    @torch.inference_mode()
    def look(self) -> None:
        features(self._engine.model, self._pixels)

    @torch.inference_mode()
    def plain_look(self) -> None:
        features(self._model, self._pixels)

    def first(self) -> None:
        self._engine.forget()
        self._engine.stream(self._request(self._prompt, 1)).finished()

    def plain_first(self) -> None:
        self._generate(self._prompt, 1)

    def rate(self) -> float:
        answer = self._engine.stream(self._request(self._prompt, _ANSWER_TOKENS)).finished()
        assert answer.seconds_to_first is not None
        return (_ANSWER_TOKENS - 1) / (answer.seconds - answer.seconds_to_first)

    def plain_rate(self) -> float:
        while True:
            short = _seconds(lambda: self._generate(self._prompt, 1), self._device)()
            long = _seconds(lambda: self._generate(self._prompt, _ANSWER_TOKENS), self._device)()
            if long > short:  # else the machine did something else just then
                return (_ANSWER_TOKENS - 1) / (long - short)

    def converse(self, turns: int) -> None:
        """Let there have been a conversation of so many turns."""
        self._history = self._prompt + "".join(
            f" a red ball, number {number}###Human: {_QUESTION}###Assistant:" for number in range(turns - 1)
        )

    def follow_up(self) -> float:
        """Seconds to the first token of a question that comes behind the conversation so far."""
        self._number += 1
        before = self._request(self._history, 1)
        self._engine.stream(before).finished()
        asked = self._request(f"{self._history} a red ball###Human: Is it {self._number} or more?###Assistant:", 1)
        return _seconds(lambda: self._engine.stream(asked).finished(), self._device)()

    def plain_follow_up(self) -> None:
        self._generate(f"{self._history} a red ball###Human: Is it {self._number} or more?###Assistant:", 1)

    def eight(self) -> None:
        self._engine.forget()
        for number in range(8):
            self._engine.stream(self._request(self._several(number), _SHORT)).finished()

    def plain_eight(self) -> None:
        for number in range(8):
            self._generate(self._several(number), _SHORT)

    def _several(self, number: int) -> str:
        return self._prompt.replace(_QUESTION, f"Is object {number} within the red rectangle?")
