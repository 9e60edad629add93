"""`vipcli.engine.batching`: many requests together give the answers of each alone, whatever the batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine.asked import noise
from hypothesis import given, settings
from hypothesis import strategies as st

from vipcli.engine import Answer, Model, Request, vision
from vipcli.engine.batching import rows_that_fit
from vipcli.engine.loading import load
from vipcli.engine.local import LocalEngine
from vipcli.engine.protocol import Job, Result
from vipcli.engine.slots import Slots
from vipcli.errors import ModelError, PromptError

ABOUT = "###Human: <image>\nWhat is within the {} rectangle?###Assistant:"


class Given:
    """A feed of what is there from the beginning; `late` makes it answer "not yet" once before each job."""

    def __init__(self, requests: list[Request], late: bool = False) -> None:
        self._jobs = [Job(number, request) for number, request in enumerate(requests)][::-1]
        self._late = late
        self._shown = False
        self.waited = 0

    def take(self, wait: bool) -> Job | None:
        self.waited += wait
        if self._late and not wait and self._jobs and not self._shown:
            self._shown = True
            return None
        self._shown = False
        return self._jobs.pop() if self._jobs else None


def requests_of(count: int, **options: Any) -> list[Request]:
    """Different pictures, prompts and lengths; every fourth is text alone."""
    made = []
    for number in range(count):
        prompt = ABOUT.format(["red", "blue and rather large", "aqua"][number % 3])
        picture = None if number % 4 == 3 else noise(number // 2)
        if picture is None:
            prompt = prompt.replace("<image>\n", "")
        made.append(Request(picture, prompt, max_new_tokens=1 + 7 * number % 40, **options))
    return made


def alone(engine: LocalEngine, requests: list[Request]) -> list[tuple]:
    engine.forget()
    return [what(engine.stream(request).finished()) for request in requests]


def together(engine: LocalEngine, requests: list[Request], at_once: int | None, late: bool = False) -> list[tuple]:
    engine.forget()
    results = list(engine.answers(Given(requests, late), at_once))
    assert sorted(result.key for result in results) == list(range(len(requests))), "each once"
    found = {result.key: result for result in results}
    return [what(found[number].answer) for number in range(len(requests))]


def what(answer: Answer | None) -> tuple:
    assert answer is not None
    return answer.text, answer.finish, answer.prompt_tokens, answer.answer_tokens


@pytest.fixture(params=[1, 2], ids=["one thread", "looking ahead"], autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """With two threads a small model looks at pictures in one and answers in the other."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> LocalEngine:
    return load(Model("it", folder=checkpoint))


@pytest.mark.parametrize("name", ["checkpoint", "saved_checkpoint", "mistral_checkpoint", "llava_checkpoint"])
@pytest.mark.parametrize("at_once", [1, 2, 5, None])
def test_the_answers_are_those_of_one_at_a_time(name: str, at_once: int, request: pytest.FixtureRequest) -> None:
    engine = load(Model(name, folder=request.getfixturevalue(name)))
    asked = requests_of(17)
    assert together(engine, asked, at_once) == alone(engine, asked)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), max_size=9), st.integers(1, 6), st.booleans())
@settings(deadline=None, max_examples=25)
def test_whatever_comes_in_whatever_order(
    engine: LocalEngine, asked: list[tuple[int, int]], at_once: int, late: bool
) -> None:
    requests = [replace(requests_of(6)[number], max_new_tokens=tokens) for number, tokens in asked]
    assert together(engine, requests, at_once, late) == alone(engine, requests)


def test_drawing_with_a_seed_gives_the_same_in_any_company(engine: LocalEngine) -> None:
    mixed = [
        replace(request, temperature=0.9 * (number % 2), top_p=0.8, seed=number)
        for number, request in enumerate(requests_of(9))
    ]
    assert together(engine, mixed, 4) == alone(engine, mixed)


