"""What goes wrong in ``vip chat``: one sentence each, and the session lives on or ends as it should."""

from __future__ import annotations

import io
import sys
import time

import numpy as np
import pytest
from cli.chatting import MUSHROOM, REPOSITORY, in_shell, reader
from cli.test_ask import one_line
from PIL import Image

from vipcli.chat import ChatSession
from vipcli.cli import console
from vipcli.cli.chat import lines as typing
from vipcli.cli.chat.completion import candidates
from vipcli.cli.chat.loop import converse
from vipcli.cli.chat.state import Chat
from vipcli.errors import OutputError, VipError
from vipcli.images import open_picture

FAULTS = {
    "/bx 1,2,3,4": "there is no command /bx; did you mean /box?",
    "/qqqqq": "there is no command /qqqqq; a question that begins with / is typed with //",
    "/": "there is no command /; ",
    "/box 1,2,3": "marker box:1,2,3: a box needs 4 numbers",
    "/marker box:1,2,3": "marker box:1,2,3: a box needs 4 numbers",
    "/box": "/box X1,Y1,X2,Y2: Rectangle",
    "/box 700,10,800,90": "outside the picture, which is 640 x 480",
    "/mask x=missing.png": "the mask can't be read",
    "/rm dog": "no marker is called 'dog'; there are: it",
    "/move it": "write the marker's name and pixels",
    "/move it a,b": "write the marker's name and pixels",
    "/move it 9999,0": "outside the picture",
    "/undo": "there is nothing to undo",
    "/redo": "there is nothing to redo",
    "/undo 3": "/undo takes nothing behind it, got '3'",
    "/image missing.png": "missing.png",
    "/image -": "in a chat a file must have a name",
    "/image bad\0name.png": "bad",
    "/save": "/save PATH: Save the marked picture",
    "/save out.xyz": "a picture's file name ends in",
    "/save missing/out.png": "its folder doesn't exist",
    "/save /dev/full/x.png": "/dev/full/x.png",
    "/save {meadow}": "that is the picture itself",
    "/export chat.txt": "ends in .md or .json",
    "/load missing.json": "it can't be read",
    "/load {meadow}": "it is no transcript",
    "/drop": "/drop N: Forget the first N turns",
    "/drop -1": "write how many of the first turns to forget",
    "/set temprature 1": "there is no setting 'temprature'",
    "/set temperature": "write the setting and its value",
    "/set temperature hot": "it must be a number",
    "/retry": "nothing has been asked yet",
    "/edit": "nothing has been asked yet",
    "/prompt": "nothing has been asked yet",
    "/help bx": "there is no command /bx",
    "Is @dog here?": "the question names @dog",
    "\udcff\udcfe": "no UTF-8 text",
    "\x1b]0;owned\x07 @dog": "the question names @dog",
    "/\x1b[31m": "there is no command /\\x1b[31m",
    "/image \x1b[31m.png": "\\x1b[31m.png",
}


