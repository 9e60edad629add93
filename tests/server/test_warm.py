"""`vip ask` by way of a running server: the same answers, byte by byte, and what goes the long way."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cli.conftest
import numpy as np
import pytest
from server.serving import EXAMPLES, MEADOW, POND, Held, wait_for
from server.warmly import Nearby, nearby

from vipcli import open_engine
from vipcli.engine import MODELS, identity, resolve
from vipcli.images import save_picture

vip = cli.conftest.vip
TINY = MODELS["tiny"].folder or Path()
MUSHROOM = ("--box", "440,118,598,283")
IN_MEADOW = (MEADOW, *MUSHROOM)
TIMES = ("seconds", "seconds_to_first_token")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The folder of what runs."""
    folder = tmp_path_factory.mktemp("run")
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    yield folder
    os.environ["XDG_RUNTIME_DIR"] = before or ""


@pytest.fixture(scope="module")
def near(runtime):
    """A server of `tiny` that vip ask finds."""
    with nearby(runtime / "vip", open_engine("tiny")) as it:
        yield it


def both(vip, near: Nearby, *arguments: Any, stdin: bytes = b"", warm: bool = True) -> Any:
    """What vip ask does with the server, which must be what it does without."""
    before = near.asked
    ours = vip("ask", *arguments, "-m", "tiny", stdin=stdin)
    assert (near.asked > before) == warm, "it was asked, or not"
    cold = vip("ask", *arguments, "-m", "tiny", "--no-server", stdin=stdin)
    rows = [
        [json.loads(line) for line in its.out.splitlines()] if "--json" in arguments else its.out
        for its in (ours, cold)
    ]
    for row in (row for side in rows if isinstance(side, list) for row in side):
        assert all(row.pop(name) >= 0 for name in TIMES)
    assert rows[0] == rows[1]
    assert (ours.code, ours.err) == (cold.code, cold.err)
    return ours


@pytest.mark.parametrize(
    "arguments",
    [
        (*IN_MEADOW, "What is this?"),
        (*IN_MEADOW, "What is @1?"),
        (MEADOW, "--box", "it=440,118,598,283@blue,width=5", "--arrow", "20,20,120,200", "What is @it?", "--json"),
        (MEADOW, "--box", "0.7,0.26,0.93,0.57", "--coords", "relative", "What is @1?", "--json"),
        (MEADOW, "--box", "440,118,158,165", "--box-format", "xywh", "What is @1?", "--json"),
        (MEADOW, "--marker", "ellipse:440,118,598,283", "--tags", "What is @1?", "--json"),
        (MEADOW, "--mask", "440,118,598,118,598,283,440,283@red,alpha=0.3", "What is @1?", "--json"),
        (*IN_MEADOW, "What is @1?", "--prompt-style", "llava-v1", "--json"),
        (*IN_MEADOW, "What is @1?", "--system", "Be brief. ### <image>", "--json"),
        (*IN_MEADOW, "What is @1?", "--fit", "crop", "--json"),
        (*IN_MEADOW, "Is ### @1 a <image> house?", "--max-new-tokens", "3", "--json"),
        (*IN_MEADOW, "What is @1?", "--temperature", "0.9", "--top-p", "0.8", "--seed", "7", "--json"),
        (*IN_MEADOW, "-q", "What is @1?", "-q", "Is @1 a house?", "-q", "What colour is @1?"),
        (MEADOW, POND, "--box", "440,118,598,283", "What is @1?", "--json"),
        (MEADOW, "--point", "1,1@width=0.01", "What is @1?"),
        (MEADOW, "--box", "-50,118,598,283", "What is @1?"),
        (MEADOW, EXAMPLES / "things.json", "--box", "440,118,598,283", "What is @1?"),
    ],
    ids=lambda arguments: " ".join(map(str, arguments[1:]))[:80],
)
def test_an_answer_is_that_of_a_cold_ask_to_the_last_byte(vip, near, arguments):
    both(vip, near, *arguments)


def test_a_picture_may_be_piped_in(vip, near):
    assert both(vip, near, "-", *MUSHROOM, "What is this?", stdin=MEADOW.read_bytes()).out == "a mushroom\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((MEADOW, "--box", "1,2,3", "What?"), "a box needs 4 numbers"),
        ((*IN_MEADOW, "What is @dog?"), "@dog"),
        ((EXAMPLES / "things.json", "What?"), "things.json"),
        (("-", "What?"), "standard input"),
    ],
)
def test_what_is_wrong_is_said_as_without_a_server(vip, near, arguments, said):
    assert said in both(vip, near, *arguments, warm=False).err


