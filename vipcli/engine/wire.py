"""The way to one server: its address, connections that another thread can cut, and what goes wrong on it in words."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import httpx

from vipcli.engine.completions import said
from vipcli.engine.retrying import ServerError, retry_after
from vipcli.errors import UsageError, quote

__all__ = ["MAX_STREAM_BYTES", "Address", "Wire", "address_of", "within"]

MAX_STREAM_BYTES = 256 * 2**20
"""Of an answer with all that the protocol puts around it, which is some 200 bytes a token."""

_CONNECT_SECONDS = 10.0
_MAX_ERROR_BYTES = 64 * 2**10

_ADVICE = {
    403: "refuses access: check that VIP_API_KEY may use this model",
    404: "has nothing at this address: it should be that of an OpenAI-compatible server, like http://host:8000/v1",
    413: "finds the request too large: use a smaller picture",
    429: "has too many requests to answer: ask fewer at a time, or later",
}


@dataclass(frozen=True)
class Address:
    """Where a server is.

    base: up to and with ``/v1``, without credentials, so that it can be shown. authorization: the header that lets us
    in, which is never shown. model: the model that the address names.
    """

    base: str
    authorization: str | None = field(default=None, repr=False)
    model: str | None = None


def address_of(url: str, token: str | None = None) -> Address:
    """The address in `url`: ``http(s)://host[:port][/path][#model]``, where a path without a version gets ``/v1``.

    token: sent as a bearer; None takes ``VIP_API_KEY``, else ``OPENAI_API_KEY``, from the environment. Credentials in
    the URL win over those. Raises `UsageError` for what is no such address.
    """
    shown = quote(re.sub(r"(?s)(?<=//).*@|\?.*", "", url))  # without what may be a secret
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port  # asking for the port checks it
    except ValueError:
        host = None
    if not host or "@" in parts.path or parts.scheme not in ("http", "https") or not url.isprintable():
        raise UsageError(f"{shown} is no address of a server; write it like http://localhost:8000/v1")
    if parts.query:
        raise UsageError(f"{shown}: a server's address has no ?..., and a key goes into VIP_API_KEY")
    path = re.sub(r"(?<=/v1)/(chat/completions|models)\Z", "", parts.path.rstrip("/"))
    if not re.search(r"/v\d", path):  # /v1, /v1beta/openai, /api/paas/v4
        path += "/v1"
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"
    return Address(base, _authorization(parts.username, parts.password, token), unquote(parts.fragment) or None)


def _authorization(user: str | None, password: str | None, token: str | None) -> str | None:
    if user is not None:
        import base64

        pair = f"{unquote(user)}:{unquote(password or '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    token = (token or os.environ.get("VIP_API_KEY") or os.environ.get("OPENAI_API_KEY") or "").strip()
    if not (token.isascii() and token.isprintable()):
        raise UsageError("the server's key (VIP_API_KEY or OPENAI_API_KEY) holds characters that no key has")
    return f"Bearer {token}" if token else None


class Wire:
    """Connections to the server at `address`, for any number of threads; `cut` ends whatever goes on.

    timeout: seconds without a byte after which the server counts as silent. stopped: set once it is cut.
    """

    def __init__(self, address: Address, timeout: float, trusted: ssl.SSLContext | None = None) -> None:
        self.address, self.timeout = address, timeout
        self.stopped = threading.Event()
        self._trusted = trusted or httpx.create_ssl_context()  # which takes longer than all the rest
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        headers = {"User-Agent": "vipcli", "Accept-Encoding": "identity"}
        if address.authorization:
            headers["Authorization"] = address.authorization
        self._client = httpx.Client(
            headers=headers,
            verify=self._trusted,
            timeout=httpx.Timeout(timeout, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            follow_redirects=False,  # another host must not get the key
        )

    def another(self) -> Wire:
        """Connections of their own to the same server, to be cut by themselves."""
        return Wire(self.address, self.timeout, self._trusted)

    @contextmanager
    def ask(self, path: str, body: bytes | None = None) -> Iterator[httpx.Response]:
        """Send a GET, or a POST of the JSON `body`, to `path` below the address; gives the response, body unread.

        Raises `ServerError` where none comes, where it is no success or a web page, and where it breaks off meanwhile.
        """
        try:
            request = self._client.build_request(
                "GET" if body is None else "POST",
                f"{self.address.base}{path}",
                content=body,
                headers={} if body is None else {"Content-Type": "application/json"},
                extensions={"trace": self._remember},
            )
            with closing(self._client.send(request, stream=True)) as response:
                if not response.is_success:
                    raise _refused(response, self.address)
                if _is_page(response):
                    raise ServerError(
                        f"{self.address.base} shows a web page instead of answering: is it an OpenAI-compatible "
                        "server, and does a login stand before it?",
                        gone=True,
                    )
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _trouble(error, self.address, self.timeout) from error

    def cut(self) -> None:
        """End all that goes on, from any thread: who waits for a byte gets an error now."""
        self.stopped.set()
        with self._lock:
            for one in self._sockets:
                _shut(one)

    def close(self) -> None:
        """Close the connections, once no thread uses them any more."""
        self._client.close()

    def _remember(self, event: str, info: dict) -> None:
        """httpx's ``trace``: what tells of each connection before anything is sent on it."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            one = info["return_value"].get_extra_info("socket")
            with self._lock:
                self._sockets.add(one)
                if self.stopped.is_set():
                    _shut(one)


