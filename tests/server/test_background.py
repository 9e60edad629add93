"""Servers in the background: started, found, stopped; and which files and folders are believed."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image
from processes import alive
from server.serving import MEADOW, Held, wait_for
from server.warmly import nearby

from vipcli.cli.background import seconds_of
from vipcli.cli.warm import Picture, Warm
from vipcli.errors import UsageError, VipError
from vipcli.server import announced, ask_warm, is_well, servers_in, tell_to_stop
from vipcli.server.background import Place

PLACE = Place("here", {"device": "auto", "dtype": "float16", "device_map": None, "load_in": None}, {"device": "cuda:0"})


@pytest.fixture
def vip(tmp_path):
    """``vip(...)`` in a process of its own, with a folder of its own for what runs; all that runs ends in the end."""
    (tmp_path / "run").mkdir(mode=0o700)
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "HF_HUB_CACHE": str(tmp_path / "hub")}

    def run(*arguments: Any, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vipcli", *map(str, arguments)]
        return subprocess.run(
            command, env=environment | more, capture_output=True, text=True, cwd=MEADOW.parent, timeout=200
        )

    yield run
    run("serve", "--stop")


ASK = ("ask", MEADOW, "--box", "440,118,598,283", "What is this?")


def test_a_server_is_started_asked_listed_and_stopped(vip, tmp_path):
    none = vip("serve", "--status")
    assert (none.returncode, none.stdout, none.stderr) == (1, "", "vip: no server is running\n")

    started = vip("serve", "--background", "--model", "tiny", "--port", "0")
    assert (started.returncode, started.stdout) == (0, "")
    said = re.fullmatch(
        r"vip: tiny answers at (http://127\.0\.0\.1:\d+/), pid (\d+) \(vip serve --stop ends it\)\n", started.stderr
    )
    assert said is not None, started.stderr
    url, pid = said[1], int(said[2])

    listed = vip("serve", "--status")
    assert listed.returncode == 0
    assert re.fullmatch(
        rf"tiny  {url}  pid {pid}  since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  cpu float32\n", listed.stdout
    )
    done = vip(*ASK, "-m", "tiny", "-v")
    assert done.stdout == "a mushroom\n"
    assert f"in a running server (pid {pid})" in done.stderr
    remote = vip(*ASK, "--engine", url)
    assert (remote.stdout, remote.stderr) == ("a mushroom\n", "")

    folder = tmp_path / "run" / "vip"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    if sys.platform == "linux":  # elsewhere nobody can tell
        os.kill(pid, signal.SIGSTOP)
        assert vip(*ASK, "-m", "tiny").stdout == "a mushroom\n", "without it"
        deaf = vip("serve", "--stop")
        assert (deaf.returncode, deaf.stdout) == (1, "")
        assert deaf.stderr == f"vip: tiny is suspended (pid {pid}): kill -CONT {pid}, and once more\n"
        os.kill(pid, signal.SIGCONT)
    stopped = vip("serve", "--stop")
    assert (stopped.returncode, stopped.stdout) == (0, "")
    assert stopped.stderr == f"vip: tiny has ended (pid {pid})\n"
    assert not alive(pid)
    assert not list(folder.iterdir())
    assert vip("serve", "--stop").returncode == 1


@pytest.mark.parametrize(
    ("flags", "said", "code"),
    [
        (("--model", "nonsense"), "vip: there is no model 'nonsense'", 1),
        (("--host", "0.0.0.0"), "vip: --host 0.0.0.0: everybody who reaches this machine could ask", 2),
        (("--port", "{taken}"), "vip: port {taken} is in use already", 1),
        (("--idle", "soon"), "vip: --idle soon: write a time like 90s, 10m or 2h", 2),
    ],
)
def test_why_a_server_does_not_start_is_one_sentence(vip, flags, said, code):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = vip("serve", "--background", "--port", "0", *(flag.format(taken=port) for flag in flags))
    assert done.returncode == code
    assert done.stderr.startswith(said.format(taken=port))
    assert done.stderr.count("\n") == 1
    assert vip("serve", "--status").returncode == 1


def test_keep_alive_starts_one_for_the_next_calls_which_leaves_when_idle(vip, tmp_path):
    first = vip(*ASK, "-m", "tiny", "--keep-alive", "8s")
    assert (first.stdout, first.stderr) == ("a mushroom\n", "")
    listed = vip("serve", "--status").stdout
    pid = int(re.search(r"pid (\d+)", listed)[1])
    assert "this user's vip ask" in listed
    (tmp_path / "hub" / "models--llava-hf--vip-llava-7b-hf").mkdir(parents=True)  # half a download: auto is tiny still
    assert f"in a running server (pid {pid})" in vip(*ASK, "-v").stderr
    assert f"(pid {pid})" in vip(*ASK, "-m", "tiny", "-v").stderr
    wait_for(lambda: not alive(pid), 60)
    assert vip("serve", "--status").returncode == 1


def test_keep_alive_starts_nothing_for_what_cannot_be_asked(vip):
    done = vip("ask", MEADOW, "--box", "1,2,3", "What?", "-m", "tiny", "--keep-alive", "5m")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert vip("serve", "--status").returncode == 1
    assert vip(*ASK, "--no-server", "--keep-alive", "5m").returncode == 2


def test_why_keep_alive_starts_nothing_is_said(vip, tmp_path, capsys):
    mask = np.zeros((480, 640), np.uint8)
    mask[118:283, 440:598] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    done = vip("ask", MEADOW, "--mask", tmp_path / "m.png", "What is this?", "-m", "tiny", "--keep-alive", "5m")
    assert (done.returncode, done.stdout) == (0, "a mushroom\n")
    assert done.stderr == "vip: --keep-alive: no server is started, since it couldn't read the file of the mask\n"
    assert vip("serve", "--status").returncode == 1
    picture = Picture("https://example.org/a.png", lambda _: pytest.fail("it isn't to be opened for this"))
    for quiet in (False, True):
        warm = Warm("tiny", None, lambda: pytest.fail("no server is to start"), 300.0, quiet=quiet)
        assert warm.ask(picture, ["Hm?"]) is None
        said = capsys.readouterr().err
        assert (
            said.startswith("vip: --keep-alive: no server is started, since https://example.org/a.png is no f") != quiet
        )


def test_a_server_in_the_foreground_is_found_as_well(vip, tmp_path):
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    command = [sys.executable, "-m", "vipcli", "serve", "--model", "tiny", "--port", "0", "--token", "secret-of-it"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()
    assert f"(pid {process.pid})" in vip(*ASK, "-m", "tiny", "-v").stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert not list((tmp_path / "run" / "vip").iterdir())


_ANNOUNCES = """
import pathlib, sys, time
from vipcli.engine import identity, resolve
from vipcli.server import announced
from vipcli.server.background import Place
with announced(pathlib.Path(sys.argv[1]), "tiny", Place(identity(resolve("tiny"))), None):
    print("there", flush=True)
    time.sleep(100)
