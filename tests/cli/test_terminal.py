"""``vip`` in a real terminal, and in the places where there is none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pyte
import pytest

REPOSITORY = Path(__file__).parents[2]
VIP = [sys.executable, "-m", "vipcli"]
ASK = ["ask", "examples/meadow.png", "--box", "440,118,598,283", "What is this?", "-m", "tiny"]
# 60,000 tokens would take minutes: an answer that doesn't end by itself while the test watches.
ENDLESS = ["ask", "examples/meadow.png", "Hm?", "-m", "{folder}", "--max-new-tokens", "60000"]


def clean(**more):
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES", "TERM")}
    return {**kept, "TERM": "xterm-256color", **more}


def screen_of(data: bytes, columns: int = 80) -> list[str]:
    screen = pyte.Screen(columns, 24)
    pyte.ByteStream(screen).feed(data)
    return [line.rstrip() for line in screen.display if line.strip()]


def in_terminal(arguments, columns=80, **environment):
    child = pexpect.spawn(
        VIP[0], [*VIP[1:], *arguments], cwd=REPOSITORY, env=clean(**environment), dimensions=(24, columns), timeout=120
    )
    data = child.read()
    child.close()
    return child.exitstatus, data


def test_a_terminal_shows_the_answer_and_is_left_as_it_was():
    code, data = in_terminal(ASK)
    assert code == 0
    assert screen_of(data)[-1] == "a mushroom"
    assert data.rstrip().endswith((b"a mushroom", b"\x1b[?25h"))
    assert data.count(b"\x1b[?25l") == data.count(b"\x1b[?25h"), "the cursor is shown again"


@pytest.mark.parametrize(("columns", "environment"), [(20, {}), (80, {"TERM": "dumb"}), (80, {"NO_COLOR": "1"})])
def test_narrow_dumb_and_colourless_terminals_work(columns, environment):
    code, data = in_terminal(ASK, columns, **environment)
    assert code == 0
    assert screen_of(data, columns)[-1] == "a mushroom"
    if environment:
        assert b"\x1b[3" not in data.replace(b"\x1b[3J", b""), "no colours"


@pytest.mark.parametrize("command", ["--help", "ask --help", "mark examples/meadow.png --box 1,2,30,40 -o -"])
def test_where_nobody_reads_it_ends_in_silence(command):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m vipcli {command} | true; exit ${{PIPESTATUS[0]}}"],
        cwd=REPOSITORY,
        capture_output=True,
        env=clean(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (141, b"", b"")


def test_nothing_but_the_answer_goes_through_a_pipe():
    done = subprocess.run([*VIP, *ASK], cwd=REPOSITORY, capture_output=True, env=clean(FORCE_COLOR=""))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a mushroom\n", b"")


def test_a_reader_that_leaves_is_no_fault():
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m vipcli ask --help | head -n 1"], cwd=REPOSITORY, capture_output=True
    )
    assert done.stdout.startswith(b"Usage: vip ask")
    assert done.stderr == b""


def test_no_home_no_locale_and_closed_input_work(tmp_path):
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": "/dev/null/home"}
    done = subprocess.run([*VIP, *ASK], cwd=REPOSITORY, capture_output=True, env=environment, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, b"a mushroom\n"), done.stderr


def test_ctrl_c_in_mid_answer_keeps_the_text_and_exits_130(endless):
    with subprocess.Popen(
        [*VIP, *(argument.format(folder=endless) for argument in ENDLESS)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        first = process.stdout.read(3)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        rest, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 20
    assert (first + rest).strip()
    assert rest.endswith(b"\n")
    assert b"Traceback" not in error


def test_brackets_in_what_is_being_done_are_no_markup(monkeypatch, capsys):
    from vipcli.cli import console

    monkeypatch.setattr(console, "_lively", lambda *_: True)
    with console.status("asking x[/y] [link=https://example.org]z", quiet=False):
        pass
    assert "\x1b]8" not in capsys.readouterr().err


def test_ctrl_c_while_loading_exits_130_without_a_word():
    child = pexpect.spawn(VIP[0], [*VIP[1:], *ASK], cwd=REPOSITORY, env=clean(), timeout=60)
    began = time.monotonic()
    while "libtorch" not in Path(f"/proc/{child.pid}/maps").read_text():  # the libraries are being loaded
        assert time.monotonic() - began < 50
        time.sleep(0.01)
    child.sendintr()
    data = child.read()
    child.close()
    assert child.exitstatus == 130
    assert b"Traceback" not in data


def test_a_markdown_answer_is_rendered_and_long_ones_scroll(monkeypatch):
    """The renderer alone, on a terminal of 12 lines, fed by a generation that is longer than that."""
    script = (
        "from vipcli.cli.console import stream_answer\n"
        "from vipcli.engine import Generation, Token\n"
        "text = '# Title\\n\\n'\n"
        "text += ''.join(f'Paragraph {n} has **bold** words.\\n\\n' for n in range(30)) + '- one\\n- two\\n'\n"
        "def tokens():\n"
        "    for i in range(0, len(text), 7): yield Token(1, text[i:i + 7])\n"
        "    return 'stop'\n"
        "stream_answer(Generation(tokens(), 1))\n"
    )
    child = pexpect.spawn(sys.executable, ["-c", script], env=clean(), dimensions=(12, 80), timeout=60)
    data = child.read()
    history = pyte.HistoryScreen(80, 12, history=500)
    pyte.ByteStream(history).feed(data)
    rows = ["".join(row[column].data for column in range(80)).rstrip() for row in history.history.top]
    shown = "\n".join([*rows, *history.display])
    assert "**" not in shown
    for number in range(30):
        assert shown.count(f"Paragraph {number} has bold words.") == 1
    assert "• one" in shown


def shown_by(script: str) -> tuple[bytes, list[str]]:
    """What a terminal of 80 x 24 gets from a Python script, and what then stands on it."""
    child = pexpect.spawn(sys.executable, ["-c", script], env=clean(), dimensions=(24, 80), timeout=60)
    data = child.read()
    return data, screen_of(data)


def test_an_interrupted_answer_stays_on_the_screen():
    _, screen = shown_by(
        "from vipcli.cli.console import stream_answer\n"
        "from vipcli.engine import Generation, Token\n"
        "def tokens():\n"
        "    yield Token(1, 'These words came')\n"
        "    raise KeyboardInterrupt\n"
        "try: stream_answer(Generation(tokens(), 1))\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    assert screen == ["These words came", "interrupted"]


def test_an_answer_obeys_nothing_and_hides_no_address():
    data, screen = shown_by(
        "from vipcli.cli.console import stream_answer\n"
        "from vipcli.engine import Generation, Token\n"
        "def tokens():\n"
        "    yield Token(1, 'see [my bank](http://evil.example) \\x1b]0;owned\\x07 \\x1b[2J end')\n"
        "    return 'stop'\n"
        "stream_answer(Generation(tokens(), 1))\n"
    )
    assert b"\x1b]" not in data
    assert b"\x1b[2J" not in data
    assert "http://evil.example" in screen[0]
    assert "\\x1b]0;owned\\x07" in " ".join(screen)
