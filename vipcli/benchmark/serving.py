"""What a server costs and gives: ``vip ask`` by way of it, one client and many, and what it adds to a first token."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import io
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from vipcli.benchmark.rows import Row
from vipcli.engine import open_engine
from vipcli.errors import ModelError, quote
from vipcli.pointing import mark, to_request

__all__ = ["CLIENTS", "measure_server", "questions_from", "served"]

CLIENTS = 32
_VIP = [sys.executable, "-c", "from vipcli.cli import program; program()"]
_FLOOR = [sys.executable, "-c", "import typer, rich.console"]
_MARKER = "box:25%,25%,75%,75%"
_QUESTION = "What is this?"
_SECONDS = 10.0  # of questions from all clients
_TOKENS = 16
_QUESTIONS = 600


def measure_server(model: str, rounds: int) -> Iterator[Row]:
    """Start a server of `model` and measure it, each comparison `rounds` times in turn; medians."""
    with served(model) as (url, environment):
        with tempfile.TemporaryDirectory() as folder:
            yield _asking(model, Path(folder) / "picture.png", environment, rounds)
        yield from _first_bytes(model, url, 4 * rounds)
        alone, many = [], []
        for _ in range(2):  # in turn
            alone += _together(url, model, 1, _SECONDS / 2)
            many += _together(url, model, CLIENTS, _SECONDS / 2)
    rates = [len(times) / _SECONDS for times in (alone, many)]
    yield Row("answers, 1 client", "answers/s", rates[0])
    yield Row(f"answers, {CLIENTS} clients; beside: 1", "answers/s", rates[1], rates[0])
    for name, times in (("1 client", alone), (f"{CLIENTS} clients", many)):
        median, late = (float(np.percentile(times, share)) for share in (50, 99))
        yield Row(f"an answer, {name}, median", "s", median)
        yield Row(f"of {name} p99; floor: median", "s", late, None, median)


@contextlib.contextmanager
def served(model: str, *flags: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A server of `model` in the background: its address, and an environment in which ``vip ask`` finds it alone."""
    with tempfile.TemporaryDirectory(prefix="vip-") as folder:
        environment = os.environ | {"XDG_RUNTIME_DIR": folder}
        environment.pop("VIP_ENGINE", None)
        command = [*_VIP, "serve", "--background", "--model", model, "--port", "0", *flags]
        started = subprocess.run(command, env=environment, capture_output=True, text=True)
        address = re.search(r"http://\S+", started.stderr)
        if started.returncode or address is None:
            raise ModelError(started.stderr.strip().removeprefix("vip: ") or "the server didn't start")
        try:
            yield address[0].rstrip("/,"), environment
        finally:
            subprocess.run([*_VIP, "serve", "--stop"], env=environment, capture_output=True)


def questions_from(
    url: str, model: str, clients: int, stop: Callable[[], bool], answered: Callable[[float], None]
) -> list[str]:
    """Ask the server from `clients` at once until `stop`; returns what went wrong.

    answered: called with the seconds of each answer. Their pictures come in turn, so many that none is remembered.
    """
    faults: list[str] = []
    bodies = _bodies(model)

    def client() -> None:
        connection = _connect(url)
        try:
            while not stop():
                body = bodies[next(turns) % len(bodies)]
                began = time.perf_counter()
                connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                said = response.read()
                if response.status != 200:
                    faults.append(
                        f"the server answers {response.status}: {quote(said.decode('utf-8', 'replace'), 200)}"
                    )
                    return
                answered(time.perf_counter() - began)
        except (OSError, http.client.HTTPException) as error:
            faults.append(f"{type(error).__name__}: {error}")

    turns = itertools.count()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


def _asking(model: str, picture: Path, environment: dict[str, str], rounds: int) -> Row:
    """``vip ask`` with the server, without it, and what importing the libraries of its command line takes."""
    picture.write_bytes(_picture(np.random.default_rng(0), 640, 480))
    ask = [*_VIP, "ask", str(picture), "--marker", _MARKER, _QUESTION, "--model", model]
    times: dict[str, list[float]] = {"warm": [], "cold": [], "floor": []}
    said = {}
    for number in range(rounds + 1):
        for side, command, turns in (("warm", ask, 3), ("floor", _FLOOR, 3), ("cold", [*ask, "--no-server"], 1)):
            for _ in range(turns):
                began = time.perf_counter()
                said[side] = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
                if number:  # the first round fills the system's caches
                    times[side].append(time.perf_counter() - began)
    if said["warm"] != said["cold"]:
        raise ModelError(f"the server answers {said['warm']!r}, and the model alone {said['cold']!r}")
    warm, cold, floor = (statistics.median(times[side]) for side in ("warm", "cold", "floor"))
    return Row("vip ask; beside: cold; floor: imports", "s", warm, cold, floor)


def _first_bytes(model: str, url: str, rounds: int) -> Iterator[Row]:
    """The first streamed byte beside the first token of the same line in this process, picture by picture in turn."""
    engine = open_engine(model)
    rng = np.random.default_rng(1)
    ours, here = [], []
    connection = _connect(url)
    for number in range(rounds + 2):
        data = _picture(rng, 640, 480)
        body = _body(model, data, stream=True)
        began = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read(1)
        first = time.perf_counter() - began
        response.read()
        began = time.perf_counter()
        marked = mark(io.BytesIO(data), [_MARKER])
        running = engine.stream(to_request(marked, _QUESTION, engine, max_new_tokens=_TOKENS))
        next(running)
        if number >= 2:
            here.append(time.perf_counter() - began)
            ours.append(first)
        running.finished()
    added = statistics.median(a - b for a, b in zip(ours, here, strict=True))
    yield Row("first byte; floor: without a server", "s", statistics.median(ours), None, statistics.median(here))
    yield Row("of which the server adds", "s", added)


def _together(url: str, model: str, clients: int, seconds: float) -> list[float]:
    """Seconds of each answer, after a warm-up of a fifth. Raises `ModelError` where one failed."""
    times: list[float] = []
    begin = time.perf_counter() + seconds / 5
    faults = questions_from(
        url,
        model,
        clients,
        lambda: time.perf_counter() >= begin + seconds,
        lambda one: times.append(one) if begin <= time.perf_counter() < begin + seconds else None,
    )
    if faults or not times:
        raise ModelError(faults[0] if faults else "no answer came in time")
    return times


def _connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)


def _body(model: str, picture: bytes, **more: bool) -> bytes:
    uri = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    image = {"type": "image_url", "image_url": {"url": uri}, "markers": [_MARKER]}
    content = [image, {"type": "text", "text": _QUESTION}]
    return json.dumps(
        {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": _TOKENS, **more}
    ).encode()


@functools.cache
def _bodies(model: str) -> list[bytes]:
    """Questions that are made before anything is measured."""
    rng = np.random.default_rng(2)
    return [_body(model, _picture(rng)) for _ in range(_QUESTIONS)]


def _picture(rng: np.random.Generator, width: int = 320, height: int = 240) -> bytes:
    """A picture that nobody has seen before, as PNG."""
    blocks = rng.integers(0, 255, (height // 20, width // 20, 3), dtype=np.uint8)
    output = io.BytesIO()
    Image.fromarray(np.kron(blocks, np.ones((20, 20, 1), np.uint8))).save(output, "PNG", compress_level=1)
    return output.getvalue()
