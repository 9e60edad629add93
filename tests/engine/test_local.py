"""`vipcli.engine.local`: what becomes of a request, and what an engine remembers from one to the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine.asked import PICTURE, PROMPT, answer, noise, why
from engine.checkpoints import CONTEXT

from vipcli import open_engine
from vipcli.engine import Model, Request
from vipcli.engine.loading import load
from vipcli.engine.local import LocalEngine
from vipcli.errors import ModelError, PromptError


@pytest.fixture
def engine() -> LocalEngine:
    engine = open_engine("tiny")
    assert isinstance(engine, LocalEngine)
    return engine


def test_who_asks_for_the_room_of_a_request_and_then_for_its_answer_has_it_read_once(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    tokenized = LocalEngine._tokenized
    monkeypatch.setattr(LocalEngine, "_tokenized", lambda self, one: read.append(one) or tokenized(self, one))
    picture = noise(0)
    picture.setflags(write=False)
    request = Request(picture, PROMPT)
    room = engine.room(request)
    assert room is not None
    prompt = engine.prompt_of(replace(request, max_new_tokens=min(room, 7)))
    assert (room + len(prompt.ids), len(read)) == (engine.context, 1)
    others = [
        replace(request, **other) for other in ({"picture": noise(1)}, {"prompt": f"{PROMPT} It"}, {"fit": "crop"})
    ]
    for other in others:
        found = engine.prompt_of(other)
        engine.forget()
        assert (found.ids, found.picture) == (engine.prompt_of(other).ids, engine.prompt_of(other).picture)
        assert (found.ids, found.picture) != (prompt.ids, prompt.picture)


def test_an_array_that_was_written_to_is_another_picture(engine: LocalEngine) -> None:
    request = Request(noise(0), PROMPT)
    before = engine.prompt_of(request)
    request.picture[:] = 0  # type: ignore[index]
    assert engine.prompt_of(request).picture != before.picture


def test_a_prompt_that_doesnt_fit_says_by_how_much(checkpoint: Path) -> None:
    engine = load(Model("it", folder=checkpoint))
    prompt = engine.prepare(Request(PICTURE, PROMPT))["input_ids"].shape[1]
    assert engine.prepare(Request(PICTURE, PROMPT, max_new_tokens=CONTEXT - prompt))
    with pytest.raises(PromptError) as error:
        engine.stream(Request(PICTURE, PROMPT, max_new_tokens=CONTEXT - prompt + 3))
    assert str(error.value) == (
        f"the prompt has {prompt} tokens and the answer may take {CONTEXT - prompt + 3}: 3 too many for this model's "
        f"context of {CONTEXT}; shorten the question or lower --max-new-tokens"
    )


def test_a_question_of_a_megabyte_is_refused_too_and_cut_nowhere(checkpoint: Path) -> None:
    engine = load(Model("it", folder=checkpoint))
    with pytest.raises(PromptError, match=r"the prompt has 10000\d\d tokens and .* too many for this model's context"):
        engine.stream(Request(PICTURE, PROMPT.replace("What", "x" * 1_000_000)))


@pytest.mark.parametrize(
    ("picture", "prompt"),
    [(PICTURE, "What is this?"), (PICTURE, "<image><image> What is this?"), (None, "<image> What is this?")],
)
def test_a_prompt_with_more_or_fewer_placeholders_than_pictures(picture: Any, prompt: str, checkpoint: Path) -> None:
    engine = load(Model("it", folder=checkpoint))
    with pytest.raises(PromptError, match=r"^the prompt doesn't go with the picture: .*<image> tokens"):
        engine.stream(Request(picture, prompt))


class Oddity(Exception):
    """What nobody knows of."""


@pytest.mark.parametrize("error", [TypeError("odd"), AttributeError("odd"), IndexError("odd"), Oddity("odd")])
def test_whatever_a_foreign_checkpoint_raises_is_one_sentence(
    error: Exception, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    engine = load(Model("it", folder=checkpoint))
    monkeypatch.setattr(engine.text, "read", fail)
    with pytest.raises(ModelError, match=r"^it can't answer: odd$"):
        answer(engine)
    monkeypatch.setattr(type(engine.processor.tokenizer), "__call__", fail)
    monkeypatch.setattr(fail, "tokenizer", engine.model, raising=False)
    monkeypatch.setattr(engine.model, "bos_token", None, raising=False)
    with pytest.raises(ModelError, match=r"^it can't take this prompt: odd$"):
        answer(engine)
    monkeypatch.setattr(LocalEngine, "__init__", fail)
    assert why(checkpoint) == "it can't be loaded: odd"


def test_stopping_an_answer_and_ctrl_c_are_no_errors_of_the_model(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(Model("it", folder=checkpoint))
    request = Request(PICTURE, PROMPT, max_new_tokens=8)
    running = engine.stream(request)
    next(running)
    running.close()

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.text, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        answer(engine)