def _shut(one: socket.socket) -> None:
    """Wake whoever reads from it. Not by its own method: a TLS socket's isn't meant for another thread."""
    with suppress(OSError):
        socket.socket.shutdown(one, socket.SHUT_RDWR)


def within(response: httpx.Response, limit: int, server: str) -> Iterator[bytes]:
    """The response's body in chunks. Raises `ServerError` once it exceeds `limit` bytes."""
    size = 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > limit:
            raise ServerError(f"{server} sends more than {limit // 2**20} MB")
        yield chunk


def _is_page(response: httpx.Response) -> bool:
    """Whether what comes is meant for a browser."""
    return "html" in response.headers.get("content-type", "").lower()


def _refused(response: httpx.Response, address: Address) -> ServerError:
    """What to say of a response that is no success."""
    status = response.status_code
    if response.has_redirect_location:
        to = urlsplit(str(response.url.join(response.headers["location"])))
        place = f"{to.scheme}://{to.netloc.rpartition('@')[2]}{to.path}"
        return ServerError(
            f"{address.base} redirects to {quote(place, 160)}, which isn't followed: give that address if you trust it",
            status=status,
            gone=True,
        )
    body = b""
    with suppress(httpx.HTTPError):  # its status says enough
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _MAX_ERROR_BYTES:
                break
    try:
        words = said(json.loads(body))
    except (ValueError, RecursionError):
        words = "" if _is_page(response) else " ".join(body.decode("utf-8", "replace").split())
    what = _ADVICE.get(status, f"answers {status} {quote(response.reason_phrase)}".strip())
    if status == 401:
        what = "refuses the key: check VIP_API_KEY" if address.authorization else "wants a key: set VIP_API_KEY"
    elif status == 404 and words:
        what = "has no such thing"
    its = f" (it says: {quote(words, 300)})" if words else ""
    return ServerError(f"{address.base} {what}{its}", status=status, after=retry_after(response.headers))


def _trouble(error: httpx.HTTPError | httpx.InvalidURL, address: Address, timeout: float) -> ServerError:
    """What to say of a connection that couldn't be made, or that broke."""
    server = address.base
    causes = _causes(error)
    system = next((one.strerror for one in causes if isinstance(one, OSError) and one.strerror), None)
    reason = quote(system or str(error) or type(error).__name__, 160)
    untrusted = next((one for one in causes if isinstance(one, ssl.SSLCertVerificationError)), None)
    if untrusted:
        return ServerError(
            f"{server} has a certificate that can't be trusted ({quote(untrusted.verify_message, 160)}): "
            "set SSL_CERT_FILE to that of its authority, or use the name that it is for",
            gone=True,
        )
    if isinstance(error, httpx.ConnectError) and any(isinstance(one, ssl.SSLError) for one in causes):
        return ServerError(f"{server} doesn't speak TLS as it should ({reason}): is it an http:// address?", gone=True)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        if isinstance(error, httpx.ConnectTimeout):
            reason = f"not within {_CONNECT_SECONDS:g} seconds"
        ask = "is the server running, and is the address right?"
        return ServerError(f"nothing answers at {server} ({reason}): {ask}", again=True, gone=True)
    if isinstance(error, httpx.TimeoutException):
        # Not again: the server may still be working on it, and would then do so twice.
        return ServerError(f"{server} was silent for {timeout:g} seconds: it may be overloaded or stuck", gone=True)
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return ServerError(f"{server} broke off the connection ({reason})", again=True)
    return ServerError(f"{server} can't be asked ({reason})", gone=True)


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < 20:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return causes
