"""`--engine` and ``VIP_ENGINE``: a server answers, and nothing that runs models is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from engine.scripted_server import Scripted, refuse, running

from vipcli.config import Settings, load_settings
from vipcli.errors import UsageError

BOX = ("--box", "440,118,598,283")
ALONE = """
import sys; sys.argv = ['vip', *sys.argv[1:]]
from vipcli.cli import main
try: main()
except SystemExit as end: code = end.code
heavy = {'torch', 'transformers', 'accelerate'} & set(sys.modules)
assert not heavy, heavy
raise SystemExit(code)
"""


@pytest.fixture
def server():
    with running(Scripted()) as it:
        it.on_ask = lambda call: call.say("mushroom")
        yield it


def test_ask_answers_by_a_server_that_gets_the_marked_picture(vip, server, meadow):
    done = vip("ask", meadow, *BOX, "What is @1?", "--engine", server.url, "--json", "--system", "Be brief.")
    row = json.loads(done.out)
    assert (row["answer"], row["model"], row["prompt_tokens"]) == ("mushroom", "eyes-7b", 7)
    assert row["markers"] == ["box:440,118,598,283@blue"]
    body = server.asked[-1].body
    assert body["messages"][-1]["content"][-1]["text"] == "What is the object within the blue rectangle?"
    assert body["messages"][-1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert done.err == ""


@pytest.mark.parametrize("way", ["--engine", "VIP_ENGINE", "--model"])
@pytest.mark.parametrize("command", ["ask", "chat", "batch"])
def test_neither_torch_nor_transformers_is_imported(command, way, server, meadow, tmp_path):
    arguments = {
        "ask": ["ask", str(meadow), *BOX, "What is @1?"],
        "chat": ["chat", str(meadow), *BOX],
        "batch": ["batch", str(meadow), *BOX, "-q", "What is @1?", "-o", str(tmp_path / "answers.jsonl"), "--quiet"],
    }[command]
    environment = dict(os.environ)
    if way == "VIP_ENGINE":
        environment[way] = server.url
    else:
        arguments += [way, server.url]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments],
        env=environment,
        input="What is @1?\n/markers\nAnd now?\n" if command == "chat" else "",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    if command == "batch":
        done.stdout = json.loads((tmp_path / "answers.jsonl").read_text().splitlines()[-1])["answer"]
    assert "mushroom" in done.stdout


def test_a_picture_that_fails_leaves_no_empty_answer(vip, server, meadow):
    server.on_ask = refuse(400, "no")
    done = vip("ask", meadow, meadow, "What?", "--engine", server.url)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 2)


def test_the_model_flag_names_the_servers_model(vip, server, meadow, monkeypatch):
    monkeypatch.setenv("VIP_ENGINE", server.url)
    server.on_models = lambda call: call.json({"data": [{"id": "a"}, {"id": "b"}]})
    assert json.loads(vip("ask", meadow, "What?", "-m", "b", "--json").out)["model"] == "b"
    assert "has 2 models" in vip("ask", meadow, "What?").err
    monkeypatch.setenv("VIP_MODEL", "7b")  # that of this machine, not of a server
    assert "has 2 models" in vip("ask", meadow, "What?").err


def test_an_address_as_the_model_wins_over_the_environment_in_a_batch_too(vip, server, meadow, monkeypatch, tmp_path):
    monkeypatch.setenv("VIP_ENGINE", "http://127.0.0.1:9")
    done = vip("batch", meadow, "-q", "What?", "-o", tmp_path / "a.jsonl", "-m", server.url)
    assert (done.code, len(server.bodies)) == (0, 1)


def test_no_server_wins_over_the_environment_and_not_over_another_flag(vip, server, meadow, monkeypatch):
    monkeypatch.setenv("VIP_ENGINE", server.url)
    here = vip("ask", meadow, *BOX, "What is @1?", "-m", "tiny", "--no-server", "--json")
    assert (here.code, json.loads(here.out)["model"]) == (0, "tiny")
    done = vip("ask", meadow, "What?", "--engine", server.url, "--no-server")
    assert (done.code, done.err) == (2, "vip: --no-server loads the model here: leave the server's address out\n")
    assert not server.asked


@pytest.mark.parametrize("command", ["ask", "chat"])
@pytest.mark.parametrize(
    ("flags", "said", "code"),
    [
        (("--engine", "ray"), "--engine ray: give the http(s):// address of a server", 2),
        (("--engine", "{url}", "--dtype", "float16"), "--dtype float16 is for a model that runs here", 2),
        (("--engine", "http://127.0.0.1:9"), "nothing answers at http://127.0.0.1:9/v1", 1),
        (("--engine", "{url}", "--prompt-style", "vip"), "a server takes messages, which it renders itself", 2),
    ],
)
def test_what_does_not_go_with_a_server_is_said(vip, server, meadow, command, flags, said, code):
    question = ("What?",) if command == "ask" else ()
    done = vip(command, meadow, *question, *(flag.format(url=server.url) for flag in flags), stdin="What?\n")
    assert said in done.err
    assert done.code == code


def test_keep_alive_is_for_a_server_of_ones_own(vip, server, meadow):
    done = vip("ask", meadow, "What?", "--engine", server.url, "--keep-alive", "10m")
    assert done.code == 2
    assert done.err.startswith("vip: --keep-alive")
    assert not server.asked


def test_a_broken_setting_says_where_it_comes_from(vip, meadow, monkeypatch):
    monkeypatch.setenv("VIP_ENGINE", "localhost:8000")
    assert vip("ask", meadow, "What?").err.startswith("vip: VIP_ENGINE localhost:8000: give the http(s)://")


def test_a_projects_file_can_not_send_pictures_elsewhere(tmp_path):
    user = tmp_path / "user.toml"
    user.write_text('engine = "http://mine:8000"\n')
    assert load_settings(tmp_path, {"VIP_CONFIG": str(user)}) == Settings(engine="http://mine:8000")
    for line in ('engine = "http://theirs:8000"', 'model = "HTTPS://theirs/v1"'):
        (tmp_path / "vip.toml").write_text(line)
        with pytest.raises(UsageError, match="a project can't choose a server"):
            load_settings(tmp_path, {"VIP_CONFIG": str(user)})
