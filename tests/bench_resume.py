"""How long `vip batch` takes to begin where a million lines are answered: python tests/bench_resume.py [lines].

It makes a list and the answers to it, asks for one item more, and prints what that took, and the parts of it: of
answers that know the marks of their lines, and of such as older versions wrote, without marks.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from vipcli.batch import Asking, Journal, open_source
from vipcli.batch.items import digest_of, file_size, mark_of
from vipcli.batch.unanswered import Unanswered

REPOSITORY = Path(__file__).parents[1]
ASKING = Asking("What is @1?")
PICTURES = 1000


def make(folder: Path, count: int) -> list[str]:
    """A list of `count` questions and one, four of a picture, all but the last answered; the command that goes on."""
    for number in range(PICTURES):
        Image.new("RGB", (64, 48), "gray").save(folder / f"{number}.png")
    with (folder / "list.jsonl").open("w") as file:
        for number in range(count + 1):
            markers = [f"box:{number % 20},4,40,40@red"]
            row = {"id": f"item-{number:07}", "image": f"{number // 4 % PICTURES}.png", "markers": markers, "shelf": 7}
            file.write(f"{json.dumps(row)}\n")
    command = ["vip", "batch", str(folder / "list.jsonl"), "-o", str(folder / "out.jsonl"), "-q", "What is @1?"]
    command = [str(Path(sys.executable).with_name(command[0])), *command[1:], "-m", "tiny"]
    subprocess.run([*command, "--sample", "1"], check=True, capture_output=True, cwd=REPOSITORY)
    row = json.loads((folder / "out.jsonl").read_text())
    source = open_source([str(folder / "list.jsonl")], ASKING)
    with (folder / "out.jsonl").open("w") as file:
        for item, _ in zip(source.items(), range(count), strict=False):
            mark = f"{mark_of(item.line, file_size(item.image)):016x}"
            changes = {"id": item.id, "image": item.image, "input": digest_of(item), "line": mark}
            file.write(f"{json.dumps(row | changes)}\n")
    return command


def run(what: str, command: list[str]) -> None:
    """Ask for the one item that is left, and forget its answer again."""
    answers = Path(command[command.index("-o") + 1])
    size = answers.stat().st_size
    began = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stderr is not None
        said = process.stderr.read().strip()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    assert process.returncode == 0, said
    os.truncate(answers, size)
    print(
        f"   {what:22}{seconds:6.1f} s, {usage.ru_utime:5.1f} s of a core in the program and {usage.ru_stime:.1f} s in "
        f"the system, {usage.ru_maxrss / 1e3:.0f} MB; {said}"
    )


def parts(folder: Path) -> None:
    answers = folder / "out.jsonl"
    journal = Journal(answers, json.loads(Path(f"{answers}.job").read_text()))
    began = time.process_time()
    with journal:
        print(f"   reading the answers   {time.process_time() - began:6.1f} s of a core")
    source = open_source([str(folder / "list.jsonl")], ASKING)
    began = time.process_time()
    assert len(list(Unanswered(source, None, journal, lambda *_: None))) == 1
    print(f"   finding the one item  {time.process_time() - began:6.1f} s of a core")


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = make(folder, count)
        answers, questions = folder / "out.jsonl", folder / "list.jsonl"
        sizes = f"{answers.stat().st_size / 1e6:.0f} MB, {questions.stat().st_size / 1e6:.0f} MB of a list"
        print(f"{count:,} answered lines, {sizes}, on {os.cpu_count()} cores")
        alone = [*command[:2], str(folder / "0.png"), "-o", str(folder / "one.jsonl"), *command[5:]]
        alone += ["--box", "1,4,40,40"]
        (folder / "one.jsonl").touch()
        run("one item alone", alone)
        run("all of them", command)  # before this process grows: what it starts begins with its peak
        marked = answers.rename(folder / "marked.jsonl")
        with marked.open() as file, answers.open("w") as unmarked:
            unmarked.writelines(re.sub(r', "line": "\w+"', "", line) for line in file)
        run("without marks", command)
        print("without marks")
        parts(folder)
        marked.rename(answers)
        print("with marks")
        parts(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
