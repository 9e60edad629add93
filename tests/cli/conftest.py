"""A way to run ``vip`` in this process, where torch is loaded once."""

import io
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from chat.scripted import Scripted
from cli.chatting import MUSHROOM
from endless import endless_model

from vipcli.chat import ChatSession
from vipcli.cli import main
from vipcli.images import open_picture

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def vip(monkeypatch, capsys):
    """``vip("ask", picture, "What is this?")`` -> Outcome; `stdin` is what is piped in."""

    def run(*arguments, stdin: bytes | str = b""):
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["vip", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Outcome(end.value.code or 0, captured.out, captured.err)

    return run


@pytest.fixture
def meadow():
    """A mushroom at 448,126,590,275, a house at 65,295,223,453 and cheese at 41,50,264,209; 640 x 480."""
    return EXAMPLES / "meadow.png"


@pytest.fixture
def pond():
    """A duck at 495,148,627,288, a bee at 58,49,259,237 and a frog at 219,299,359,423; 640 x 480."""
    return EXAMPLES / "pond.png"


@pytest.fixture
def endless(tmp_path):
    return endless_model(tmp_path / "endless")


@pytest.fixture
def chat(vip, meadow):
    """``chat(line, ...)`` -> Outcome of a chat about the meadow, whose marker ``it`` is on the mushroom."""

    def run(*lines, arguments=()):
        return vip("chat", meadow, "--box", f"it={MUSHROOM}@red", "-m", "tiny", *arguments, stdin="\n".join(lines))

    return run


@pytest.fixture
def scripted(meadow):
    """A conversation about the meadow in which every answer is yes."""
    session = ChatSession(Scripted())
    session.show(open_picture(meadow), str(meadow), [f"it={MUSHROOM}@red"])
    return session


@pytest.fixture
def folder(tmp_path, meadow, pond, monkeypatch):
    """A meadow, a pond, and what is no picture; the current folder is the one that it lies in."""
    found = tmp_path / "photos"
    found.mkdir()
    shutil.copy(meadow, found)
    shutil.copy(pond, found)
    (found / "notes.txt").write_text("none")
    monkeypatch.chdir(tmp_path)
    return found