def test_every_fault_is_one_sentence_and_the_session_lives_on(vip, meadow, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    lines = [line.format(meadow=meadow) for line in FAULTS]
    stdin = "\n".join([*lines, "What is @it?"]).encode("utf-8", "surrogateescape")
    outcome = vip("chat", meadow, "--box", f"it={MUSHROOM}", "-m", "tiny", stdin=stdin)
    assert (outcome.code, outcome.out) == (3, "a mushroom\n")
    said = outcome.err.splitlines()
    assert len(said) == len(FAULTS), outcome.err
    for sentence, line, wanted in zip(said, lines, FAULTS.values(), strict=True):
        assert wanted in sentence, line
        assert sentence.startswith("vip: ")
        assert sentence.isprintable()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(chat, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    outcome = chat(f"/save {tmp_path}/out.png", f"/export {tmp_path}/chat.json", "What is @it?")
    assert outcome.out == "a mushroom\n"
    assert [line.count("No space left on device") for line in outcome.err.splitlines()] == [1, 1]
    assert not (tmp_path / "out.png").exists()
    assert not (tmp_path / "chat.json").exists()


def test_a_picture_that_cannot_be_shown_is_one_sentence_and_leaves_nothing(chat, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert "/show: the picture can't be saved: No such file" in one_line(chat("/show").err)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.fsync", full)
    assert "No space left on device" in one_line(chat("/show").err)
    assert list(tmp_path.iterdir()) == []


def test_a_chat_shows_its_pictures_in_one_file(chat, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = chat("/show", "/move it -375,173", "/show", f"/save {tmp_path}/last.png").out.splitlines()
    assert first == second
    assert sorted(map(str, tmp_path.iterdir())) == sorted([first, f"{tmp_path}/last.png"])
    assert np.array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(tmp_path / "last.png")))


def test_that_a_file_was_replaced_is_said(scripted, capsys, tmp_path):
    entries = ["Hm?", *[f"/save {tmp_path}/out.png", f"/export {tmp_path}/chat.md"] * 2]
    assert converse(Chat(scripted, redraw=False), reader(*entries)) == 0
    *_, saved, exported, saved_again, exported_again = capsys.readouterr().err.splitlines()
    there = ", in place of the file that was there"
    assert saved == f"saved as {tmp_path}/out.png"
    assert exported == f"1 turn written to {tmp_path}/chat.md"
    assert (saved_again, exported_again) == (saved + there, exported + there)


def test_what_the_hint_on_a_long_answer_says_is_true(meadow, capsys):
    from vipcli.engine import open_engine

    session = ChatSession(open_engine("tiny"), settings={"max_new_tokens": 1})
    session.show(open_picture(meadow), "meadow.png", [f"it={MUSHROOM}"])
    entries = ["What is @it?", "/set max_new_tokens 9", "/retry"]
    assert converse(Chat(session, redraw=False), reader(*entries)) == 0
    said = capsys.readouterr()
    assert "cut off at max_new_tokens, 1; after /set max_new_tokens N, /retry gives a longer one" in said.err
    assert said.out.endswith("\na mushroom\n")


def test_a_reader_that_leaves_ends_the_chat_in_silence():
    outcome = in_shell(r"printf 'q\nq\nq\n' | CHAT | head -c 1")
    assert (outcome.returncode, len(outcome.stdout), outcome.stderr) == (141, 1, "")


def test_a_full_disk_behind_standard_output_ends_the_chat():
    outcome = in_shell(r"printf 'q\nq\nq\n' | CHAT > /dev/full")
    assert outcome.returncode == 1
    assert "standard output can't be written: No space left on device" in one_line(outcome.stderr)


@pytest.mark.parametrize("end", [console.ReaderGone(), OutputError("standard output is closed")])
@pytest.mark.parametrize("entry", ["Hm?", "/markers"])
def test_where_nothing_can_be_said_nothing_more_is_read(scripted, monkeypatch, capsys, end, entry):
    def write(_):
        raise end

    monkeypatch.setattr("vipcli.cli.console.write", write)
    with pytest.raises(type(end)):
        converse(Chat(scripted, interactive=False, redraw=False), reader(entry, AssertionError("it read on")))
    assert capsys.readouterr().err == ""


def test_standard_input_that_is_not_open_for_reading_is_its_end():
    outcome = in_shell("timeout 60 CHAT 0>/dev/null")
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert "standard input can't be read: Bad file descriptor" in one_line(outcome.stderr)


def test_a_terminal_that_is_gone_is_the_end(scripted, capsys):
    gone = OSError(5, "Input/output error")
    with pytest.raises(VipError, match="standard input can't be read: Input/output error"):
        converse(Chat(scripted, redraw=False), reader("Hm?", gone, AssertionError("it read on")))
    assert capsys.readouterr().out == "yes\n"


def test_where_every_line_fails_the_code_is_the_errors_own(chat):
    assert chat("/undo", "/redo").code == 2
    assert chat("/image missing.png").code == 1
    assert chat("/undo", "/exit").code == 2
    assert chat("", "/undo", "").code == 2
    assert chat("/markers", "/undo", "/exit").code == 3


def test_a_fault_of_vips_own_is_said_and_the_session_lives_on(chat, monkeypatch):
    monkeypatch.setattr("vipcli.chat.ChatSession.undo", lambda _: 1 / 0)
    outcome = chat("/undo", "What is @it?")
    assert (outcome.code, outcome.out) == (3, "a mushroom\n")
    assert "unexpected ZeroDivisionError" in one_line(outcome.err)


def test_an_editor_needs_a_terminal(chat):
    outcome = chat("What is @it?", "/edit")
    assert outcome.code == 3
    assert "/edit needs a terminal" in one_line(outcome.err)


def test_blanks_and_tabs_part_a_command_from_what_it_takes(chat):
    assert chat("/rm\tit", "/BOX   a=10,10,50,50", "/markers").out.startswith("@a  box:a=10,10,50,50@")


def test_a_doubt_is_said_once(chat):
    outcome = chat("/box wide=440,118,900,283", "What is @wide?", "What is @wide?")
    assert outcome.code == 0
    assert "partly outside" in one_line(outcome.err)


def test_a_question_of_a_megabyte_is_refused_and_the_next_is_answered(chat):
    outcome = chat("a" * 3_000_000, "What is @it?")
    assert (outcome.code, outcome.out) == (3, "a mushroom\n")
    assert "longer than 1 MB" in one_line(outcome.err)


A_FAULT_WITHIN = {
    "no UTF-8 in mid-block": (b'"""\n\xff\n/rm it\n"""', "no UTF-8 text (byte 0)"),
    "no UTF-8 where it begins": (b'"""\xff\n/rm it\n"""', "no UTF-8 text (byte 3)"),
    "no UTF-8 where it ends": (b'"""\n/rm it\n\xff"""', "no UTF-8 text (byte 0)"),
    "two faults": (b'"""\n\xff\n/rm it\n.\xff\n"""', "no UTF-8 text (byte 0)"),
    "a line that is too long": (b'"""\n%b\n/rm it\n"""' % (b"a" * 2_500_000), "longer than 1 MB"),
    "one that begins a block": (b'"""%b\n/rm it\n"""' % (b"a" * 2_500_000), "longer than 1 MB"),
    "one that ends a block": (b'"""\n/rm it\n%b"""' % (b"a" * 2_500_000), "longer than 1 MB"),
    "too many lines": (b'"""\n%b/rm it\n"""' % (b"a\n" * 600_000), "longer than 1 MB"),
    "a line that goes on": (b"\xff \\\n/rm it", "no UTF-8 text (byte 0)"),
    "a block behind a blank line that goes on": (b'\\\n"""\n\xff\n/rm it\n"""', "no UTF-8 text (byte 0)"),
}


@pytest.mark.parametrize("case", A_FAULT_WITHIN)
def test_no_part_of_a_faulty_question_is_run(vip, meadow, case):
    typed, sentence = A_FAULT_WITHIN[case]
    outcome = vip("chat", meadow, "--box", f"it={MUSHROOM}", "-m", "tiny", stdin=typed + b"\nWhat is @it?\n")
    assert (outcome.code, outcome.out) == (3, "a mushroom\n")
    assert sentence in one_line(outcome.err)


def test_a_block_of_many_lines_is_read_at_once(monkeypatch):
    text = "\n".join(["a"] * 300_000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f'"""\n{text}\n"""\n'.encode())))
    before = time.process_time()
    assert typing.whole(asking=False) == text
    assert time.process_time() - before < 4  # seconds; 0.5, and minutes where each line looks at all before it


