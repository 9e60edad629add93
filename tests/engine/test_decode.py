"""`vipcli.engine.decode` and `protocol`: generate's tokens, whole characters, stop texts held back, answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from engine.asked import noise
from engine.checkpoints import copied, llama_tokenizer, random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from vipcli.engine import Generation, Model, Request, Token
from vipcli.engine.decode import StopFilter, TextStream, Writing, decode, sampler
from vipcli.engine.loading import load
from vipcli.engine.local import LocalEngine
from vipcli.engine.vision import features
from vipcli.errors import ModelError, UsageError, quote

ASKED = "###Human: <image>\nWhat is within the red rectangle?###Assistant:"
TOLD = "###Human: What is a dog?###Assistant:"


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> LocalEngine:
    return load(Model("published", folder=checkpoint))


def ids_of(engine: LocalEngine, request: Request) -> list[int]:
    return [token.id for token in engine.stream(request) if token.id is not None]


def ids_of_generate(engine: LocalEngine, request: Request) -> list[int]:
    """What transformers' own loop makes of the request, without the closing ``</s>``."""
    inputs = engine.prepare(request)
    made = engine.model.generate(**inputs, do_sample=False, max_new_tokens=request.max_new_tokens)
    return [number for number in made[0, inputs["input_ids"].shape[1] :].tolist() if number != 2]


# Tokens


@pytest.mark.parametrize("name", ["checkpoint", "saved_checkpoint", "mistral_checkpoint", "llava_checkpoint"])
def test_greedy_tokens_are_those_of_generate(name: str, request: pytest.FixtureRequest) -> None:
    engine = load(Model(name, folder=request.getfixturevalue(name)))
    asked = [Request(noise(seed), ASKED, max_new_tokens=40) for seed in range(3)]
    answers = [ids_of(engine, one) for one in asked]
    assert answers == [ids_of_generate(engine, one) for one in asked]
    assert len(set(map(tuple, answers))) == 3, "the picture matters"
    told = Request(None, TOLD, max_new_tokens=40)
    assert ids_of(engine, told) == ids_of_generate(engine, told)


