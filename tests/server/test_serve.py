"""``vip serve`` as a process: what it prints, what ends it, and what it refuses before anything is loaded."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from endless import endless_model
from server.serving import MEADOW, about

ROOT = Path(__file__).parents[2]
VIP = [sys.executable, "-m", "vipcli", "serve"]


@contextlib.contextmanager
def started(*arguments: str, model: str = "tiny") -> Iterator[tuple[subprocess.Popen, str]]:
    """A server on a free port, and its address."""
    command = [*VIP, "--port", "0", "--model", model, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        line = process.stderr.readline()
        line = process.stderr.readline() if line.startswith("model: ") else line  # by -v
        match = re.fullmatch(r"vip: .+ answers at (http://127\.0\.0\.1:\d+/) \(Ctrl-C stops it\)\n", line)
        assert match, line + process.stderr.read()
        yield process, match[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refused(*arguments: str, **environment: str) -> tuple[int, str]:
    """How a server that doesn't start ends: its code and its one sentence."""
    ran = subprocess.run(
        [*VIP, *arguments], capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, timeout=60
    )
    assert ran.stdout == ""
    assert ran.stderr.startswith("vip: ")
    assert ran.stderr.count("\n") == 1, ran.stderr
    return ran.returncode, ran.stderr.removeprefix("vip: ").rstrip()


@pytest.fixture(scope="module")
def endless(tmp_path_factory) -> str:
    return str(endless_model(tmp_path_factory.mktemp("endless") / "model"))


def question(model: str, tokens: int) -> dict:
    return {"model": model, "messages": about("What is @1?", "448,126,590,275"), "max_tokens": tokens, "stream": True}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_answers_in_flight_finish(endless, number):
    with started(model=endless) as (process, url):
        with httpx.stream("POST", f"{url}v1/chat/completions", json=question(endless, 600), timeout=60) as response:
            chunks = response.iter_text()
            first = next(chunks)
            process.send_signal(number)
            whole = first + "".join(chunks)
        assert whole.endswith("data: [DONE]\n\n")
        assert '"finish_reason":"' in whole
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_a_second_signal_stops_at_once(endless):
    asked = {"json": question(endless, 900), "timeout": 60}
    with (
        started(model=endless) as (process, url),
        contextlib.suppress(httpx.HTTPError),  # it is broken off
        httpx.stream("POST", f"{url}v1/chat/completions", **asked) as response,
    ):
        next(response.iter_text())
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.wait(5)
    assert process.returncode == 130


def test_with_nothing_to_do_it_ends_at_once():
    with started() as (process, url), httpx.Client() as kept:  # a connection that is kept open doesn't keep it
        assert kept.get(f"{url}health").json() == {"status": "ok", "model": "tiny"}
        process.terminate()
        assert process.wait(10) == 0


def test_verbose_says_of_each_request_its_size_and_time():
    with started("-v") as (process, url):
        httpx.get(f"{url}health")
        process.terminate()
        assert re.fullmatch(r"GET /health 200 30 bytes \d+ ms\n", process.communicate()[1])


def test_of_what_it_is_told_the_token_holds():
    with started("--token", "sesame-sesame", "--allow-dir", str(MEADOW.parent)) as (_, url):
        assert httpx.get(f"{url}v1/models").status_code == 401
        its = {"Authorization": "Bearer sesame-sesame"}
        body = {"model": "tiny", "messages": about("What is @1?", "448,126,590,275", picture="meadow.png")}
        reply = httpx.post(f"{url}v1/chat/completions", json=body, headers=its, timeout=60).json()
        assert reply["choices"][0]["message"]["content"] == "a mushroom"


def test_a_port_in_use_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused("--port", str(port), "-m", "tiny") == (
            1,
            f"port {port} is in use already: stop who has it, or give another --port",
        )


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--host", "0.0.0.0"], 2, "--host 0.0.0.0: everybody who reaches this machine could ask; give them a --token"),
        (["--token", "short"], 2, "--token: 5 characters can be guessed; use 8 or more"),
        (["--port", "70000"], 2, "--port 70000: a port is a number from 0 to 65535"),
        (["--host", "no.such.host.invalid", "--token", "sesame-sesame"], 2, "this machine has no such address"),
        (["--host", "203.0.113.7", "--token", "sesame-sesame"], 2, "this machine has no such address"),
        (["--allow-dir", "/no/such/folder"], 2, "--allow-dir /no/such/folder: there is no such folder"),
        (["--model", "http://localhost:8000/v1"], 2, "that is a server already; ask it with vip ask"),
        (["--model", "no-such-model"], 1, "there is no model 'no-such-model'"),
        (["--no-port"], 2, "--no-port and --port 0: one of them"),
        (["--status", "--stop"], 2, "--status and --stop: one of them"),
        (["--fit", "tile"], 2, "--fit tile: use pad, crop or stretch"),
    ],
)
def test_what_cant_be_is_refused_in_one_sentence(arguments, code, sentence):
    ended = refused("--port", "0", *(["-m", "tiny"] if "--model" not in arguments else []), *arguments)
    assert ended[0] == code
    assert sentence in ended[1]


def test_without_its_libraries_it_says_how_to_get_them(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'fastapi' else real(name, *rest)\n"
    )
    code, sentence = refused("-m", "tiny", PYTHONPATH=str(tmp_path))
    assert (code, sentence) == (
        1,
        "vip serve needs 'vipcli[serve]'; install it with: pip install 'vipcli[serve]'",
    )


def test_other_commands_load_nothing_of_it():
    script = (
        "import sys; sys.argv = ['vip', 'serve', '--help']\n"
        "from vipcli.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'fastapi', 'uvicorn', 'torch', 'pydantic'} & set(sys.modules), 'loaded'"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True)
