"""``vip chat`` with its questions from a pipe, the embedded model answering."""

from __future__ import annotations

import json
import os

import numpy as np
from cli.chatting import CHEESE, HOUSE, MUSHROOM
from cli.test_ask import one_line
from PIL import Image


def test_each_question_gets_a_plain_answer_and_nothing_else_is_printed(chat):
    outcome = chat("What is @it?", "", "/move it -375,173", "What is @it?", "/undo", "What is @it?")
    assert (outcome.code, outcome.out, outcome.err) == (0, "a mushroom\na house\na mushroom\n", "")


def test_the_marker_commands_take_the_grammar_of_the_flags(chat):
    outcome = chat(f"/box home={HOUSE}@blue", f"/ellipse {CHEESE}", "What is @home?", "/rm home", "/markers")
    assert outcome.code == 0, outcome
    answer, *markers = outcome.out.splitlines()
    assert answer == "a house"
    assert [line.split("@")[1].split()[0] for line in markers] == ["it", "3"]
    assert markers[0] == f"@it  box:it={MUSHROOM}@red"


EVERY_KIND = [
    "/box 10,10,50,50",
    "/ellipse 10,10,50,50",
    "/arrow 10,10,50,50",
    "/point 50,50",
    "/triangle 10,10,50,10,30,50",
    "/contour 10,10,50,10,30,50",
    "/mask 10,10,50,10,30,50",
    "/scribble 10,10,50,10,30,50",
    "/tag t=100,100",
    "/marker arrow:last=10,10,50,50@blue",
]


def test_every_kind_of_marker_can_be_drawn(chat):
    outcome = chat(*EVERY_KIND, "/markers")
    assert (outcome.code, outcome.err) == (0, "")
    kinds = [line.split("  ")[1].split(":")[0] for line in outcome.out.splitlines()]
    assert kinds == ["box", *"box ellipse arrow point triangle contour mask scribble tag arrow".split()]


def test_coordinates_are_read_as_the_flags_say(chat):
    outcome = chat("/box a=500,500,100,100", "/markers", arguments=["--coords", "thousandths", "--box-format", "xywh"])
    assert "box:a=320,240,384,288" in outcome.out


def test_the_exact_prompt_is_shown(chat):
    outcome = chat("/prompt What is @it?", "What is @it?", "/prompt")
    expected = "###Human: <image>\nWhat is the it within the red rectangle?###Assistant:\n"
    assert outcome.out == f"{expected}a mushroom\n{expected}"


def test_two_slashes_ask_what_begins_with_one(chat):
    assert chat("/prompt /help?", "//help?", "/prompt").out.count("\n/help?###Assistant:") == 2


def test_several_lines_are_one_question(chat):
    outcome = chat("one \\", "two", "/prompt", '"""', "/three", "", "four", '"""', "/prompt", '"""five"""', "/prompt")
    assert outcome.code == 0, outcome
    for question in ("one \ntwo", "/three\n\nfour", "five"):
        assert f"{question}###Assistant:" in outcome.out


def test_turns_are_forgotten_asked_again_and_cleared(chat):
    outcome = chat(
        "What is @it?",
        "Hm?",
        "/drop 1",
        "/prompt Now?",
        "/clear",
        "What is @it?",
        "/move it -375,173",
        "/retry",
        "/prompt",
    )
    assert outcome.code == 0, outcome
    assert "Human: <image>\nHm?" in outcome.out
    assert outcome.out.endswith(
        "a mushroom\na house\n###Human: <image>\nWhat is the it within the red rectangle?###Assistant:\n"
    )


def test_settings_and_the_system_line_hold_for_what_follows(chat):
    outcome = chat("/set temperature 0.7", "/set top-p 0.9", "/set", "/system Be brief.", "/system", "/prompt Hm?")
    assert outcome.code == 0, outcome
    assert "temperature 0.7\ntop_p 0.9\nseed None\nmax_new_tokens 512\nfit pad\nBe brief.\n" in outcome.out
    assert "Be brief." in outcome.out.splitlines()[-1] + outcome.out.splitlines()[-2]
    assert chat("/system default", "/system").out == "default: the prompt style's own\n"


def test_the_marked_picture_is_saved_and_shown_as_a_file(chat, tmp_path):
    outcome = chat(f"/save {tmp_path}/a name.png", f'/save "{tmp_path}/quoted.png"', "/show")
    assert outcome.code == 0, outcome
    saved = np.asarray(Image.open(tmp_path / "a name.png"))
    assert np.array_equal(saved, np.asarray(Image.open(tmp_path / "quoted.png")))
    shown = outcome.out.strip()
    assert np.array_equal(saved, np.asarray(Image.open(shown)))
    os.unlink(shown)


def test_a_conversation_is_exported_and_gone_on_with(chat, vip, tmp_path):
    chat("What is @it?", f"/export {tmp_path}/chat.json", f"/export {tmp_path}/chat.md")
    assert "**What is @it?**" in (tmp_path / "chat.md").read_text()
    assert json.loads((tmp_path / "chat.json").read_text())["turns"][0]["answer"] == "a mushroom"
    outcome = vip("chat", "-m", "tiny", stdin=f"/load {tmp_path}/chat.json\n/move it -375,173\nWhat is @it?\n")
    assert (outcome.code, outcome.out, outcome.err) == (0, "a house\n", "")


def test_a_chat_may_begin_without_a_picture(vip, meadow):
    outcome = vip("chat", "-m", "tiny", stdin=f"/box {MUSHROOM}\n/image {meadow}\n/box {MUSHROOM}\nWhat is @1?\n")
    assert (outcome.code, outcome.out) == (3, "a mushroom\n")
    assert "there is no picture yet: /image PATH shows one" in one_line(outcome.err)


def test_help_lists_every_command(chat):
    from vipcli.cli.chat.commands import COMMANDS

    outcome = chat("/help", "/?", "/help move")
    assert all(outcome.out.count(f"\n/{name}") >= 2 or name == "box" for name in COMMANDS)
    assert outcome.out.splitlines()[-1].startswith("/move NAME DX,DY")


def test_exit_leaves_the_rest_unread(chat):
    assert chat("/exit", "What is @it?").out == ""


def test_nothing_asked_is_no_fault(chat):
    assert chat("").code == 0


def test_verbose_shows_prompt_and_timings(chat):
    outcome = chat("What is @it?", arguments=["-v"])
    assert outcome.out == "a mushroom\n"
    assert "model: tiny on cpu in float32" in outcome.err
    assert "within the red rectangle?###Assistant:'" in outcome.err
    assert "answer tokens in" in outcome.err


def test_a_conversation_that_gets_too_long_says_what_to_do(chat):
    long = "What is @it?" + " please" * 60
    outcome = chat(*[long] * 16, "/drop 9", "What is @it?")
    assert outcome.code == 3
    assert "/drop N forgets the first N of" in outcome.err
    assert "forget its first turns, or all of them" in outcome.err
    assert outcome.out.splitlines()[-1]