@pytest.mark.parametrize("seed", range(4, 8))
def test_greedy_tokens_are_those_of_generate_for_other_weights_under_their_new_names(
    seed: int, saved_checkpoint: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    folder = copied(saved_checkpoint, tmp_path)
    save_file(random_model(seed).state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    engine = load(Model("new names", folder=folder))
    request = Request(noise(seed), ASKED, max_new_tokens=60)
    assert ids_of(engine, request) == ids_of_generate(engine, request)


def test_old_and_new_key_names_load_the_same_weights(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipcli.engine.packing._pays", lambda _: False)  # else they aren't to be seen
    monkeypatch.setattr("vipcli.engine.local.one_pass_activations", lambda _: None)  # or as they were
    loaded = load(Model("it", folder=checkpoint)).model.state_dict()
    for name, value in random_model(0).state_dict().items():
        if "vision_tower.encoder.layers.3" not in name:  # nothing reads it, so it isn't kept
            assert torch.equal(loaded[name], value.half().float()), name


def test_pictures_are_seen_as_transformers_sees_them(saved_checkpoint: Path) -> None:
    """Its own model, of which nothing is packed, fused or folded."""
    engine = load(Model("it", folder=saved_checkpoint))
    its = transformers.VipLlavaForConditionalGeneration.from_pretrained(saved_checkpoint, dtype=torch.float32).eval()
    pixels = engine.prepare(Request(noise(3), ASKED))["pixel_values"]
    with torch.inference_mode():
        ours, theirs = (features(model, pixels) for model in (engine.model, its))
    assert type(engine.model.model.vision_tower.encoder.layers[0].mlp.activation_fn) is torch.nn.SiLU
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_sampling_is_the_same_for_one_seed_and_another_for_another(engine: LocalEngine) -> None:
    def sampled(seed: int | None, **options: Any) -> list[int]:
        return ids_of(engine, Request(noise(0), ASKED, max_new_tokens=20, temperature=1.5, seed=seed, **options))

    assert sampled(7) == sampled(7)
    assert sampled(2**63 - 1), "the largest"
    assert len({tuple(sampled(seed)) for seed in range(5)}) == 5
    assert sampled(None) != sampled(None)
    assert sampled(7, top_p=1e-6) == ids_of(engine, Request(noise(0), ASKED, max_new_tokens=20))


def test_temperature_may_be_a_whole_number_and_a_very_small_one_is_greedy() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    assert {int(sampler(1, 1.0, seed, "cpu")(logits)) for seed in range(40)} == {0, 1, 2}
    assert {int(sampler(1e-300, 1.0, seed, "cpu")(logits)) for seed in range(40)} == {1}


def test_top_p_draws_from_the_fewest_tokens_that_hold_that_share() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    drawn = {int(sampler(1.0, 0.7, seed, "cpu")(logits)) for seed in range(60)}
    assert drawn == {0, 1}


def test_numbers_that_overflow_are_an_error_and_no_answer(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied(checkpoint, tmp_path)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    name = "language_model.model.norm.weight"
    file = folder / index["weight_map"][name]
    weights = load_file(file)
    save_file(weights | {name: torch.full_like(weights[name], torch.nan)}, file, metadata={"format": "pt"})
    engine = load(Model("nan", folder=folder))
    for temperature in (0, 1):
        with pytest.raises(ModelError, match=r"overflow \(torch.float32\); try --dtype|can't answer: probability"):
            engine.stream(Request(noise(0), ASKED, temperature=temperature)).finished()


def test_what_fails_while_answering_is_one_sentence(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")

    monkeypatch.setattr(engine.text, "read", out_of_memory)
    with pytest.raises(ModelError, match=r"^published: out of memory on cpu; try --load-in 4bit"):
        engine.stream(Request(noise(0), ASKED)).finished()


# Text


def pieces_of(to_text: Any, ids: list[int]) -> list[str]:
    stream = TextStream(to_text)
    return [*(stream.feed(number) for number in ids), stream.finish()]


LLAMA = llama_tokenizer()


@pytest.mark.parametrize("text", ["😀", "a 中文 b", "é👩‍👩‍👧ñ", "Ω≈ç√", "a  b   c", "\n\n\tx", "#️⃣", "�"])
def test_characters_come_whole_though_their_bytes_are_tokens(text: str) -> None:
    ids = LLAMA.encode(text, add_special_tokens=False).ids
    pieces = pieces_of(LLAMA.decode, ids)
    assert "".join(pieces) == LLAMA.decode(ids)
    assert text == "�" or not any("�" in piece for piece in pieces)


@given(st.text(max_size=30))
def test_streamed_text_is_the_text_of_all_tokens(text: str) -> None:
    ids = LLAMA.encode(text, add_special_tokens=False).ids
    assert "".join(pieces_of(LLAMA.decode, ids)) == LLAMA.decode(ids)


def byte_level() -> Any:
    """GPT-2's kind: each byte is a character of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: number for number, char in enumerate(alphabet)}, []))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


BYTES = byte_level()


@given(st.lists(st.integers(0, 255), max_size=20))
def test_bytes_that_are_no_text_come_out_as_the_tokenizer_shows_them(ids: list[int]) -> None:
    assert "".join(pieces_of(BYTES.decode, ids)) == BYTES.decode(ids)


@given(st.lists(st.integers(0, LLAMA.get_vocab_size() + 60).filter(lambda number: not 3 <= number < 131), max_size=20))
def test_tokens_that_make_no_sense_lose_no_letter(ids: list[int]) -> None:
    def kept(text: str) -> str:
        return "".join(char for char in text if char.isascii())

    # Special tokens, ids beyond the vocabulary and bytes that begin or go on a character, in any order.
    assert kept("".join(pieces_of(LLAMA.decode, ids))) == kept(LLAMA.decode(ids))


def test_half_a_character_at_the_end_is_shown_as_such() -> None:
    ids = LLAMA.encode("a😀", add_special_tokens=False).ids
    assert "".join(pieces_of(LLAMA.decode, ids[:-1])) == "a���"


# Stop texts


def filtered(stop: tuple[str, ...], pieces: list[str]) -> tuple[list[str], bool]:
    """What came out for each piece and at the end, and whether a stop text ended it."""
    held = StopFilter(stop)
    shown = []
    for piece in pieces:
        shown.append(held.feed(piece))
        if held.stopped:
            return shown, True
    return [*shown, held.finish("")], held.stopped


def cut(stop: tuple[str, ...], text: str) -> str:
    """`text` up to the stop text that is complete first; of two that end together, up to the longer."""
    for end in range(len(text) + 1):
        found = [one for one in stop if one and text[:end].endswith(one)]
        if found:
            return text[: end - max(map(len, found))]
    return text


def test_a_separator_ends_the_answer_in_whatever_pieces_it_comes() -> None:
    for pieces in (["A dog.###Human"], ["A dog.", "###"], ["A dog.#", "#", "#Human"], list("A dog.###Human: x")):
        shown, stopped = filtered(("###",), pieces)
        assert ("".join(shown), stopped) == ("A dog.", True)


def test_a_part_of_a_separator_is_held_back_and_given_out_when_it_was_none() -> None:
    assert filtered(("###",), ["C", "#", " and F", "#", "#", "!"]) == (["C", "", "# and F", "", "", "##!", ""], False)
    assert filtered(("###",), ["C#"]) == (["C", "#"], False)
    assert filtered(("###",), ["C##"]) == (["C", "##"], False)


def test_without_stop_texts_all_comes_through_at_once() -> None:
    assert filtered((), ["###", "Human"]) == (["###", "Human", ""], False)
    assert filtered(("",), ["a", "b"]) == (["a", "b", ""], False)


SOME_STOPS = st.lists(st.text("#ab", max_size=4), max_size=3).map(tuple)


@given(SOME_STOPS, st.lists(st.text("#ab ", max_size=5), max_size=8))
@settings(max_examples=300)
def test_however_text_is_split_it_is_cut_at_the_first_stop_text(stop: tuple[str, ...], pieces: list[str]) -> None:
    shown, stopped = filtered(stop, pieces)
    text = "".join(pieces)
    assert "".join(shown) == cut(stop, text)
    assert stopped == (cut(stop, text) != text)
    # What was shown at any moment can't have become part of a stop text later.
    assert all(cut(stop, text).startswith("".join(shown[:count])) for count in range(len(shown)))


# Answers


def says(text: str, *, stop: tuple[str, ...] = ("###",), limit: int = 99, eos: bool = True) -> Generation:
    """The running answer of a model that says `text`, whatever it reads."""
    ids = LLAMA.encode(text, add_special_tokens=False).ids
    said = iter([*ids, 2] if eos else [*ids, *itertools.repeat(0, 9)])

    def read(_token: int) -> torch.Tensor:
        logits = torch.zeros(1, 1000)
        logits[0, next(said)] = 1.0
        return logits

    pick = sampler(0, 1, None, "cpu")
    return Generation(decode(read(0), read, pick, Writing(LLAMA.decode, {2}, stop, limit)), 5)


def test_an_answer_ends_by_itself_at_a_stop_text_or_at_the_limit() -> None:
    ended = says("A dog.").finished()
    assert (ended.text, ended.finish) == ("A dog.", "stop")
    stopped = says("A dog.###Human: Is this", eos=False).finished()
    assert (stopped.text, stopped.finish) == ("A dog.", "stop")
    cut_off = says("A dog, pointed to by the blue arrow.", limit=3).finished()
    assert (cut_off.finish, cut_off.answer_tokens) == ("length", 3)
    assert "A dog, pointed to".startswith(cut_off.text)


def test_an_answer_counts_its_tokens_and_its_time() -> None:
    answer = says("A dog.").finished()
    assert answer.prompt_tokens == 5
    assert answer.answer_tokens == len(LLAMA.encode("A dog.", add_special_tokens=False).ids)
    assert 0 <= answer.seconds_to_first <= answer.seconds  # type: ignore[operator]


def test_what_was_held_back_comes_at_the_end_and_counts_as_no_token() -> None:
    *tokens, last = says("No, it is #")
    assert last == Token(None, "#")
    assert "".join(token.text for token in [*tokens, last]) == "No, it is #"
    answer = says("No, it is #").finished()
    assert (answer.text, answer.answer_tokens) == ("No, it is #", len(tokens))


def test_an_empty_answer_is_an_answer() -> None:
    for answer in (says("").finished(), says("###Human").finished()):
        assert (answer.text, answer.finish) == ("", "stop")
    assert says("").finished().seconds_to_first is None


def test_an_answer_that_is_left_says_interrupted_and_keeps_its_text() -> None:
    generation = says("A dog, pointed to by the blue arrow.")
    assert generation.answer.finish == "interrupted"
    for token in generation:
        if token.text.endswith(","):
            break
    answer = generation.answer
    assert (answer.text, answer.finish) == ("A dog,", "interrupted")
    assert generation.finished().finish == "stop", "one may go on"
    assert generation.answer.text == "A dog, pointed to by the blue arrow."
    assert generation.finished() == generation.finished(), "and asking again changes nothing"


def test_an_answer_that_fails_or_is_cancelled_halfway_is_never_called_complete() -> None:
    def tokens() -> Generator[Token, None, Any]:
        yield Token(5, " A dog")
        raise KeyboardInterrupt

    generation = Generation(tokens(), 3)
    with pytest.raises(KeyboardInterrupt):
        generation.finished()
    assert generation.finished().finish == "interrupted"
    assert (generation.answer.text, generation.answer.answer_tokens) == ("A dog", 1)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"temperature": -0.5}, "temperature must be 0 or more, got -0.5"),
        ({"temperature": float("nan")}, "temperature must be 0 or more, got nan"),
        ({"temperature": 10**310}, f"temperature must be 0 or more, got {quote(str(10**310))}"),
        ({"top_p": 0}, "top_p must be above 0 and at most 1, got 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
        ({"max_new_tokens": 0}, "max_new_tokens must be 1 or more, got 0"),
        ({"seed": -1}, "seed must be from 0 to 2^63 - 1, got -1"),
        ({"seed": 2**63}, "seed must be from 0 to 2^63 - 1, got 9223372036854775808"),
        ({"fit": "squash"}, "fit must be pad, crop or stretch, got squash"),
        ({"fit": "\x1b[31m"}, "fit must be pad, crop or stretch, got \\x1b[31m"),
    ],
)
def test_a_request_with_impossible_values_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        Request(None, "Hello", **wrong)
    assert str(error.value) == sentence
