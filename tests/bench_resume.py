"""How long `vip batch` takes to begin where a million lines are answered: python tests/bench_resume.py [lines].

It makes a list and the answers to it, asks for one item more, and prints what that took, and the parts of it.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from vipcli.batch import Asking, Journal, open_source
from vipcli.batch.items import digest_of

REPOSITORY = Path(__file__).parents[1]


def make(folder: Path, count: int) -> list[str]:
    """A list of `count` questions and one, all but the last answered; the command that goes on with it."""
    Image.new("RGB", (64, 48), "gray").save(folder / "dot.png")
    with (folder / "list.jsonl").open("w") as file:
        for number in range(count + 1):
            markers = [f"box:{number % 20},4,40,40@red"]
            file.write(
                f"{json.dumps({'id': f'item-{number:07}', 'image': 'dot.png', 'markers': markers, 'shelf': 7})}\n"
            )
    command = ["vip", "batch", str(folder / "list.jsonl"), "-o", str(folder / "out.jsonl"), "-q", "What is @1?"]
    command = [str(Path(sys.executable).with_name(command[0])), *command[1:], "-m", "tiny"]
    subprocess.run([*command, "--sample", "1"], check=True, capture_output=True, cwd=REPOSITORY)
    row = json.loads((folder / "out.jsonl").read_text())
    source = open_source([str(folder / "list.jsonl")], Asking("What is @1?"))
    with (folder / "out.jsonl").open("w") as file:
        for item, _ in zip(source.items(), range(count), strict=False):
            file.write(f"{json.dumps(row | {'id': item.id, 'image': item.image, 'input': digest_of(item)})}\n")
    return command


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = make(folder, count)
        answers = folder / "out.jsonl"
        size = answers.stat().st_size / 1e6
        print(
            f"{count:,} answered lines, {size:.0f} MB, {(folder / 'list.jsonl').stat().st_size / 1e6:.0f} MB of a list"
        )

        began = time.perf_counter()
        with Journal(answers, json.loads(Path(f"{answers}.job").read_text())):
            print(f"   reading the answers     {time.perf_counter() - began:6.1f} s")
        source = open_source([str(folder / "list.jsonl")], Asking("What is @1?"))
        began = time.perf_counter()
        items = sum(1 for _ in source.items())
        print(f"   reading the list        {time.perf_counter() - began:6.1f} s")
        item = next(source.items())
        began = time.perf_counter()
        for _ in range(items):
            digest_of(item)
        print(f"   digests                 {time.perf_counter() - began:6.1f} s")

        began = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
        print(
            f"   the whole command       {seconds:6.1f} s (wanted: under 10), {peak:.0f} MB, on {os.cpu_count()} cores"
        )
        print(done.stderr.strip())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
