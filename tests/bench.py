"""What vip costs beside what can't be avoided: `make bench`, or python tests/bench.py.

Each row alternates both sides and prints their medians and the ratio. A floor is what the libraries alone cost, or one
copy of the bytes that must be touched.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[1]
VIP = [str(Path(sys.executable).with_name("vip"))]
# As installed: with the bytecode that pip compiled.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
MEADOW = str(REPOSITORY / "examples" / "meadow.png")
BOX = ["--box", "440,118,598,283"]


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY, env=ENVIRONMENT)
    return time.perf_counter() - began


def side_by_side(name: str, ours, floor, runs: int, target: float) -> None:
    """Run both in turn after one warm-up each and print medians and the median ratio."""
    ours(), floor()
    pairs = [(ours(), floor()) for _ in range(runs)]
    ratio = statistics.median(a / b for a, b in pairs)
    mine, its = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"{name:42} {1000 * mine:9.1f} ms   floor {1000 * its:9.1f} ms   x{ratio:5.2f}   (wanted: x{target})")


def commands() -> None:
    python = [sys.executable, "-c"]
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            ("vip --help", [*VIP, "--help"], "import typer, rich.console", 15, 1.5),
            (
                "vip mark",
                [*VIP, "mark", MEADOW, *BOX, "-o", f"{folder}/m.png"],
                "import cv2, numpy, PIL.Image",
                15,
                1.5,
            ),
            (
                "vip ask, cold, on tiny",
                [*VIP, "ask", MEADOW, *BOX, "What is this?", "-m", "tiny"],
                "import torch; from transformers import VipLlavaForConditionalGeneration, LlavaProcessor",
                7,
                1.25,
            ),
        ]
        for name, command, imports, runs, target in rows:
            side_by_side(name, lambda c=command: seconds(c), lambda i=imports: seconds([*python, i]), runs, target)


def drawing() -> None:
    from vipcli import Arrow, Box, Contour, Ellipse, Mask, Point, Scribble, Triangle
    from vipcli.markers import draw

    rng = np.random.default_rng(0)
    picture = np.repeat(np.repeat(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8), 100, axis=0), 100, axis=1)
    markers = [
        Box(400, 300, 1400, 1300),
        Ellipse(1800, 300, 3000, 1200),
        Point(2000, 2000),
        Arrow(100, 100, 500, 500),
        Triangle(((500, 2000), (900, 2900), (200, 2700))),
        Contour(((2500, 2000), (3000, 2100), (3100, 2800), (2600, 2900))),
        Mask(((3200, 2000), (3800, 2100), (3700, 2700))),
        Scribble(((1200, 2000), (1300, 2500), (1500, 2100), (1700, 2700))),
    ]

    def timed(function) -> float:
        began = time.perf_counter()
        function()
        return time.perf_counter() - began

    side_by_side(
        "eight markers on 4000 x 3000",
        lambda: timed(lambda: draw(picture, markers)),
        lambda: timed(picture.copy),
        25,
        3,
    )


def answering() -> None:
    from vipcli import mark, open_engine, to_request

    began = time.perf_counter()
    engine = open_engine("tiny")
    print(f"{'loading tiny, libraries imported before':42} {1000 * (time.perf_counter() - began):9.1f} ms")
    request = to_request(mark(MEADOW, ["440,118,598,283"]), "What is this?", engine)
    times = [engine.stream(request).finished().seconds for _ in range(15)]
    print(f"{'an answer of tiny, first':42} {1000 * times[0]:9.1f} ms   (wanted: under 250 ms)")
    print(f"{'an answer of tiny, later':42} {1000 * statistics.median(times[1:]):9.1f} ms")


if __name__ == "__main__":
    commands()
    drawing()
    answering()
