"""``vip chat`` in a real terminal: typing, history, completion, Ctrl-C and Ctrl-D, an editor."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pyte
import pytest

REPOSITORY = Path(__file__).parents[2]
MUSHROOM = "440,118,598,283"
CHAT = ["-m", "vipcli", "chat", "examples/meadow.png", "--box", f"plant={MUSHROOM}"]
PATIENCE = 120  # seconds: loading torch on a busy machine
WIDTH, HEIGHT = 100, 40


class Terminal:
    """A terminal with a chat in it: type into it, and read what a person would see."""

    def __init__(self, arguments, **environment):
        inherited = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
        settings = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **environment}
        self.screen = pyte.HistoryScreen(WIDTH, HEIGHT, history=2000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.child = pexpect.spawn(
            sys.executable,
            arguments,
            cwd=REPOSITORY,
            env={**inherited, **settings},
            dimensions=(HEIGHT, WIDTH),
            timeout=PATIENCE,
        )

    def text(self):
        """All lines, those that have scrolled away first."""
        above = ["".join(row[column].data for column in range(WIDTH)) for row in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*above, *self.screen.display]).rstrip()

    def until(self, condition, what):
        """Read until `condition` holds of `text`."""
        end = time.monotonic() + PATIENCE
        while not condition(self.text()):
            assert time.monotonic() < end, f"no {what}:\n{self.text()}"
            try:
                data = self.child.read_nonblocking(65536, timeout=1)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                assert condition(self.text()), f"it left without {what}:\n{self.text()}"
                return
            self.raw += data
            self._stream.feed(data)

    def sees(self, words):
        self.until(lambda text: words in text, repr(words))

    def ready(self):
        """Wait until an empty prompt is the last line, which hasn't been read from yet."""
        self.until(lambda text: text.splitlines()[-1:] == [">"], "prompt")

    def enter(self, text):
        """Type a line at the prompt, and wait until the next prompt; returns what was shown between the two."""
        self.ready()
        before = self.text().count("\n")
        self.child.send(f"{text}\r")
        self.until(
            lambda shown: shown.count("\n") > before and shown.splitlines()[-1] == ">", f"prompt behind {text!r}"
        )
        return "\n".join(self.text().splitlines()[before + 1 : -1])

    def ends(self):
        """Wait for the end and return the exit code."""
        self.child.expect(pexpect.EOF)
        self.raw += self.child.before
        self._stream.feed(self.child.before)
        self.child.close()
        return self.child.exitstatus


@pytest.fixture
def terminal(tmp_path):
    """``terminal(*flags, **environment)`` -> Terminal; what is left running is ended."""
    opened = []

    def start(*flags, model="tiny", **environment):
        home = {"XDG_STATE_HOME": str(tmp_path / "state"), "TMPDIR": str(tmp_path), **environment}
        opened.append(Terminal([*CHAT, "-m", str(model), *flags], **home))
        return opened[-1]

    yield start
    for one in opened:
        one.child.close(force=True)


