"""Where pictures may come from: the request itself, and what ``--allow-url`` and ``--allow-dir`` say."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from server.serving import MEADOW, Held, Limits, about, error_of, serving

from vipcli.server import fetching
from vipcli.server.fetching import is_public


class Pictures(BaseHTTPRequestHandler):
    """A server of pictures whose path says what it does."""

    def do_GET(self) -> None:
        kind, _, where = self.path.strip("/").partition("/")
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if kind == "to":
            self.send_response(302)
            self.send_header("Location", where)
            self.end_headers()
        elif kind == "missing":
            self.send_error(404)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(MEADOW.read_bytes() if kind == "good" else bytes(10**6))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere(monkeypatch) -> Iterator[ThreadingHTTPServer]:
    """A server on 127.0.0.1, which here counts as public; 127.0.0.2 still is private, and it listens there too."""
    real = is_public
    monkeypatch.setattr(fetching, "is_public", lambda address: address == "127.0.0.1" or real(address))
    server = ThreadingHTTPServer(("0.0.0.0", 0), Pictures)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def asked(served, url: str):
    return served.ask({"model": "held", "messages": about("Hm?", picture=url), "max_tokens": 1})


def why(served, url: str, status: int = 400) -> str:
    response = asked(served, url)
    assert response.status_code == status, response.text
    return error_of(response)["message"]


def test_by_default_neither_addresses_nor_files_are_read(elsewhere):
    with serving(Held(held=False)) as it:
        assert why(it, f"http://127.0.0.1:{elsewhere.server_port}/good") == (
            "send the picture as a data: URI; this server fetches none (--allow-url lets it)"
        )
        for url in (str(MEADOW), f"file://{MEADOW}", "meadow.png", "-", "ftp://host/a.png", "/dev/stdin"):
            assert why(it, url) == "send the picture as a data: URI; this server reads no files (--allow-dir lets it)"
        mark = it.post("/v1/mark", {"image": str(MEADOW)})
        assert (mark.status_code, error_of(mark)["code"]) == (400, "image_source_refused")
    assert elsewhere.asked == []


def test_allow_url_fetches_from_public_addresses(elsewhere):
    at = f"http://127.0.0.1:{elsewhere.server_port}"
    with serving(Held(held=False), allow_url=True) as it:
        assert asked(it, f"{at}/good").status_code == 200
        assert asked(it, f"{at}/to//good").status_code == 200
        assert "answered 404" in why(it, f"{at}/missing")
        assert "the picture: " in why(it, f"{at}/zeros")
        assert why(it, "http://127.0.0.1:1/") == "the picture can't be fetched"
        assert why(it, "http://[::1/") == "the picture's address is no http(s) URL"
        assert why(it, f"{at}/to/file:///etc/passwd") == "the picture's address leads to what is no http(s) URL"
        assert "redirects more than 5 times" in why(it, f"{at}/to/" + "/to/" * 9)


def test_it_never_goes_to_private_addresses_nor_is_led_there(elsewhere):
    port = elsewhere.server_port
    with serving(Held(held=False), allow_url=True) as it:
        for url in (
            f"http://127.0.0.2:{port}/good",
            f"http://127.0.0.1:{port}/to/http://127.0.0.2:{port}/good",
            f"http://2130706434:{port}/good",
            f"http://0x7f000002:{port}/good",
            f"http://[::ffff:127.0.0.2]:{port}/good",
            f"http://[::1]:{port}/good",
            f"http://0.0.0.0:{port}/good",
            "http://169.254.169.254/latest/meta-data/",
            "http://10.0.0.1/",
        ):
            assert why(it, url) == "the picture's address is none of the public internet: this server doesn't go there"
    assert elsewhere.asked == [f"/to/http://127.0.0.2:{port}/good"]


def test_a_name_is_judged_by_what_it_resolves_to(elsewhere, monkeypatch):
    import asyncio

    port, found = elsewhere.server_port, ["127.0.0.2"]
    real = asyncio.base_events.BaseEventLoop.getaddrinfo

    async def getaddrinfo(loop, host, *rest, **named):
        if host == "pictures.example":
            return [(2, 1, 6, "", (address, port)) for address in found]
        return await real(loop, host, *rest, **named)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)
    with serving(Held(held=False), allow_url=True) as it:
        url = f"http://pictures.example:{port}/good"
        assert "none of the public internet" in why(it, url)
        found[:] = ["127.0.0.1", "127.0.0.2"]
        assert "none of the public internet" in why(it, url), "one of them isn't"
        found[:] = ["127.0.0.1"]
        assert asked(it, url).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1"),
        *("64:ff9b::a00:1", "2002:a00:1::", "2001:0:a00:1::"),
    ],
)
def test_addresses_of_this_machine_and_its_networks_are_not_public(address):
    assert not is_public(address)


def test_others_are():
    assert all(map(is_public, ("93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34")))


def test_a_picture_at_an_address_has_the_limit_of_a_body(elsewhere):
    with serving(Held(held=False), allow_url=True, limits=Limits(body=100_000)) as it:
        assert why(it, f"http://127.0.0.1:{elsewhere.server_port}/zeros", 413) == (
            "the picture has more than 100,000 bytes"
        )


@pytest.fixture
def folder(tmp_path):
    """A folder with a picture, one below, links to the inside and to the outside, and what is no picture."""
    inside = tmp_path / "pictures"
    (inside / "below").mkdir(parents=True)
    shutil.copy(MEADOW, inside / "meadow.png")
    shutil.copy(MEADOW, inside / "below" / "a b.png")
    shutil.copy(MEADOW, tmp_path / "outside.png")
    (tmp_path / "pictures-too").mkdir()
    shutil.copy(MEADOW, tmp_path / "pictures-too" / "meadow.png")
    (inside / "to-outside.png").symlink_to(tmp_path / "outside.png")
    (inside / "up").symlink_to(tmp_path)
    (inside / "to-inside.png").symlink_to("meadow.png")
    os.mkfifo(inside / "pipe.png")
    return inside


def test_allow_dir_reads_below_one_folder(folder):
    with serving(Held(held=False), allow_dir=folder) as it:
        for url in ("meadow.png", "below/a b.png", f"file://{folder}/below/a%20b.png", "below/../meadow.png"):
            assert asked(it, url).status_code == 200, url
        assert asked(it, "to-inside.png").status_code == 200
        assert why(it, "http://127.0.0.1/") == (
            "send the picture as a data: URI; this server fetches none (--allow-url lets it)"
        )
        for url in ("missing.png", "pipe.png", "below", "", ".", "meadow.png/x"):
            assert why(it, url) == "the folder of pictures has no such file"


def test_neither_dots_nor_links_lead_out_of_it(folder):
    with serving(Held(held=False), allow_dir=folder) as it:
        for url in (
            "../outside.png",
            f"{folder}/../outside.png",
            str(folder.parent / "outside.png"),
            "../pictures-too/meadow.png",
            "to-outside.png",
            "up/outside.png",
            "below/../../outside.png",
            f"file://{folder}/%2e%2e/outside.png",
            "/etc/passwd",
            "/proc/self/environ",
            "\0",
        ):
            assert "isn't in the folder that this server may read" in why(it, url), url


def test_a_link_that_appears_after_the_look_is_not_followed(folder, monkeypatch):
    from vipcli.server import pictures

    real = pictures._opened

    def swapped(root, inside):
        (folder / "meadow.png").unlink()
        (folder / "meadow.png").symlink_to(folder.parent / "outside.png")
        return real(root, inside)

    monkeypatch.setattr(pictures, "_opened", swapped)
    with serving(Held(held=False), allow_dir=folder) as it:
        assert why(it, "meadow.png") == "the folder of pictures has no such file"