"""


def test_what_a_killed_server_left_is_removed(vip, tmp_path):
    folder = tmp_path / "run" / "vip"
    server = subprocess.Popen([sys.executable, "-c", _ANNOUNCES, folder], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"there\n"
    server.kill()
    server.wait()
    assert len(list(folder.iterdir())) == 2
    done = vip(*ASK, "-m", "tiny")
    assert (done.stdout, done.stderr) == ("a mushroom\n", "")
    assert not list(folder.iterdir())


def test_stop_waits_for_answers_in_flight(tmp_path, monkeypatch):
    engine = Held()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    with nearby(tmp_path / "vip", engine) as it:
        done: list[Any] = []
        command = [sys.executable, "-m", "vipcli", "ask", str(MEADOW), "Hm?", "-m", "tiny", "--max-new-tokens", "3"]
        asker = threading.Thread(target=lambda: done.append(subprocess.run(command, capture_output=True, text=True)))
        asker.start()
        wait_for(lambda: engine.began)
        tell_to_stop(it.running)
        wait_for(lambda: it.server.should_exit)
        assert it.thread.is_alive(), "somebody waits for an answer"
        engine.release()
        asker.join(60)
        it.thread.join(20)
        assert done[0].stdout == "word0 word1 word2\n"


def test_an_idle_server_leaves_and_one_that_answers_stays(tmp_path):
    engine = Held()
    tmp_path.chmod(0o700)
    with nearby(tmp_path / "vip", engine, idle=0.7) as it:
        asked = {"markers": [], "coords": "pixels", "box_format": "xyxy", "tags": False, "questions": ["Hm?"]}
        asked |= {"style": {}, "numbers": {"max_new_tokens": 2}, "keep": None}
        replies: list[Any] = []
        asker = threading.Thread(target=lambda: replies.append(ask_warm(it.running, MEADOW.read_bytes(), **asked)))
        asker.start()
        wait_for(lambda: engine.began)
        time.sleep(1.5)
        assert not it.server.should_exit
        engine.release()
        asker.join()
        assert replies[0].generation().finished().text == "word0 word1"
        it.thread.join(20)
        assert not it.thread.is_alive()


@pytest.mark.parametrize("spoil", ["mode", "link", "file's mode", "version", "nonsense", "no folder"])
def test_what_others_could_have_written_is_not_believed(tmp_path, spoil):
    tmp_path.chmod(0o700)
    folder = tmp_path / "vip"
    with announced(folder, "tiny", PLACE, None) as (_, secret):
        (one,) = servers_in(folder)
        assert (one.model, one.place, one.pid, one.secret) == ("tiny", PLACE, os.getpid(), secret)
        if spoil == "mode":
            folder.chmod(0o750)
        elif spoil == "link":
            folder.rename(tmp_path / "real")
            folder.symlink_to(tmp_path / "real")
        elif spoil == "file's mode":
            one.file.chmod(0o644)
        elif spoil == "version":
            one.file.write_text(json.dumps(json.loads(one.file.read_text()) | {"vip": "0.0"}))
        elif spoil == "nonsense":
            one.file.write_text("[" * 100_000)
        else:
            folder.rename(tmp_path / "elsewhere")
        assert servers_in(folder) == []
    assert servers_in(None) == []


def test_a_folder_that_others_may_enter_gets_no_server(tmp_path):
    (tmp_path / "vip").mkdir(mode=0o755)
    with pytest.raises(VipError, match="isn't trusted with running servers: others may enter it"):
        announced(tmp_path / "vip", "tiny", PLACE, None).__enter__()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(VipError, match="others may write to the folder around it"):
        announced(tmp_path / "open" / "vip", "tiny", PLACE, None).__enter__()


def test_without_unix_sockets_it_listens_on_the_loopback_address(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.setattr("vipcli.server.background._LONGEST", 0)
    with nearby(tmp_path / "vip", Held(held=False)) as it:
        assert isinstance(it.running.address, int)
        assert is_well(it.running)
        with socket.create_connection(("127.0.0.1", it.running.address)) as stranger:
            stranger.sendall(b"POST /local/stop HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert b" 404 " in stranger.makefile("rb").readline()


def test_a_folder_without_sockets_is_no_obstacle_and_one_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)

    class Refused(socket.socket):
        def bind(self, address):
            if self.family == socket.AF_UNIX:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", Refused)
    with nearby(tmp_path / "vip", Held(held=False)) as it:
        assert isinstance(it.running.address, int)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vipcli.server.background._write", full)
    with (
        pytest.raises(VipError, match=r"\.json can't be written: No space left on device$"),
        announced(tmp_path / "vip", "tiny", PLACE, None),
    ):
        pass


def test_a_name_too_long_for_a_unix_socket_is_no_obstacle(tmp_path):
    tmp_path.chmod(0o700)
    folder = tmp_path / ("long" * 25) / "vip"
    with nearby(folder, Held(held=False)) as it:
        assert isinstance(it.running.address, int)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"device": None, "dtype": "auto"}, True),
        ({"dtype": "float16", "device": "cuda"}, True),
        ({"device": "cuda:0"}, True),
        ({"device": "cuda:1"}, False),
        ({"dtype": "float32"}, False),
        ({"device_map": "auto"}, False),
        ({"load_in": "4bit"}, False),
    ],
)
def test_a_server_has_what_is_wanted_or_not(wanted, fits):
    assert PLACE.fits("here", wanted) is fits
    assert not PLACE.fits("there", wanted)


def test_a_time_has_a_unit():
    assert [seconds_of("--idle", text) for text in ("90s", "10m", "1.5h")] == [90, 600, 5400]
    assert seconds_of("--keep-alive", "300h") == 1_080_000
    for text in ("", "10", "0s", "-1m", "1d", "١m", "9" * 30 + "h", "9999h"):
        with pytest.raises(UsageError, match="write a time like 90s, 10m or 2h"):
            seconds_of("--keep-alive", text)
