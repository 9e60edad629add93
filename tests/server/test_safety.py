"""The paragraph on safety of ``vip serve``, line by line."""

from __future__ import annotations

import contextlib
import hmac
import json
import socket
import time
import urllib.error
import urllib.request

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from server.serving import Held, Limits, about, data_uri, error_of, raw, serving, wait_for, words

from vipcli.errors import UsageError, VipError
from vipcli.server import Options
from vipcli.server.asked import asked_of
from vipcli.server.gate import CSP, Gate
from vipcli.server.refusals import Refusal
from vipcli.server.running import Listening

TOKEN = "sesame-sesame"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def open_to_all():
    """A server without a token, on loopback."""
    with serving(Held(held=False)) as it:
        yield it


@pytest.fixture(scope="module")
def guarded():
    """A server with a token."""
    with serving(Held(held=False), token=TOKEN) as it:
        yield it


def refused(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    return error_of(response)["message"]


def head_of(path: str, length: int) -> bytes:
    """A request as far as its body."""
    kind = "Content-Type: application/json"
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\nContent-Length: {length}\r\n\r\n".encode()


def cut_off(connection: socket.socket) -> bool:
    """Whether the server ends the connection, whatever it says before."""
    try:
        while connection.recv(1000):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


# Bound to loopback unless told otherwise


def test_it_is_bound_to_loopback_by_default(open_to_all):
    assert Options().host == "127.0.0.1"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{open_to_all.port}/health")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_beyond_loopback_it_needs_a_token(host):
    with pytest.raises(UsageError, match="everybody who reaches this machine could ask; give them a --token to know"):
        Options(host=host)
    assert Options(host=host, token=TOKEN).token == TOKEN
    assert TOKEN not in repr(Options(host=host, token=TOKEN))


@pytest.mark.parametrize("token", ["short", "with blanks in it", "ümlaut-ümlaut", ""])
def test_a_token_is_one_that_cant_be_guessed(token):
    with pytest.raises(UsageError, match="--token"):
        Options(token=token)


# The token


def test_with_a_token_nothing_is_answered_without_it(guarded):
    for method, path in (
        ("GET", "/"),
        ("GET", "/static/main.js"),
        ("GET", "/metrics"),
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/mark"),
        ("GET", "/nothing"),
    ):
        for its in ({}, {"Authorization": "Bearer wrong-wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            response = httpx.request(method, f"{guarded.url}{path}", headers=its)
            assert "wants its token" in refused(response, 401)
            assert response.headers["WWW-Authenticate"] == "Bearer"
    assert guarded.get("/health").json() == {"status": "ok"}, "and no more to strangers"


def test_the_token_is_a_bearer(guarded):
    its = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/health", headers=its).json() == {"status": "ok", "model": "held"}
    assert guarded.ask(words("Hm?", max_tokens=1), headers=its).status_code == 200


def test_the_token_is_compared_in_constant_time(guarded, monkeypatch):
    seen = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: seen.append((a, b)) or real(a, b))
    guarded.get("/metrics", headers={"Authorization": "Bearer sesame-sesamf"})
    assert seen[0] == (b"sesame-sesamf", TOKEN.encode())


def test_the_page_gets_a_cookie_by_the_address_with_the_token(guarded):
    with httpx.Client(base_url=guarded.url) as browser:
        assert browser.get("/?token=wrong-wrong").status_code == 401
        welcome = browser.get(f"/?token={TOKEN}")
        assert (welcome.status_code, welcome.headers["Location"]) == (303, "/")
        cookie = welcome.headers["Set-Cookie"]
        assert "; HttpOnly" in cookie
        assert "; SameSite=Lax" in cookie
        assert TOKEN not in cookie
        assert browser.get("/v1/models").status_code == 200
        browser.cookies.set(next(iter(browser.cookies)), "0" * 64)
        assert httpx.get(f"{guarded.url}/v1/models", cookies={next(iter(browser.cookies)): "0"}).status_code == 401
        mine = f"{next(iter(browser.cookies))}={welcome.cookies[next(iter(browser.cookies))]}"
    for others in ('prefs={"a":1}', "valueless", "version=1; path=/", "=", "ü=ü"):  # of other servers of this host
        headers = {"Cookie": f"{others}; {mine}".encode("latin-1")}
        assert httpx.get(f"{guarded.url}/v1/models", headers=headers).status_code == 200, others
    assert not any(TOKEN in line for line in guarded.lines)


# The Host header


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST.", "localhost:99"])
def test_it_is_called_by_the_names_of_loopback(open_to_all, host):
    assert raw(open_to_all, "GET", "/health", {"Host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "192.168.1.5", "[::1", "a\\b"]
)
def test_by_another_name_it_is_not_to_be_had(open_to_all, host):
    response = raw(open_to_all, "GET", "/health", {"Host": host})
    assert response.status in (400, 403)
    assert b"isn't called" in response.read() or response.status == 400


def test_it_is_called_what_allow_host_says():
    with serving(Held(), allow_host=("vip.example",)) as it:
        assert raw(it, "GET", "/health", {"Host": "vip.example:80"}).status == 200
        assert raw(it, "GET", "/health", {"Host": "other.example"}).status == 403


def test_bound_to_every_address_it_is_called_as_it_says(monkeypatch):
    monkeypatch.setattr("vipcli.server.options.socket.gethostname", lambda: "My-Machine")
    gate = Gate(Held(), Options(host="0.0.0.0", token=TOKEN))  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = Listening(sock, "0.0.0.0").url
    gate._check_host({"host": url.removeprefix("http://").rstrip("/")})
    with pytest.raises(Refusal):
        gate._check_host({"host": "other.example"})
    with pytest.raises(Refusal):
        Gate(Held(), Options())._check_host({"host": "my-machine"})  # type: ignore[arg-type]


# Cross-site posts


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://{own}"},
    ],
    ids=str,
)
def test_what_another_site_posts_is_refused(open_to_all, headers):
    own = f"127.0.0.1:{open_to_all.port}"
    headers = {name: value.format(own=own) for name, value in headers.items()}
    for path in ("/v1/chat/completions", "/v1/mark"):
        assert "another site's page" in refused(open_to_all.post(path, {}, headers=headers), 403)


def test_what_its_own_page_posts_is_not(open_to_all):
    for headers in ({"Origin": open_to_all.url, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}):
        assert open_to_all.ask(words("Hm?", max_tokens=1), headers=headers).status_code == 200


def test_a_form_cant_post(open_to_all):
    body = json.dumps(words("Hm?"))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "text/plain; application/json"):
        response = httpx.post(f"{open_to_all.url}/v1/chat/completions", content=body, headers={"Content-Type": kind})
        assert refused(response, 415) == "the body must be JSON, with Content-Type: application/json"


def test_no_other_origin_is_let_in_by_cors(open_to_all):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = httpx.options(f"{open_to_all.url}/v1/chat/completions", headers=asked)
    assert response.status_code == 403
    assert not any(name.startswith("access-control") for name in response.headers)


# The page may load nothing of others


def test_every_answer_has_a_strict_policy(open_to_all, guarded):
    answers = [open_to_all.get(path) for path in ("/", "/health", "/nothing", "/v1/models", "/metrics")]
    answers += [open_to_all.ask({}), open_to_all.ask(words("Hm?", max_tokens=1, stream=True)), guarded.get("/")]
    for response in answers:
        policy = response.headers["Content-Security-Policy"]
        assert policy == CSP
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
    rules = dict(rule.split(" ", 1) for rule in CSP.split("; "))
    assert rules == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/static/%00",
        "/static/..\\app.py",
        "//etc/passwd",
        "/docs",
        "/openapi.json",
    ],
)
def test_the_page_has_its_own_files_alone(open_to_all, path):
    assert raw(open_to_all, "GET", path, {}).status in (400, 404)


