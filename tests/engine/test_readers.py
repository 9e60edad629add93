"""`vipcli.engine.readers`: nothing is read or seen twice, and the answers are those of a cold start."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engine.asked import noise
from engine.checkpoints import PATCHES, copied, random_model
from torch import nn

from vipcli.engine import Answer, Model, Request
from vipcli.engine.llama import Memory
from vipcli.engine.loading import load
from vipcli.engine.local import LocalEngine
from vipcli.engine.packing import pack, pack_all
from vipcli.errors import ModelError

FIRST = "###Human: <image>\nWhat is within the red rectangle?###Assistant:"
IMAGE_TOKEN = 9  # of the memories below


@pytest.fixture
def engine(checkpoint: Path) -> LocalEngine:
    return load(Model("it", folder=checkpoint))


def asked(engine: LocalEngine, prompt: str, seed: int | None = 0, tokens: int = 12) -> tuple[Answer, int]:
    """The answer, and how many tokens the model read for it: of the prompt, and of the answer all but the last."""
    before = engine.text.tokens_read if engine.text else 0
    picture = None if seed is None else noise(seed)
    answer = engine.stream(Request(picture, prompt, max_new_tokens=tokens)).finished()
    return answer, (engine.text.tokens_read if engine.text else 0) - before


def test_a_follow_up_reads_only_what_is_new(engine: LocalEngine, checkpoint: Path) -> None:
    answer, read = asked(engine, FIRST)
    assert read == answer.prompt_tokens + answer.answer_tokens - 1
    prompt = FIRST
    for turn in range(5):
        before = answer.prompt_tokens
        prompt += f" {answer.text}###Human: Is it {turn}?###Assistant:"
        answer, read = asked(engine, prompt)
        # The answer is in the memory as well, but for its last token, and where its text makes other tokens.
        assert read <= answer.prompt_tokens - before + answer.answer_tokens - 1
        cold, _ = asked(load(Model("it", folder=checkpoint)), prompt)
        assert (answer.text, answer.prompt_tokens) == (cold.text, cold.prompt_tokens)


def test_asking_again_reads_one_token_and_another_last_question_only_that(engine: LocalEngine) -> None:
    first, _ = asked(engine, FIRST)
    again, read = asked(engine, FIRST)
    assert again.text == first.text
    assert read == 1 + first.answer_tokens - 1
    _, read = asked(engine, FIRST.replace("red", "blue"))
    assert read < 30 + 12
    back, _ = asked(engine, FIRST)
    assert back.text == first.text


def test_another_picture_is_read_anew_and_one_seen_of_late_isnt_looked_at_again(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    look = engine.model.model.get_image_features
    monkeypatch.setattr(engine.model.model, "get_image_features", lambda **it: looks.append(1) or look(**it))
    one, _ = asked(engine, FIRST, seed=0)
    other, read = asked(engine, FIRST, seed=1)
    assert one.text != other.text
    assert read >= PATCHES
    assert asked(engine, FIRST, seed=0)[0].text == one.text
    assert len(looks) == 2
    for seed in range(2, 11):
        asked(engine, FIRST, seed, tokens=1)
    assert asked(engine, FIRST, seed=0)[0].text == one.text
    assert len(looks) == 12, "it was forgotten"


def test_a_picture_behind_a_first_turn_of_text_keeps_that_turn(engine: LocalEngine) -> None:
    told = "###Human: What is a dog?###Assistant: An animal."
    asked(engine, told + FIRST, seed=0)
    answer, read = asked(engine, told + FIRST, seed=1)
    assert read == answer.prompt_tokens - len(engine.processor.tokenizer(f"{told}###Human: ")["input_ids"]) + 11


def test_two_answers_at_a_time_dont_mix(engine: LocalEngine) -> None:
    alone = [asked(engine, FIRST, seed)[0].text for seed in (0, 1)]
    running = [engine.stream(Request(noise(seed), FIRST, max_new_tokens=12)) for seed in (0, 1)]
    for _ in range(12):
        for one in running:
            next(one, None)
    assert [one.finished().text for one in running] == alone


def test_an_answer_that_was_stopped_leaves_a_memory_that_is_right(engine: LocalEngine) -> None:
    whole, _ = asked(engine, FIRST)
    running = engine.stream(Request(noise(0), FIRST, max_new_tokens=12))
    for _ in range(3):
        next(running)
    running.close()
    assert asked(engine, FIRST)[0].text == whole.text


def test_a_memory_grows_by_blocks_and_keeps_what_it_holds(engine: LocalEngine) -> None:
    short, _ = asked(engine, FIRST, tokens=5)
    assert engine._memory.keys[0].shape[2] == 256
    long, _ = asked(engine, FIRST, tokens=600)
    assert engine._memory.keys[0].shape[2] == 768, "the next whole block above 600 and the prompt"
    assert long.text.startswith(short.text)


def test_what_is_common_ends_where_the_ids_or_the_pictures_differ() -> None:
    memory = Memory([1, 2, IMAGE_TOKEN, IMAGE_TOKEN, 5], b"a")
    assert memory.common([1, 2, IMAGE_TOKEN, IMAGE_TOKEN, 5, 6], b"a", IMAGE_TOKEN) == 5
    assert memory.common([1, 2, IMAGE_TOKEN], b"a", IMAGE_TOKEN) == 3
    assert memory.common([1, 3, IMAGE_TOKEN], b"a", IMAGE_TOKEN) == 1
    assert memory.common([1, 2, IMAGE_TOKEN, IMAGE_TOKEN, 5], b"b", IMAGE_TOKEN) == 2
    assert memory.common([1, 2], None, IMAGE_TOKEN) == 2
    assert Memory().common([1], None, IMAGE_TOKEN) == 0


def test_the_features_are_those_that_transformers_puts_into_the_text(engine: LocalEngine) -> None:
    request = Request(noise(3), FIRST, max_new_tokens=1)
    inputs = engine.prepare(request)
    assert engine._prompt(request).ids == inputs["input_ids"][0].tolist()
    with torch.inference_mode():
        wanted = engine.model(**inputs).logits[0, -1]
    reader = engine._reader()
    found = reader.begin(engine._prompt(request), 1)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_picture_that_may_have_been_changed_in_place_is_looked_at_again(engine: LocalEngine) -> None:
    picture = noise(0)
    first = engine.stream(Request(picture, FIRST, max_new_tokens=12)).finished().text
    picture[:] = noise(1)
    assert engine.stream(Request(picture, FIRST, max_new_tokens=12)).finished().text == asked(engine, FIRST, 1)[0].text
    assert first == asked(engine, FIRST, 0)[0].text


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_every_dtype_and_grouping_of_heads_gives_the_logits_of_the_whole_model(
    kind: str, kv_heads: int, checkpoint: Path, tmp_path: Path
) -> None:
    """Held against the model as transformers loads it, with every layer of its tower."""
    from safetensors.torch import save_file

    folder = copied(checkpoint, tmp_path)
    for file in folder.glob("model*"):
        file.unlink()
    made = random_model(3, num_key_value_heads=kv_heads)
    save_file(made.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    made.config.save_pretrained(folder)
    engine = load(Model("it", folder=folder), dtype=kind)
    whole = type(made).from_pretrained(folder, dtype=getattr(torch, kind))
    request = Request(noise(3), FIRST, max_new_tokens=1)
    with torch.inference_mode():
        wanted = whole(**engine.prepare(request)).logits[0, -1].float()
    found = engine._reader().begin(engine._prompt(request), 1)[0].float()
    close = {"float32": 1e-4, "bfloat16": 0.06, "float16": 0.01}[kind]
    torch.testing.assert_close(found, wanted, rtol=close, atol=close * float(wanted.abs().max()))


def test_room_that_cant_be_made_leaves_the_memory_as_it_was(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = asked(engine, FIRST)
    with monkeypatch.context() as patch:
        made: list[int] = []
        real = torch.zeros

        def full(*shape: object, **options: object) -> torch.Tensor:
            made.append(1)
            if len(made) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return real(*shape, **options)  # type: ignore[call-overload]

        patch.setattr(torch, "zeros", full)
        with pytest.raises(ModelError, match="out of memory"):
            asked(engine, FIRST, tokens=700)
    assert asked(engine, FIRST)[0].text == first.text


def test_a_chat_and_several_questions_read_each_prompt_from_where_it_differs() -> None:
    from vipcli import ChatSession, mark, open_engine, to_request
    from vipcli.images import open_picture

    meadow = Path(__file__).parents[2] / "examples" / "meadow.png"
    tiny = open_engine("tiny")
    assert isinstance(tiny, LocalEngine)
    assert tiny.text is not None
    session = ChatSession(tiny)
    session.show(open_picture(meadow), "meadow.png", ["440,118,598,283", "57,287,231,461"])
    reads = []
    for question in ("What is @1?", "What is @2?", "What is @1?", "What is @2?"):
        before = tiny.text.tokens_read
        session.ask(question).finished()
        reads.append(tiny.text.tokens_read - before)
    assert max(reads[1:]) < 30 < reads[0], "a turn is about 20 tokens, the picture 196"

    tiny.forget()
    marked = mark(meadow, ["440,118,598,283"])
    before = tiny.text.tokens_read
    for number in range(8):
        tiny.stream(to_request(marked, f"What is @1? {number}", tiny, max_new_tokens=4)).finished()
    assert tiny.side is not None
    picture = (tiny.side // tiny.patch) ** 2
    assert tiny.text.tokens_read - before < picture + 26 + 8 * 20


def test_packed_weights_give_the_same_products_for_any_number_of_rows() -> None:
    for kind, close in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        for bias in (True, False):
            linear = nn.Linear(160, 448, bias=bias, dtype=kind)
            packed = pack(linear)
            with torch.inference_mode():
                for rows in (1, 2, 7, 64, 300):
                    x = torch.randn(1, rows, 160, dtype=kind)
                    torch.testing.assert_close(packed(x), linear(x), rtol=close, atol=close)


def test_weights_stay_as_they_are_where_this_torch_cant_pack_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> torch.Tensor:
        raise NotImplementedError

    model = nn.Sequential(nn.Linear(256, 256))
    monkeypatch.setattr("vipcli.engine.packing.pack", missing)
    pack_all(model)
    assert type(model[0]) is nn.Linear
