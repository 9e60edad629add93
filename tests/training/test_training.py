"""The training of the embedded model, a few steps of it."""

import os
import subprocess
import sys

import pytest
import torch

from vipcli.prompt import Conversation, Turn, render
from vipcli.training.tiny import PATCHES, encode, tokenizer

# Compiling pays after hundreds of steps and takes half a minute.
EAGER = {**os.environ, "TORCH_COMPILE_DISABLE": "1"}


def run(*arguments):
    command = [sys.executable, "-m", "vipcli.training.tiny", *map(str, arguments)]
    subprocess.run(command, check=True, env=EAGER, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def pieces():
    return tokenizer()


def test_any_text_survives_the_tokenizer(pieces):
    for text in ("What is the object within the red rectangle?", "Was ist das? 犬 🐕 \t\n", "1234 ### <image"):
        assert pieces.decode(pieces.encode(text, add_special_tokens=False)) == text


def test_every_answer_is_short_in_tokens(pieces):
    from vipcli.scenes import THINGS, with_article

    assert max(len(pieces.encode(f" {with_article(thing)}", add_special_tokens=False)) for thing in THINGS) <= 3


def test_lessons_are_encoded_as_the_prompt_that_vip_sends(pieces):
    turns = (("What is this?", "a cat"), ("What marks the cat?", "a red rectangle"))
    ids, labels = encode(pieces, turns, "")
    conversation = Conversation((Turn(*turns[0]), Turn(*turns[1])))
    text = render(conversation, "chat-template").replace("<image>", "<image>" * PATCHES)
    assert ids == pieces.encode(text)
    taught = [label for label in labels if label != -100]
    assert pieces.decode(taught) == " a cat</s> a red rectangle</s>"
    # A position's label is the token that follows it, but for the end of an answer.
    for position, label in enumerate(labels[:-1]):
        assert label in (-100, ids[position + 1], pieces.eos_token_id)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path):
    run("tower", "--steps", 4, "--batch", 2, "--run", tmp_path / "whole")
    run("tower", "--steps", 2, "--batch", 2, "--run", tmp_path / "torn")
    run("tower", "--steps", 4, "--batch", 2, "--run", tmp_path / "torn")
    whole, torn = (torch.load(tmp_path / name / "tower.pt", weights_only=True) for name in ("whole", "torn"))
    assert whole["step"] == torn["step"] == 4
    for name, weights in whole["model"].items():
        assert torch.equal(weights, torn["model"][name]), name


def test_all_stages_end_in_a_checkpoint_that_vip_answers_with(tmp_path):
    from vipcli import ask

    run("tower", "--steps", 1, "--batch", 2, "--run", tmp_path)
    run("text", "--steps", 1, "--batch", 2, "--run", tmp_path)
    run("joint", "--steps", 1, "--batch", 2, "--run", tmp_path)
    run("export", "--run", tmp_path, "--to", tmp_path / "model")
    answer = ask(
        torch.zeros(40, 60, 3, dtype=torch.uint8).numpy(), "Hm?", model=str(tmp_path / "model"), max_new_tokens=3
    )
    assert answer.answer_tokens <= 3


def test_a_stage_whose_beginning_is_missing_says_so(tmp_path):
    command = [sys.executable, "-m", "vipcli.training.tiny", "joint", "--run", str(tmp_path)]
    done = subprocess.run(command, env=EAGER, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "text.pt is missing" in done.stderr
    assert "Traceback" not in done.stderr