# Limits


def test_a_body_that_is_too_large_is_refused_before_it_is_read():
    with serving(Held(held=False), limits=Limits(body=1000)) as it:
        assert refused(it.ask(words("x" * 1000)), 413) == ("the body has more than 1,000 bytes: send a smaller picture")
        assert raw(it, "POST", "/v1/mark", {**JSON, "Content-Length": str(10**12)}).status == 413
        pieces = (b"x" * 100 for _ in range(50))  # without a length
        response = httpx.post(f"{it.url}/v1/chat/completions", content=pieces, headers=JSON)
        assert refused(response, 413).startswith("the body has more than")


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 413), ({"Content-Type": "text/plain"}, 415), ({"Origin": "http://evil.example"}, 403)]
)
def test_who_sends_all_of_it_and_then_reads_still_gets_the_refusal(open_to_all, headers, status):
    """urllib does, on a connection that is closed after the answer: a server that closed at once would reset it."""
    body = bytes(34 * 2**20)
    request = urllib.request.Request(f"{open_to_all.url}/v1/mark", body, {**JSON, **headers})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == status


def test_who_goes_in_the_middle_of_a_body_is_no_failure_of_the_server():
    with serving(Held()) as it:
        with it.connect() as one:
            one.sendall(head_of("/v1/mark", 100) + b"{")
            time.sleep(0.1)
        wait_for(lambda: it.lines)
    assert it.lines[0].startswith("POST /v1/mark 499 ")