OFFERED = {
    "/mo": ["move "],
    "/und": ["undo"],
    "/hel": ["help "],
    "/rm ": ["it"],
    "/move i": ["it"],
    "/set te": ["temperature"],
    "/help unk": [],
    "/help /ex": ["export", "exit"],
    "/image examples/mea": ["meadow.png"],
    "/save examples/mea": ["meadow.png"],
    "/mask x=examples/mea": ["meadow.png"],
    "/box examples/mea": [],
    "/prompt i": [],
    "What is @i": ["it"],
}


@pytest.mark.parametrize("typed", OFFERED)
def test_tab_offers_what_a_command_takes(scripted, monkeypatch, typed):
    monkeypatch.chdir(REPOSITORY)
    assert candidates(typed, scripted)[1] == OFFERED[typed]


WRONG = {
    "an unknown unit, without a picture": (["--coords", "x"], "--coords x: use pixels, relative or thousandths"),
    "an unknown format, without a picture": (["--box-format", "x"], "--box-format x: use xyxy, xywh or cxcywh"),
    "the picture from standard input": (["-"], "standard input has the questions"),
    "markers without a picture": (["--point", "1,1"], "markers need a picture"),
    "a marker short of a number": (["{meadow}", "--box", "1,2,3"], "--box 1,2,3: a box needs 4 numbers"),
    "two of one name": (["{meadow}", "--point", "a=1,1", "--point", "a=9,9"], "two markers are called 'a'"),
    "a negative temperature": (["{meadow}", "--temperature", "-1"], "temperature must be 0 or more"),
    "an unknown style": (["{meadow}", "--prompt-style", "x"], "--prompt-style x: use auto"),
    "a second picture": (["{meadow}", "{meadow}"], "unexpected extra argument"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_said_before_a_model_loads(vip, meadow, monkeypatch, case):
    arguments, sentence = WRONG[case]
    monkeypatch.setattr("vipcli.engine.open_engine", lambda *_, **__: pytest.fail("it loaded"))
    outcome = vip("chat", "-m", "tiny", *(argument.format(meadow=meadow) for argument in arguments), stdin="Hm?")
    assert (outcome.code, outcome.out) == (2, "")
    assert sentence in one_line(outcome.err)


def test_a_picture_that_is_not_there_is_said_before_a_model_loads(vip, monkeypatch):
    monkeypatch.setattr("vipcli.engine.open_engine", lambda *_, **__: pytest.fail("it loaded"))
    outcome = vip("chat", "missing.png", "-m", "tiny", stdin="Hm?")
    assert (outcome.code, outcome.out) == (1, "")
    assert "missing.png" in one_line(outcome.err)


def test_quotes_that_close_on_their_line_open_no_block_and_one_that_stays_open_is_said(chat):
    outcome = chat('"""it""" is what?', "What is @it?", '"""', "/rm it")
    assert len(answers := outcome.out.splitlines()) == 2
    assert answers[1] == "a mushroom"
    assert one_line(outcome.err) == 'vip: the text behind """ doesn\'t end: another """ is missing'
    assert outcome.code == 3