def test_a_stop_text_ends_one_row_alone(engine: LocalEngine) -> None:
    asked = requests_of(6)
    whole = alone(engine, asked)
    stop = next(text[len(text) // 2] for text, *_ in whole if len(text) > 4)
    asked = [replace(request, stop=(stop,)) if number % 2 else request for number, request in enumerate(asked)]
    assert together(engine, asked, 6) == alone(engine, asked)
    assert any(stop in text for text, *_ in whole[1::2])


def test_grouped_heads_and_another_picture_size_of_memory() -> None:
    import tempfile

    from engine.checkpoints import llama_tokenizer, random_model, write_saved  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        model = random_model(5, num_attention_heads=4, num_key_value_heads=2)
        engine = load(Model("grouped", folder=write_saved(Path(folder) / "vip", model)))
        asked = [replace(request, max_new_tokens=300) for request in requests_of(5)]  # past one block of memory
        assert together(engine, asked, 3) == alone(engine, asked)


def test_a_row_that_is_done_makes_room_for_one_that_waits(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    step = Slots.step
    monkeypatch.setattr(Slots, "step", lambda self, ids: rows.append(len(ids)) or step(self, ids))
    asked = [
        replace(requests_of(1)[0], max_new_tokens=tokens, picture=noise(tokens)) for tokens in (40, 3, 3, 3, 3, 40)
    ]
    together(engine, asked, 2)
    assert max(rows) == 2
    assert len(rows) < 40 + 40, "two long answers and four short ones, side by side"


def test_a_prompt_that_is_too_long_fails_alone(engine: LocalEngine) -> None:
    asked = requests_of(5)
    asked[2] = replace(asked[2], max_new_tokens=5000)
    results = {result.key: result for result in engine.answers(Given(asked), 3)}
    assert isinstance(results[2].error, PromptError)
    assert results[2].answer is None
    del asked[2], results[2]
    assert [what(result.answer) for _, result in sorted(results.items())] == alone(engine, asked)


def test_numbers_that_overflow_fail_one_row_and_harm_no_other(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vipcli.engine import batching

    asked = [replace(request, max_new_tokens=20) for request in requests_of(6)]
    expected = alone(engine, asked)
    real, count = batching.picked, iter(range(1000))

    def broken(logits: torch.Tensor, picks: Any) -> Any:
        if next(count) == 3:
            logits = logits.clone()
            logits[1] = torch.nan
        return real(logits, picks)

    monkeypatch.setattr(batching, "picked", broken)
    results = {result.key: result for result in engine.answers(Given(asked), 3)}
    failed = [key for key, result in results.items() if result.error]
    assert len(failed) == 1
    assert "overflow" in str(results[failed[0]].error)
    for key, result in results.items():
        assert key in failed or what(result.answer) == expected[key]


class Limited:
    """Memory for so many rows, as a GPU would say it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
        self.rows = rows
        self.seen: list[int] = []
        real = Slots._reserve

        def reserve(slots: Slots, rows: int, tokens: int) -> None:
            self.seen.append(rows)
            if rows > self.rows:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            real(slots, rows, tokens)

        monkeypatch.setattr(Slots, "_reserve", reserve)


@pytest.mark.parametrize("fit", [1, 2, 3, 7])
def test_where_memory_runs_out_fewer_go_on_and_later_more(
    fit: int, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests_of(60)
    expected = alone(engine, asked)
    with monkeypatch.context() as patch:
        memory = Limited(patch, fit)
        results = list(engine.answers(Feeding(asked, memory), 8))
    found = {result.key: result for result in results}
    assert len(results) == len(asked)
    assert [what(found[number].answer) for number in range(len(asked))] == expected
    assert min(memory.seen) <= fit
    assert max(memory.seen[len(memory.seen) // 2 :]) > max(1, fit // 2), "it has grown again"


class Feeding(Given):
    """A feed on whose way the memory becomes large again."""

    def __init__(self, requests: list[Request], memory: Limited) -> None:
        super().__init__(requests)
        self._memory = memory

    def take(self, wait: bool) -> Job | None:
        job = super().take(wait)
        if job is not None and job.key == 20:
            self._memory.rows = 100
        return job


def test_a_request_that_is_too_large_by_itself_fails_alone(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    Limited(monkeypatch, 0)
    results = list(engine.answers(Given(requests_of(3)), 2))
    assert [str(result.error) for result in results] == ["out of memory even by itself; try --load-in 4bit"] * 3


def test_what_would_fail_every_request_is_raised_in_one_sentence(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR\n at line 3")

    monkeypatch.setattr(Slots, "step", broken)
    with pytest.raises(ModelError, match="it can't answer: cuDNN error"):
        list(engine.answers(Given(requests_of(3)), 2))


def test_who_looks_ahead_leaves_no_thread_behind(engine: LocalEngine, threads: int) -> None:
    answers = engine.answers(Given(requests_of(9)), 4)
    next(answers)
    assert [one.name for one in eyes_threads()] == ["eyes"] * (threads == 2)
    assert torch.get_num_threads() == 1
    answers.close()
    assert not eyes_threads()
    assert torch.get_num_threads() == threads


def test_who_is_alone_has_all_threads(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    features, looked = vision.features, []

    def noted(model: Any, pixels: torch.Tensor) -> torch.Tensor:
        looked.append((threading.current_thread().name, torch.get_num_threads()))
        return features(model, pixels)

    monkeypatch.setattr("vipcli.engine.vision.features", noted)
    by_itself = alone(engine, requests_of(6))
    looked.clear()
    assert together(engine, requests_of(1), 4) == by_itself[:1]
    assert looked == [("MainThread", threads)]
    answers = engine.answers(Given(requests_of(1), late=True), 4)
    next(answers)
    assert torch.get_num_threads() == 1, "from then on there may be others again"
    answers.close()
    assert torch.get_num_threads() == threads
    looked.clear()
    assert together(engine, requests_of(6), 4) == by_itself
    assert set(looked) == {("eyes" if threads == 2 else "MainThread", 1)}


def test_what_goes_wrong_in_looking_is_said(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("no such colour")

    engine.forget()
    monkeypatch.setattr("vipcli.engine.vision.features", broken)
    with pytest.raises(ModelError, match="it can't answer: no such colour"):
        list(engine.answers(Given(requests_of(3))))


def test_where_pictures_are_too_many_to_look_at_together_fewer_are(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests_of(12)
    by_itself = alone(engine, asked)
    features, failed = vision.features, []

    def limited(model: Any, pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 2:
            failed.append(len(pixels))
            raise MemoryError
        return features(model, pixels)

    monkeypatch.setattr("vipcli.engine.vision.features", limited)
    assert together(engine, asked, 8) == by_itself
    assert failed


def test_who_stops_doesnt_wait_for_pictures_that_nobody_wants(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    features, looked, go_on = vision.features, [], threading.Event()

    def slowly(model: Any, pixels: torch.Tensor) -> torch.Tensor:
        if looked:
            go_on.wait(10)
        looked.append(len(pixels))
        return features(model, pixels)

    engine.forget()
    monkeypatch.setattr("vipcli.engine.vision.features", slowly)
    monkeypatch.setattr(engine.eyes, "together", 1)
    answers = engine.answers(Given([Request(noise(50 + i), ABOUT, max_new_tokens=2) for i in range(8)]), 1)
    next(answers)
    threading.Timer(0.2, go_on.set).start()
    answers.close()
    assert len(looked) == threads, "beside the one that was answered no more than the one that was being looked at"


def eyes_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "eyes"]


def test_stopping_in_the_middle_leaves_an_engine_that_is_right(engine: LocalEngine) -> None:
    asked = requests_of(6)
    expected = alone(engine, asked)
    results: Iterator[Result] = engine.answers(Given(asked), 3)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert together(engine, asked, 3) == expected


def test_a_model_that_vip_doesnt_run_itself_answers_one_after_the_other(checkpoint: Path) -> None:
    engine = load(Model("it", folder=checkpoint))
    asked = [*requests_of(4), replace(requests_of(1)[0], max_new_tokens=5000)]
    expected = alone(engine, asked[:4])
    engine.text = None
    results = {result.key: result for result in engine.answers(Given(asked), 3)}
    assert isinstance(results.pop(4).error, PromptError)
    assert [what(results[number].answer) for number in range(4)] == expected


def test_the_feed_is_only_waited_for_where_there_is_nothing_else_to_do(engine: LocalEngine) -> None:
    feed = Given([replace(request, max_new_tokens=20) for request in requests_of(5)], late=True)
    list(engine.answers(feed, 8))
    assert feed.waited == 2, "for the first, and to hear that no more will come"


def test_a_batch_is_as_large_as_memory_allows(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows_that_fit(engine) == 32
    assert engine.text is not None
    row = Slots.bytes_per_token(engine.text) * 1024
    assert row == 2 * 2 * 32 * 4 * 1024, "keys and values of 2 layers of 32 numbers in 4 bytes"
    monkeypatch.setattr("vipcli.engine.batching.free_memory", lambda _: 2 * 5 * row)
    assert rows_that_fit(engine) == 5
    monkeypatch.setattr("vipcli.engine.batching.free_memory", lambda _: 0)
    assert rows_that_fit(engine) == 1