def test_a_conversation_as_it_is_typed(terminal, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/plant/home/' \"$1\"\n")
    editor.chmod(0o755)
    chat = terminal(EDITOR=str(editor))
    chat.ready()
    assert "examples/meadow.png, 640 x 480, markers: @plant" in chat.text()

    # questions, markers, undo
    assert chat.enter("What is @plant?").strip() == "a mushroom"
    assert "@plant: box:plant=65,291,223,456@" in chat.enter("/move plant -375,173")
    assert chat.enter("What is @plant?").strip() == "a house"
    assert "markers: @plant" in chat.enter("/undo")
    assert chat.enter("What is @plant?").strip() == "a mushroom"
    assert "did you mean /box?" in chat.enter("/bx 1,2")
    assert "a box needs 4 numbers" in chat.enter("/box 1,2")

    # completion: a command with the blank behind it, a marker's name, one behind @, a path
    chat.child.send("/mov\t")
    chat.until(lambda text: text.endswith("> /move"), "completed command")
    chat.child.send("pl\t")
    chat.until(lambda text: text.endswith("> /move plant"), "completed name")
    chat.child.send(" 0,1\r")
    chat.sees("plant=440,119,598,284")
    chat.ready()
    chat.child.send("Is @pl\t")
    chat.until(lambda text: text.endswith("> Is @plant"), "completed @name")
    chat.child.send("\x03")
    chat.ready()
    chat.child.send("/image examples/pon\t")
    chat.until(lambda text: text.endswith("> /image examples/pond.png"), "completed path")

    # Ctrl-C clears the line
    chat.child.send("\x03")
    chat.ready()

    # several lines: a backslash, Alt-Enter, three quotes, a paste
    for typed in ("one \\\rtwo", "one \x1b\rtwo", '"""\rone \rtwo\r"""', "\x1b[200~one \ntwo\x1b[201~"):
        chat.enter(typed)
        assert "one\ntwo###Assistant:" in re.sub(" *\n", "\n", chat.enter("/prompt"))

    # an editor on the last question, asked in place of it
    chat.enter("/box home=57,287,231,461")
    chat.enter("What is @plant?")
    assert chat.enter("/edit").strip() == "a house"

    # files
    chat.enter(f"/export {tmp_path}/chat.json")
    last = json.loads((tmp_path / "chat.json").read_text())["turns"][-1]
    assert (last["question"], last["answer"]) == ("What is @home?", "a house")
    assert "0 left" in chat.enter("/drop 99")
    assert "going on after 8 turns" in chat.enter(f"/load {tmp_path}/chat.json")
    assert "/dev/full/x.png" in chat.enter("/save /dev/full/x.png")

    chat.child.send("\x04")
    assert chat.ends() == 0
    assert chat.raw.count(b"\x1b[?2004h") == chat.raw.count(b"\x1b[?2004l"), "bracketed paste is switched off again"
    assert "Traceback" not in chat.text()


def test_what_was_typed_is_there_the_next_time_and_for_nobody_else(terminal, tmp_path):
    first = terminal()
    first.enter("/help move")
    first.ready()
    first.child.send("/exit\r")
    assert first.ends() == 0
    (kept,) = (tmp_path / "state").rglob("chat-history")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    second = terminal()
    second.ready()
    second.child.send("/he\x1b[A")
    second.until(lambda text: text.endswith("> /help move"), "what was typed the last time")
    second.child.send("\r")
    second.sees("Move a marker by pixels")
    second.ready()
    second.child.send("\x12exi")  # Ctrl-R searches
    second.sees("/exit")
    second.child.send("\r")
    second.child.send("\r")
    assert second.ends() == 0


@pytest.mark.parametrize("plain", [False, True], ids=["drawn", "plain"])
def test_ctrl_c_in_mid_answer_keeps_what_came_and_the_chat_goes_on(terminal, endless, tmp_path, plain):
    flags = ["--max-new-tokens", "60000", *(["--plain"] if plain else [])]
    chat = terminal(*flags, model=endless)
    chat.ready()
    before = len(chat.text())
    chat.child.send("Hm?\r")
    chat.until(lambda text: len(text) > before + 60, "some words of an answer")
    chat.child.send("\x03")
    chat.sees("stopped")
    chat.enter(f"/export {tmp_path}/chat.json")
    (turn,) = json.loads((tmp_path / "chat.json").read_text())["turns"]
    assert len(turn["answer"]) > 10
    chat.enter("/set max_new_tokens 3")
    assert "cut off at max_new_tokens, 3" in chat.enter("/retry")
    chat.child.send("\x04")
    assert chat.ends() == 0


@pytest.mark.parametrize("way", ["--plain", "dumb"])
def test_nothing_is_redrawn_where_that_is_not_wanted(terminal, tmp_path, way):
    chat = terminal("--plain") if way == "--plain" else terminal(TERM="dumb")
    assert "a mushroom" in chat.enter("What is @plant?")
    assert ".png" in chat.enter("/show")
    chat.child.send("half a li\x03")
    chat.sees("^C")
    chat.enter("one \\\rtwo")
    assert "one" in chat.enter("/prompt")
    chat.child.send("\x04")
    assert chat.ends() == 0
    assert b"\x1b" not in chat.raw
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("home", ["/dev/null/home", "/proc/1"])
def test_without_a_place_for_the_history_it_is_kept_for_the_run(terminal, home):
    chat = terminal(HOME=home, XDG_STATE_HOME=f"{home}/state", XDG_CACHE_HOME="")
    chat.enter("/help move")
    chat.child.send("\x1b[A")
    chat.until(lambda text: text.endswith("> /help move"), "what was typed before")
    chat.child.send("\r")
    chat.ready()
    chat.child.send("\x04")
    assert chat.ends() == 0
    assert "Traceback" not in chat.text()


def test_a_preview_or_else_a_file_is_shown(terminal):
    chat = terminal()
    shown = chat.enter("/show")
    assert "▀" in shown or re.search(r"vip-\w+\.png", shown)
    assert "Traceback" not in shown


def test_a_chat_that_is_ended_from_outside_leaves_the_terminal_as_it_was(terminal):
    chat = terminal()
    chat.ready()
    chat.child.kill(signal.SIGTERM)
    assert chat.ends() == 143
    assert chat.raw.count(b"\x1b[?2004h") == chat.raw.count(b"\x1b[?2004l")
    assert "Traceback" not in chat.text()


def test_ctrl_c_while_the_model_loads_ends_it(terminal):
    chat = terminal()
    end = time.monotonic() + PATIENCE
    while "libtorch" not in Path(f"/proc/{chat.child.pid}/maps").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    chat.child.sendintr()
    assert chat.ends() == 130
    assert "Traceback" not in chat.text()


def test_ctrl_c_ends_a_chat_that_is_piped(endless):
    with subprocess.Popen(
        [sys.executable, *CHAT, "-m", endless, "--max-new-tokens", "60000"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        process.stdin.write(b"Hm?\n")
        process.stdin.flush()
        first = process.stdout.read(3)
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert (first + rest).endswith(b"\n")
    assert error == b""
