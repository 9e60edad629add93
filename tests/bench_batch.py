"""What `vip batch` gains: `make bench-batch`, or python tests/bench_batch.py [tiny] [small] [large-pictures].

tiny: 1,000 generated pictures through the whole line, beside a loop that asks one at a time and beside the plain
transformers script with a padded batch of 8. small: answers of mixed length on an architecture with random weights.
large-pictures: how long the model waits for JPEGs of 12 megapixels. Sides alternate; medians and ratios are printed.
"""

import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

from vipcli import mark, open_engine, to_request
from vipcli.batch import Asking, Facts, Journal, Workers, cores, open_source, run
from vipcli.engine import MODELS, Job, Request
from vipcli.images import fit, save_picture
from vipcli.markers import render
from vipcli.scenes import SHAPES, compose, mark_thing

Row = dict


def pictures(folder: Path, count: int, size: tuple[int, int] = (640, 480)) -> list[Row]:
    """Scenes as JPEGs, one marked thing each, and a manifest of them."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        scene = compose(rng, size, 3)
        save_picture(scene.picture, folder / f"{number:04}.jpg")
        marker = mark_thing(rng, scene.things[0], SHAPES[number % len(SHAPES)])
        rows.append({"image": f"{number:04}.jpg", "markers": [render(marker)], "question": "What is @1?"})
    (folder / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return rows


def alternate(name: str, sides: dict[str, Callable[[], float]], runs: int, wanted: dict[str, float]) -> None:
    """Run all sides in turn and print their medians; the first one is ours."""
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(runs):
        for side, measure in sides.items():
            found[side].append(measure())
    ours = next(iter(sides))
    for side, values in found.items():
        line = f"{name:16} {side:34} {statistics.median(values):9.2f} ms"
        if side != ours:
            ratio = statistics.median(b / a for a, b in zip(found[ours], values, strict=True))
            line += f"   {ratio:5.2f}x ours" + (f"   (wanted: {wanted[side]}x)" if side in wanted else "")
        print(line, flush=True)


class Given:
    """A feed of requests that are ready."""

    def __init__(self, requests: list[Request]) -> None:
        self._jobs: Iterator[Job] = (Job(number, request) for number, request in enumerate(requests))

    def take(self, wait: bool) -> Job | None:  # noqa: ARG002
        return next(self._jobs, None)


def whole_line(folder: Path, engine, workers: Workers) -> tuple[float, float]:
    """Milliseconds a picture of a batch over the manifest, and the share of the time that the model waited."""
    output = folder / f"{random.random()}.jsonl"
    facts = Facts(engine.side, engine.patch, "pad", engine.special_tokens)
    source = open_source([str(folder / "list.jsonl")], Asking())
    began, count, waited = time.perf_counter(), 0, 0.0
    with Journal(output, {}) as journal:
        for event in run(source, engine, journal, workers, facts, options={"max_new_tokens": 64}):
            assert event.row["answer"], event.row
            count, waited = count + 1, event.waited
    seconds = time.perf_counter() - began
    return 1000 * seconds / count, waited / seconds


def tiny(count: int = 1000) -> None:
    engine = open_engine("tiny")
    folder_of_tiny = str(MODELS["tiny"].folder)
    model = transformers.VipLlavaForConditionalGeneration.from_pretrained(folder_of_tiny).eval()
    processor = transformers.LlavaProcessor.from_pretrained(folder_of_tiny)
    processor.tokenizer.padding_side = "left"
    with tempfile.TemporaryDirectory() as name, Workers(cores()) as workers:
        folder = Path(name)
        rows = pictures(folder, count)

        def ready(row: Row) -> Request:
            marked = mark(folder / row["image"], row["markers"])
            return to_request(marked, row["question"], engine, max_new_tokens=64)

        def one_at_a_time() -> float:
            began = time.perf_counter()
            for row in rows:
                engine.stream(ready(row)).finished()
            return 1000 * (time.perf_counter() - began) / count

        def plain() -> float:
            began = time.perf_counter()
            for at in range(0, count, 8):
                requests = [ready(row) for row in rows[at : at + 8]]
                images = [Image.fromarray(fit(request.picture, engine.side).picture) for request in requests]
                prompts = [request.prompt for request in requests]
                inputs = processor(images=images, text=prompts, return_tensors="pt", padding=True)
                answers = model.generate(**inputs, max_new_tokens=64, do_sample=False)
                processor.batch_decode(answers[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            return 1000 * (time.perf_counter() - began) / count

        alternate(
            "tiny, a picture",
            {
                "vip batch": lambda: whole_line(folder, engine, workers)[0],
                "one at a time": one_at_a_time,
                "plain script, batches of 8": plain,
            },
            3,
            {"one at a time": 3, "plain script, batches of 8": 2},
        )


def small(count: int = 16) -> None:
    from vipcli.benchmark.models import sides_of_config

    sides = sides_of_config("small", "cpu", "float32")
    engine, model, processor = sides.engine, sides.model, sides.processor
    processor.tokenizer.padding_side = "left"
    lengths = [8 + 15 * number % 121 for number in range(count)]
    squares = [np.random.default_rng(number).integers(0, 256, (336, 336, 3), dtype=np.uint8) for number in range(count)]
    prompt = "###Human: <image>\nWhat is the object within the red rectangle?###Assistant:"
    requests = [Request(square, prompt, max_new_tokens=length) for square, length in zip(squares, lengths, strict=True)]
    short = [replace(request, max_new_tokens=1) for request in requests]

    def ours(asked: list[Request]) -> float:
        engine.forget()
        began = time.perf_counter()
        assert all(result.answer for result in engine.answers(Given(asked)))
        return time.perf_counter() - began

    def plain(asked: list[Request]) -> float:
        began = time.perf_counter()
        for at in range(0, count, 8):
            some = asked[at : at + 8]
            images = [Image.fromarray(request.picture) for request in some]
            texts = [prompt] * len(some)
            inputs = processor(images=images, text=texts, return_tensors="pt", padding=True)
            longest = max(request.max_new_tokens for request in some)
            model.generate(**inputs, max_new_tokens=longest, min_new_tokens=longest, do_sample=False, pad_token_id=0)
        return time.perf_counter() - began

    found = {}
    for side, measure in (("vip batch", ours), ("plain script, batches of 8", plain)):
        first, all_of_it = measure(short), measure(requests)
        found[side] = {"in all": 1000 * all_of_it / count, "decoding": 1000 * (all_of_it - first) / count}
    for part, wanted in (("in all", 1.1), ("decoding", 1.6)):
        mine, its = (side[part] for side in found.values())
        print(f"{f'small, {part}':16} vip batch {mine:.0f} ms an answer, plain script {its:.0f} ms", end="")
        print(f"   {its / mine:5.2f}x ours   (wanted: {wanted}x)", flush=True)


def large_pictures(count: int = 60) -> None:
    engine = open_engine("tiny")
    with tempfile.TemporaryDirectory() as name, Workers(cores()) as workers:
        folder = Path(name)
        pictures(folder, count, (4000, 3000))
        began = time.perf_counter()
        for file in sorted(folder.glob("*.jpg")):
            Image.open(file).load()
        floor = 1000 * (time.perf_counter() - began) / count
        milliseconds, waited = whole_line(folder, engine, workers)
        print(
            f"12 megapixels    vip batch {milliseconds:.1f} ms a picture, the model waited {100 * waited:.0f} % of it"
        )
        print(f"                 decoding alone, on one core: {floor:.1f} ms a picture")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    table = {"tiny": tiny, "small": small, "large-pictures": large_pictures}
    for wanted in sys.argv[1:] or table:
        table[wanted]()