def test_a_mask_that_is_a_file_is_read_here(vip, near, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((480, 640, 3), np.uint8)
    mask[118:283, 440:598] = 255
    save_picture(mask, tmp_path / "m.png")
    both(vip, near, MEADOW, "--mask", "m.png", "What is @1?", warm=False)


def test_a_doubt_is_an_error_with_strict_and_nothing_with_quiet(vip, near):
    outside = (MEADOW, "--box", "-50,118,598,283", "What is @1?")
    assert both(vip, near, *outside, "--strict").code == 2
    assert both(vip, near, *outside, "--quiet").err == ""


def test_the_marked_picture_is_kept_as_well(vip, near, tmp_path):
    kept = []
    for flag in ((), ("--no-server",)):
        vip("ask", *IN_MEADOW, "What?", "-m", "tiny", "--save-marked", tmp_path / "marked.png", *flag)
        kept.append((tmp_path / "marked.png").read_bytes())
        (tmp_path / "marked.png").unlink()
    assert kept[0] == kept[1]


def test_a_question_that_is_too_long_for_the_model_is_an_error_of_usage(vip, near, tmp_path):
    sides = [vip("ask", *IN_MEADOW, "why " * 5000, "-m", "tiny", *flag) for flag in ((), ("--no-server",))]
    assert [side.code for side in sides] == [2, 2]
    for side in sides:
        assert "too many for this model's context" in side.err
        assert "shorten the question or lower --max-new-tokens" in side.err
    kept = tmp_path / "marked.png"
    vip("ask", *IN_MEADOW, "why " * 5000, "-m", "tiny", "--save-marked", kept)
    assert not kept.exists(), "what can't be asked writes nothing"


def test_verbose_says_that_a_server_answered(vip, near):
    done = vip("ask", *IN_MEADOW, "What is this?", "-m", "tiny", "-v")
    assert f"model: tiny on cpu float32, in a running server (pid {os.getpid()})" in done.err
    assert "prompt: '###Human: <image>" in done.err


@pytest.mark.parametrize(
    "flags",
    [
        ("--dtype", "bfloat16"),
        ("--device-map", "auto"),
        ("--load-in", "8bit"),
        ("--no-server",),
        ("-m", "{copy}"),
    ],
)
def test_what_is_loaded_otherwise_is_loaded_here(vip, near, flags, tmp_path):
    shutil.copytree(TINY, tmp_path / "copy")
    before = near.asked
    vip("ask", *IN_MEADOW, "What?", "-m", "tiny", *(flag.format(copy=tmp_path / "copy") for flag in flags))
    assert near.asked == before


@pytest.mark.parametrize("flags", [("--dtype", "float32"), ("--device", "cpu"), ("--dtype", "auto"), ()])
def test_what_is_loaded_alike_is_asked(vip, near, flags):
    before = near.asked
    assert vip("ask", *IN_MEADOW, "What is this?", "-m", "tiny", *flags).out == "a mushroom\n"
    assert near.asked == before + 1


def test_another_version_of_a_checkpoint_is_another_checkpoint(vip, runtime, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(TINY, folder)
    with nearby(runtime / "other", Held(held=False), str(folder)) as it:
        wanted: dict[str, str | None] = {}
        assert it.running.place.fits(identity(resolve(str(folder))), wanted)
        os.utime(folder / "model.safetensors", (1, 1))
        assert not it.running.place.fits(identity(resolve(str(folder))), wanted), "trained again"


def test_auto_takes_the_server_of_tiny_and_says_so(vip, near, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    before = near.asked
    done = vip("ask", *IN_MEADOW, "What is this?")
    assert near.asked == before + 1
    assert done.out == "a mushroom\n"
    assert "answering with tiny" in done.err


def test_an_answer_comes_as_it_is_written_and_ends_where_the_asker_goes(runtime, monkeypatch):
    engine = Held()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / "held"))
    (runtime / "held").mkdir(mode=0o700)
    with nearby(runtime / "held" / "vip", engine) as it:
        command = [sys.executable, "-m", "vipcli", "ask", str(MEADOW), "What is this?", "-m", "tiny"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        wait_for(lambda: engine.began)
        engine.step(2)
        assert process.stdout.read(len("word0")) == b"word0"
        process.kill()
        process.wait()
        wait_for(lambda: not _step(engine, it))
        assert it.server.config.app.state.desk.in_flight == 0
        engine.release()


def _step(engine: Held, it: Nearby) -> int:
    engine.step()
    return it.server.config.app.state.desk.in_flight


def test_a_server_that_stops_answers_what_it_has_begun_and_the_next_is_asked_here(vip, runtime, monkeypatch):
    engine = Held()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / "stopping"))
    (runtime / "stopping").mkdir(mode=0o700)
    with nearby(runtime / "stopping" / "vip", engine) as it:
        done: list[Any] = []
        command = [sys.executable, "-m", "vipcli", "ask", str(MEADOW), "Hm?", "-m", "tiny", "--max-new-tokens", "3"]
        asker = threading.Thread(target=lambda: done.append(subprocess.run(command, capture_output=True, text=True)))
        asker.start()
        wait_for(lambda: engine.began)
        it.server.stop()
        engine.release()
        asker.join(60)
        assert done[0].stdout == "word0 word1 word2\n"
        assert vip("ask", *IN_MEADOW, "What is this?", "-m", "tiny").out == "a mushroom\n"


def test_the_short_way_imports_nothing_heavy(near):
    script = (
        "import sys; sys.argv = ['vip', *sys.argv[1:]]\n"
        "from vipcli.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'transformers', 'cv2', 'numpy', 'PIL', 'httpx', 'http.client', 'asyncio', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    command = [sys.executable, "-c", script, "ask", *map(str, IN_MEADOW), "What is this?", "-m", "tiny"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("a mushroom\n", "")


def test_who_does_not_know_the_secret_gets_nothing(near):
    one = near.running
    for header in ("", "Authorization: Bearer 0\r\n", f"Authorization: Bearer {one.secret[:-1]}\r\n"):
        for path in ("/local/ask", "/local/stop"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(one.address))
                connection.sendall(f"POST {path} HTTP/1.0\r\nHost: localhost\r\n{header}\r\n".encode())
                assert b" 404 " in connection.makefile("rb").readline()
    assert not near.server.should_exit
