"""`vipcli.images.downloading`: a server that does everything wrong, and the limits it meets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from picture_helpers import why

from vipcli.images import downloading, open_picture


class Misbehaving(BaseHTTPRequestHandler):
    """A server whose path says what it does wrong."""

    picture = b""

    def do_GET(self) -> None:
        answer = getattr(self, self.path.strip("/").partition("/")[0].replace("-", "_"))
        with contextlib.suppress(OSError):
            answer()

    def head(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def good(self) -> None:
        self.head(Content_Length=len(self.picture), Content_Type="text/html")
        self.wfile.write(self.picture)

    def page(self) -> None:
        self.head(Content_Type="image/png")
        self.wfile.write(b"<!doctype html><title>Log in</title>")

    def empty(self) -> None:
        self.head(Content_Length=0)

    def missing(self) -> None:
        self.head(404)

    def announced(self) -> None:
        self.head(Content_Length=10 * 2**30)
        self.wfile.write(b"x")

    def endless(self) -> None:
        self.head()
        while True:
            self.wfile.write(bytes(2**16))

    def drip(self) -> None:
        self.head(Content_Length=1000)
        self.trickle(b"\0")

    def header_drip(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        self.trickle(b"x")

    def trickle(self, byte: bytes) -> None:
        for _ in range(200):
            self.wfile.write(byte)
            time.sleep(0.05)

    def silent(self) -> None:
        time.sleep(3)

    def short(self) -> None:
        self.head(Content_Length=len(self.picture) + 99)
        self.wfile.write(self.picture)

    def rubbish(self) -> None:
        self.wfile.write(b"\x1b[31m nonsense\r\n\r\n")

    def loop(self) -> None:
        self.head(302, Location=f"/loop/{time.time()}")

    def steps(self) -> None:
        left = int(self.path.rpartition("/")[2])
        self.head(302, Location=f"/steps/{left - 1}" if left > 1 else "/good")

    def to_file(self) -> None:
        self.head(302, Location="file:///etc/passwd")

    def to_nowhere(self) -> None:
        self.head(302)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(png: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(Misbehaving, "picture", png.read_bytes())
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


def test_a_url_opens_whatever_content_type_it_says_and_after_up_to_five_redirects(server, photo):
    np.testing.assert_array_equal(open_picture(f"{server}/good"), photo)
    np.testing.assert_array_equal(open_picture(f"HTTP{server[4:]}/steps/5"), photo)


def test_redirects_end(server):
    assert why(f"{server}/loop").endswith("redirects more than 5 times")
    assert why(f"{server}/steps/6").endswith("redirects more than 5 times")


def test_a_redirect_to_another_kind_of_address_isnt_followed(server):
    assert why(f"{server}/to-file").endswith("redirects to a file: address: not followed")
    assert why(f"{server}/to-nowhere").endswith("the server answered 302 Found")


def test_a_download_has_a_limit_of_bytes_announced_or_not(server, monkeypatch):
    monkeypatch.setattr(downloading, "MAX_URL_BYTES", 2**20)
    assert why(f"{server}/announced").endswith("is larger than the limit of 1 MB")
    assert why(f"{server}/endless").endswith("is larger than the limit of 1 MB")


@pytest.mark.parametrize("path", ["drip", "header-drip", "silent"])
def test_a_download_has_a_limit_of_time_even_at_a_byte_now_and_then(server, monkeypatch, path):
    monkeypatch.setattr(downloading, "MAX_URL_SECONDS", 0.3)
    before = set(threading.enumerate())
    start = time.perf_counter()
    assert "wasn't there within 0.3 seconds" in why(f"{server}/{path}")
    assert time.perf_counter() - start < 2
    for thread in set(threading.enumerate()) - before:
        if "work" in thread.name:
            thread.join(2)
            assert not thread.is_alive()


def test_what_else_a_server_does_is_said_with_the_url(server):
    assert why(f"{server}/missing").endswith("/missing: the server answered 404 Not Found")
    assert why(f"{server}/page").endswith("/page: is a web page (HTML), not a picture")
    assert why(f"{server}/empty").endswith("/empty: is empty (0 bytes)")
    assert "can't be fetched" in why(f"{server}/short")
    assert "can't be fetched" in why(f"{server}/rubbish")


def test_a_url_that_leads_nowhere_is_said():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "can't be fetched" in why(f"http://127.0.0.1:{unused.getsockname()[1]}/p.png")
    for url in ("http://", "http://[::1", "http://a b/", "https://:99999999/", "http://\x1b[0m/"):
        assert "can't be fetched" in why(url)
