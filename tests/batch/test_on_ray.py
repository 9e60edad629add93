"""`vipcli.batch.on_ray`: two actors on a Ray of this machine, and what happens when one is killed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from vipcli.batch import Asking, Facts, Item, Journal, Source, on_ray, open_source
from vipcli.batch.on_ray import Work, run_on_ray
from vipcli.errors import MissingExtra, ModelError, UsageError

ray = pytest.importorskip("ray", reason="Ray isn't installed: pip install 'ray[data]'")

WORK = Work("tiny", {"device": "cpu"}, Facts(), {"options": {"max_new_tokens": 4}})


class Poison(Item):
    """An item that ends the actor which unpacks it, as a fault in a driver of a GPU would."""

    def __reduce__(self) -> tuple[Any, ...]:
        actor = "__import__('ray').get_runtime_context().get_actor_id()"
        return eval, (
            f"__import__('os')._exit(1) if {actor} else __import__('vipcli').batch.Item('poison', None, '?')",
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with on_ray.cluster("local", num_cpus=2):
        yield


@pytest.fixture
def pictures(tmp_path: Path) -> Source:
    """Sixty pictures, and one that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(60):
        noise = np.random.default_rng(number).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number:02}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return open_source([str(folder)], Asking("What is it?"))


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def actors() -> list[int]:
    return [
        one.pid
        for one in psutil.Process().children(recursive=True)
        if "MapBatches(_Answerer)" in " ".join(one.cmdline())
    ]


def test_every_item_once_though_an_actor_is_killed(cluster, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(on_ray, "_BLOCK", 8)
    file = tmp_path / "answers.jsonl"
    with Journal(file, {}) as journal:
        events = run_on_ray(pictures, WORK, "tiny", journal, actors=2)
        next(events)
        pids = actors()
        assert len(pids) == 2
        os.kill(pids[0], signal.SIGKILL)
        rest = list(events)
    rows = rows_of(file)
    assert len(rows) == 1 + len(rest) == 61
    assert len({row["id"] for row in rows}) == 61
    failed = [row for row in rows if row["error"]]
    assert [(row["id"], row["answer"]) for row in failed] == [("broken.png", None)]
    assert all(row["answer"] and row["model"] == "tiny" for row in rows if not row["error"])


def test_an_item_that_kills_its_actor_fails_alone_and_the_same_command_goes_on(
    cluster, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(on_ray, "_BLOCK", 8)
    monkeypatch.setattr(on_ray, "_RETRIES", 0)
    file = tmp_path / "answers.jsonl"
    fine: list[Any] = list(pictures.items())[:11]
    source = Source(
        "some", None, lambda: iter([*fine, Poison("poison", None, "?"), replace(fine[0], question="Else?")])
    )
    with Journal(file, {}) as journal:
        list(run_on_ray(source, WORK, "tiny", journal, actors=1))
    rows = rows_of(file)
    assert {row["id"]: row["error"] for row in rows if row["error"]} == {
        "poison": "every process that answered it died",
        fine[0].id: f"its id {fine[0].id!r} stands there twice, with another question: give each one an id of its own",
    }
    assert len(rows) == 13
    assert {row["id"] for row in rows if row["answer"]} == {item.id for item in fine}
    with Journal(file, {}) as journal, pytest.raises(StopIteration) as end:
        next(run_on_ray(Source("the fine", None, lambda: iter(fine)), WORK, "tiny", journal))
    assert end.value.value == 11, "so many were answered before"


def test_a_model_that_cannot_be_had_ends_the_job_in_one_sentence(cluster, pictures, tmp_path):
    nowhere = "http://127.0.0.1:9"
    with Journal(tmp_path / "a.jsonl", {}) as journal, pytest.raises(ModelError, match=nowhere):
        list(run_on_ray(pictures, Work(nowhere, {}, Facts(), {}), "it", journal, actors=1))


def test_an_address_where_no_cluster_is(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UsageError, match=r"--ray-address 127\.0\.0\.1:1: .*refused"), on_ray.cluster("127.0.0.1:1"):
        pass


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"--engine ray needs ray\[data\]"), on_ray.cluster(None):
        pass
