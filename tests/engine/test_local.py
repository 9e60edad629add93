"""`vipcli.engine.local`: what an engine remembers from one request to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vipcli import open_engine
from vipcli.engine import Request
from vipcli.engine.local import LocalEngine

ASKED = "###Human: <image>\nWhat is this?###Assistant:"


@pytest.fixture
def engine() -> LocalEngine:
    engine = open_engine("tiny")
    assert isinstance(engine, LocalEngine)
    return engine


def noise(seed: int, *, writeable: bool = False) -> np.ndarray:
    picture = np.random.default_rng(seed).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    picture.setflags(write=writeable)
    return picture


def test_who_asks_for_the_room_of_a_request_and_then_for_its_answer_has_it_read_once(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    tokenized = LocalEngine._tokenized
    monkeypatch.setattr(LocalEngine, "_tokenized", lambda self, one: read.append(one) or tokenized(self, one))
    request = Request(noise(0), ASKED)
    room = engine.room(request)
    assert room is not None
    prompt = engine.prompt_of(replace(request, max_new_tokens=min(room, 7)))
    assert (room + len(prompt.ids), len(read)) == (engine.context, 1)
    others = [
        replace(request, **other) for other in ({"picture": noise(1)}, {"prompt": f"{ASKED} It"}, {"fit": "crop"})
    ]
    for other in others:
        found = engine.prompt_of(other)
        engine.forget()
        assert (found.ids, found.picture) == (engine.prompt_of(other).ids, engine.prompt_of(other).picture)
        assert (found.ids, found.picture) != (prompt.ids, prompt.picture)


def test_an_array_that_was_written_to_is_another_picture(engine: LocalEngine) -> None:
    request = Request(noise(0, writeable=True), ASKED)
    before = engine.prompt_of(request)
    request.picture[:] = 0  # type: ignore[index]
    assert engine.prompt_of(request).picture != before.picture
