"""`vip pick`: the command as a process, the page in a real browser, and what comes from elsewhere refused."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from server.page_driver import Page

from vipcli.errors import MissingExtra
from vipcli.images import open_picture

pytest.importorskip("fastapi", reason="needs the server: pip install '.[serve]'")

EXAMPLES = Path(__file__).parents[2] / "examples"
MEADOW = EXAMPLES / "meadow.png"


@contextlib.contextmanager
def picking(*arguments, **environment):
    """`vip pick` as a process, and the address that it says."""
    command = [sys.executable, "-m", "vipcli", "pick", *map(str, arguments)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment})
    try:
        said = process.stderr.readline()
        assert "http://127.0.0.1:" in said, said
        yield process, said.rsplit(" ", 1)[1].strip()
    finally:
        process.kill()
        process.communicate()


class Client:
    """A program that has opened the page by its address, as a browser does."""

    def __init__(self, address: str) -> None:
        self.url = address.partition("?")[0]
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with self.opener.open(address, timeout=10) as answer:
            self.page = answer.read().decode()
            self.address = answer.url

    def get(self, path: str) -> bytes:
        with self.opener.open(f"{self.url}{path}", timeout=10) as answer:
            return answer.read()

    def post(self, markers: object, **headers: str) -> tuple[int, str]:
        body = json.dumps({"markers": markers}).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.url}v1/picked", body, {"Content-Type": "application/json", **named})
        try:
            with self.opener.open(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["error"]["message"]


def test_what_is_drawn_comes_out_as_flags(browser, tmp_path):
    with picking(MEADOW, "--no-browser") as (process, address):
        page = Page(browser, address)
        page.shows("meadow.png")
        assert browser.current_url == address.partition("?")[0], "without the token"
        assert browser.title == "meadow.png · vip pick"
        assert not page.js("[...document.querySelectorAll('.asking')].some(e => e.checkVisibility())")
        page.draw("box", (440, 118), (500, 200), (598, 283))
        page.find("#name").send_keys("dog_é")
        page.draw("point", (140, 350))
        shown = page.text("#command")
        page.click("#done")
        page.until("!document.querySelector('#over').hidden")
        assert process.wait(10) == 0
        out = process.stdout.read()
        assert browser.get_log("browser") == []
        page.close()
    assert out.count("\n") == 1
    assert shlex.split(shown) == out.split(), "a shell's $(...) splits at blanks and takes no quotes off"
    assert out.startswith("--box dog_é=440,118,598,283@blue --point 140,350@")
    marked = tmp_path / "marked.png"
    script = f'"$0" -m vipcli mark {shlex.quote(str(MEADOW))} $(cat) -o {shlex.quote(str(marked))}'
    subprocess.run(["sh", "-c", script, sys.executable], input=out, text=True, check=True)
    assert marked.exists()


def test_the_markers_are_a_list_with_json_and_the_browser_holds_nothing_up(tmp_path):
    seen = tmp_path / "seen"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho noise\necho "$1" > {seen}.part\nmv {seen}.part {seen}\nexec sleep 5\n')
    script.chmod(0o755)
    with picking(MEADOW, "--json", BROWSER=f"{script} %s") as (process, address):
        for _ in range(200):
            if seen.exists():
                break
            time.sleep(0.05)
        assert seen.read_text().strip() == address
        client = Client(address)
        assert (client.address, 'data-mode="pick"' in client.page) == (client.url, True)
        assert json.loads(client.get("v1/picking")) == {"name": "meadow.png"}
        (tmp_path / "shown.png").write_bytes(client.get("v1/picking/picture"))
        assert (open_picture(tmp_path / "shown.png") == open_picture(MEADOW)).all()
        began = time.monotonic()
        assert client.post(["box:dog=1,2,30,40@blue,width=4", "point:5,6"])[0] == 200
        out, _ = process.communicate(timeout=10)
        assert time.monotonic() - began < 4
    assert json.loads(out) == ["box:dog=1,2,30,40@blue,width=4", "point:5,6"]
    assert process.returncode == 0


def test_only_who_has_the_address_may_and_only_what_the_page_draws():
    with picking(MEADOW, "--no-browser") as (process, address):
        url = address.partition("?")[0]
        for path in ("", "?token=guess", "v1/picking/picture", "static/main.js"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(url + path, timeout=10)
        client = Client(address)
        for path in ("static/../app.py", "static/..%2fapp.py", "v1/chat/completions"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                client.get(path)
        assert client.post([], Origin="http://evil.example")[0] == 403
        assert client.post([], Sec_Fetch_Site="cross-site")[0] == 403
        assert client.post([], Host="evil.example")[0] == 403
        for wrong in (
            "mask:/etc/passwd.png",
            "box:a=1,2,30,40@blue; rm -rf /",
            "box:$(id)=1,2,30,40",
            "box:1,2,3",
            "box:1,2,30",
            "point:9999,9",
            "box:1,2,30,40@width=4,file=x",
            17,
        ):
            code, message = client.post([wrong])
            assert (code, bool(message)) == (400, True), wrong
        assert client.post("box:1,2,30,40")[0] == 400
        assert "two markers are called" in client.post(["point:a=1,2", "point:a=3,4"])[1]
        assert process.poll() is None, "none of it ends the picking"
        assert client.post([])[0] == 200
        assert (process.communicate(timeout=10)[0], process.returncode) == ("\n", 0)


def test_ctrl_c_gives_up():
    with picking(MEADOW, "--no-browser") as (process, address):
        Client(address)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (130, "", "")


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch):
    from vipcli.cli import pick

    monkeypatch.setattr(pick.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"^vip pick needs .*pip install 'vipcli\[serve\]'$"):
        pick.pick(str(MEADOW))


def test_a_picture_that_cannot_be_opened_is_said_before_anything_is_served(tmp_path):
    command = [sys.executable, "-m", "vipcli", "pick", str(tmp_path / "none.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