def test_all_bodies_together_have_a_limit(held: Held):
    with serving(held, limits=Limits(body=5000, bodies=6000)) as it:
        slow = it.connect()
        slow.sendall(head_of("/v1/mark", 4500) + b"x" * 4000)
        time.sleep(0.2)
        assert refused(it.ask(words("x" * 3000)), 429).startswith("too many large requests")
        slow.close()
        held.release()
        wait_for(lambda: it.ask(words("x" * 3000, max_tokens=1)).status_code == 200)


def test_a_picture_of_too_many_pixels_is_refused_undecoded(held: Held):
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = (50_000).to_bytes(4) + (50_000).to_bytes(4) + bytes([8, 2, 0, 0, 0])
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    )
    import base64

    uri = f"data:image/png;base64,{base64.b64encode(bomb).decode()}"
    with serving(held, limits=Limits(pixels=100_000)) as it:
        assert "pixels, and this server takes 100,000" in refused(
            it.ask({"model": "held", "messages": about("Hm?", picture=uri)}), 413
        )
        assert "the picture has 640 x 480 pixels" in refused(it.post("/v1/mark", {"image": data_uri()}), 413)


def test_too_many_markers_are_refused(open_to_all):
    body = {"image": data_uri(), "markers": ["1,2,30,40"] * 101}
    assert refused(open_to_all.post("/v1/mark", body), 422) == "markers has 101: this server draws at most 100"


def test_too_many_tokens_are_refused(open_to_all):
    message = refused(open_to_all.ask(words("Hm?", max_tokens=5000)), 422)
    assert message == "max_tokens is 5000: this server gives at most 4096"
    assert "too many for this model's context" in refused(open_to_all.ask(words("word " * 2000)), 400)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b"[" * 40 + b"]" * 40, b"[]," * 10**6])
def test_json_that_is_nested_deep_or_has_millions_of_parts_is_refused(open_to_all, body):
    response = httpx.post(f"{open_to_all.url}/v1/chat/completions", content=body, headers=JSON)
    assert "JSON" in refused(response, 400)


