"""Who may come in: every request passes here, and what is said of it in the log and in the metrics is said here.

In this order: the name by which the server was called (against DNS rebinding), the page that a browser's request comes
from (against cross-site posts), the token.

What is answered before its body has come is read on for a while where the connection is to end with it: closed over
what still comes it would be reset, and the client would see that in place of the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import orjson
from starlette.requests import ClientDisconnect

from vipcli.errors import quote
from vipcli.server.options import ANYWHERE, Options, is_loopback, reached_as
from vipcli.server.refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from vipcli.server.metrics import Metrics

__all__ = ["CSP", "Gate"]

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: its own files, and pictures that it made itself."""

_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PATHS = ("/", "/health", "/metrics", "/v1/models", "/v1/chat/completions", "/v1/mark")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_READ_ON_SECONDS, _READ_ON_BYTES = 10.0, 256 * 2**20


class Gate:
    """Stands before `app`. metrics: None: nobody counts."""

    def __init__(self, app: ASGIApp, options: Options, metrics: Metrics | None = None) -> None:
        self._app, self._options, self._metrics = app, options, metrics
        own = (options.host, reached_as(options.host))
        self._names = {_bare(name) for name in (*_LOOPBACK, *own, *options.allow_host)}
        self._token = None if options.token is None else options.token.encode()
        # The cookie says that its holder knew the token; the token itself isn't in it. Its name is the server's own,
        # since a browser keeps cookies by host, whatever the port.
        secret = self._token or b""
        self._cookie_name = f"vip-{hashlib.sha256(b'name' + secret).hexdigest()[:8]}"
        self._cookie = hmac.new(secret, b"vip page", "sha256").hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, size, ended = time.monotonic(), 499, 0, False
        unread = _ends_with_its_answer(scope)

        async def heard() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def counted(message: Message) -> None:
            nonlocal status, size, ended
            if message["type"] == "http.response.start":
                if unread:
                    await _read_on(receive)
                status = message["status"]
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((k.encode(), v.encode()) for k, v in _HEADERS.items() if k.lower().encode() not in given),
                ]
            else:
                size += len(message.get("body", b""))
                ended = not message.get("more_body", False)
            await send(message)

        try:
            await self._admitted(scope, heard, counted)
        except ClientDisconnect:  # in the middle of its body
            pass
        except Exception as error:
            if status == 499:
                await _refuse(Refusal(500, f"the server failed: unexpected {type(error).__name__}"), counted)
            else:
                self._abort(scope)
        finally:
            if not ended and status < 400:
                status = 499
            self._note(scope, status, size, time.monotonic() - began)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check_host(headers)
            _check_site(scope, headers)
            if self._token is not None and not self._knows(headers):
                if self._tells(scope):
                    await self._welcome(send)
                    return
                if scope["path"] != "/health":
                    raise Refusal(401, _WANTED, code="invalid_api_key")
                scope.setdefault("state", {})["stranger"] = True
        except Refusal as refusal:
            await _refuse(refusal, send)
            return
        as_get = {"method": "GET"} if scope["method"] == "HEAD" else {}  # of whose answer the body isn't sent
        await self._app({**scope, **as_get}, receive, send)

    def _check_host(self, headers: Mapping[str, str]) -> None:
        host = _bare(headers.get("host", ""), port=True)
        if host in self._names or (self._options.host in ANYWHERE and _is_address(host)):
            return
        what = f"this server isn't called {quote(host) or 'nothing'}; start it with --allow-host to let it be"
        raise Refusal(403, what, code="host_refused")

    def _knows(self, headers: Mapping[str, str]) -> bool:
        assert self._token is not None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._token):
            return True
        # By hand: other programs' cookies for this host are among them, of which some stop Python's reader.
        pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
        values = [value.strip() for name, _, value in pairs if name == self._cookie_name]
        return any(hmac.compare_digest(value.encode("latin-1"), self._cookie.encode()) for value in values)

    def _tells(self, scope: Scope) -> bool:
        """Whether it is a browser that opens the page by the address with the token."""
        assert self._token is not None
        if scope["method"] != "GET" or scope["path"] != "/":
            return False
        with contextlib.suppress(ValueError):
            given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=10).get("token", [""])
            return hmac.compare_digest(given[0].encode(), self._token)
        return False

    async def _welcome(self, send: Send) -> None:
        """Give the browser its cookie, and send it to the page by an address without the token."""
        cookie = f"{self._cookie_name}={self._cookie}; Path=/; HttpOnly; SameSite=Lax"
        await _send(send, 303, b"", {"Location": "/", "Set-Cookie": cookie})

    @staticmethod
    def _abort(scope: Scope) -> None:
        if (abort := scope.get("state", {}).get("abort")) is not None:
            abort()

    def _note(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        path = scope["path"]
        known = path if path in _PATHS else "/static" if path.startswith("/static/") else "other"
        if self._metrics is not None:
            self._metrics.request(known, status)
        if self._options.log is not None:
            method = quote(scope["method"], 16)
            self._options.log(f"{method} {quote(path)} {status} {size} bytes {1000 * seconds:.0f} ms")


_WANTED = "this server wants its token: send it as a bearer, or open the page by the address that vip serve shows"


def _check_site(scope: Scope, headers: Mapping[str, str]) -> None:
    """Refuse what another site's page makes a browser send. What isn't a browser sends neither header."""
    if scope["method"] in ("GET", "HEAD"):  # which change nothing, and whose answers another site can't read
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    foreign = site is not None and site.strip().lower() not in ("same-origin", "none")
    if not foreign and origin is not None:
        foreign = not _same(origin, headers.get("host", ""))
    if foreign:
        raise Refusal(403, "another site's page sends this: it is refused", code="cross_site")


def _same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        own = urlsplit(f"{parts.scheme}://{host}")
        return bool(parts.hostname) and (parts.hostname, port) == (
            own.hostname,
            own.port or {"http": 80, "https": 443}.get(parts.scheme),
        )
    except ValueError:
        return False


def _bare(host: str, port: bool = False) -> str:
    """A host's name, without the port that may follow it and the brackets that may be around it."""
    host = host.strip().lower()
    if port:
        try:
            host = urlsplit(f"//{host}").hostname or "" if not set(host) & set("/?#@\\") else ""
        except ValueError:
            return ""
    return host.strip("[]").rstrip(".")


def _is_address(host: str) -> bool:
    """Whether `host` is an address by numbers, which no name server can turn elsewhere."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return is_loopback(host)
    return True


def _ends_with_its_answer(scope: Scope) -> bool:
    """Whether a request has a body that its client sends whatever is answered, on a connection that then ends."""
    headers = dict(scope["headers"])
    has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    closes = scope["http_version"] == "1.0" or headers.get(b"connection", b"").strip().lower() == b"close"
    return has_body and closes and b"expect" not in headers


async def _read_on(receive: Receive) -> None:
    """Take what still comes of a body that nobody wants, for a bounded time and amount."""
    size, more = 0, True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READ_ON_SECONDS):
            while more and size <= _READ_ON_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)


async def _refuse(refusal: Refusal, send: Send) -> None:
    await _send(
        send, refusal.status, orjson.dumps(refusal.body), {"Content-Type": "application/json", **refusal.headers}
    )


async def _send(send: Send, status: int, body: bytes, headers: dict[str, Any]) -> None:
    its = {**headers, "Content-Length": str(len(body))}
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in its.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