def test_a_client_that_is_slow_to_say_what_it_wants_is_cut_off():
    with serving(Held(), limits=Limits(header_seconds=0.3, idle_seconds=0.3)) as it:
        for said in (b"", b"GET / HTTP/1.1\r\nHost: loc", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT"):
            began = time.monotonic()
            with it.connect() as slow:
                slow.sendall(said)
                assert cut_off(slow)
            assert time.monotonic() - began < 5, said
        with it.connect() as drip:  # a byte at a time doesn't help
            began = time.monotonic()
            with contextlib.suppress(OSError):
                while time.monotonic() - began < 10:
                    drip.sendall(b"G")
                    time.sleep(0.05)
            assert time.monotonic() - began < 5


def test_a_client_that_is_slow_with_its_body_gets_a_408():
    with serving(Held(), limits=Limits(body_seconds=0.3)) as it, it.connect() as slow:
        slow.sendall(head_of("/v1/chat/completions", 100) + b"{")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_doesnt_take_its_answer_is_cut_off(tiny):
    with serving(Held(held=False), limits=Limits(write_seconds=0.3)) as it, it.connect() as slow:
        slow.setsockopt(1, 8, 4096)  # SO_RCVBUF
        picture = json.dumps({"image": noise_uri(), "markers": []}).encode()
        slow.sendall(head_of("/v1/mark", len(picture)) + picture)
        wait_for(lambda: len(it.lines) >= 1)
        wait_for(lambda: not it.server.server_state.connections, 10)


def noise_uri() -> str:
    """A picture that doesn't get small."""
    import base64

    import cv2
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    return f"data:image/png;base64,{base64.b64encode(cv2.imencode('.png', pixels)[1]).decode()}"


def test_connections_are_limited_and_one_machine_has_half_of_them():
    with serving(Held(), limits=Limits(connections=8)) as it:
        kept = [it.connect() for _ in range(4)]
        wait_for(lambda: len(it.server.server_state.connections) == 4)
        with it.connect() as more:
            assert cut_off(more)
        with it.connect("127.0.0.2") as other:
            other.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert other.recv(1000).startswith(b"HTTP/1.1 200")
        for one in kept:
            one.close()
        wait_for(lambda: not it.server.server_state.connections)
        assert it.get("/health").status_code == 200


# Files of the server


@given(st.text(), st.sampled_from(["mask:", "MASK:", "mask:a=", " mask:", "mask:1,2,3,4,5,6@", "maſk:", "mask:\u0661"]))
def test_no_marker_makes_the_server_open_a_file(text, prefix):
    from unittest.mock import patch

    from vipcli.markers import parse

    body = {"model": "m", "messages": about("Hm?", f"{prefix}{text}", picture="data:image/png;base64,AAAA")}
    with patch("vipcli.images.open_mask", side_effect=AssertionError("opened")):
        try:
            asked = asked_of(orjson.dumps(body), Limits())
            for marker in asked.messages[0].drawing.markers:
                parse(marker, (640, 480))
        except VipError:
            pass
        except orjson.JSONEncodeError:
            pass


# What is logged


def test_of_a_request_its_size_and_time_are_logged_and_nothing_else(capfd):
    with serving(Held(held=False)) as it:
        it.ask(words("my secret question", max_tokens=1, user="secret-user"))
        it.get("/v1/models?secret=1", headers={"X-Secret": "secret"})
        it.ask({"secret": "secret"})
        wait_for(lambda: len(it.lines) == 3)
    assert [line.split(" ")[:3] for line in it.lines] == [
        ["POST", "/v1/chat/completions", "200"],
        ["GET", "/v1/models", "200"],
        ["POST", "/v1/chat/completions", "400"],
    ]
    assert all(line.split(" ")[4::2] == ["bytes", "ms"] for line in it.lines)
    assert "secret" not in "".join([*it.lines, *capfd.readouterr()])


def test_what_goes_wrong_inside_is_said_without_what_was_asked(capfd, monkeypatch):
    from vipcli.server import app

    def broken(*_: object) -> None:
        raise ZeroDivisionError("my secret question")

    monkeypatch.setattr(app, "prepare", broken)
    with serving(Held(held=False)) as it:
        assert refused(it.ask(words("my secret question")), 500) == ("the server failed: unexpected ZeroDivisionError")
    assert "secret" not in "".join(capfd.readouterr())
