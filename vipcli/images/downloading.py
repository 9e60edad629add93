"""The bytes of an http(s) address, within limits of size, time and redirects."""

from __future__ import annotations

import contextlib
import queue
import threading

import httpx

from vipcli.errors import PictureError, VipError, quote
from vipcli.images.sources import gather, too_large

MAX_URL_BYTES = 64 * 2**20
MAX_URL_SECONDS = 20.0  # for everything: name lookup, redirects, body
MAX_REDIRECTS = 5


def download(url: str, name: str) -> bytes:
    """The body of an http(s) URL, within the limits.

    In a thread, because httpx limits the time of each read alone (a byte a second never exceeds it) and that of the
    name lookup not at all. Closing the client ends the thread at its next byte.
    """
    outcome: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    client = httpx.Client(timeout=MAX_URL_SECONDS, headers={"User-Agent": "vipcli"})

    def work() -> None:
        try:
            outcome.put(_get(client, url, name))
        except Exception as error:  # raised below, in the caller's thread
            outcome.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = outcome.get(timeout=MAX_URL_SECONDS)
    except queue.Empty:
        result = httpx.ReadTimeout("")
    finally:
        client.close()
    if isinstance(result, bytes):
        return result
    if isinstance(result, VipError):
        raise result
    why = f"can't be fetched ({quote(str(result)) or type(result).__name__})"
    if isinstance(result, httpx.TimeoutException):
        why = f"wasn't there within {MAX_URL_SECONDS:g} seconds; download it yourself and give the file"
    raise PictureError(f"{name}: {why}") from result


def _get(client: httpx.Client, url: str, name: str) -> bytes:
    request = client.build_request("GET", url)
    for _ in range(MAX_REDIRECTS + 1):
        with contextlib.closing(client.send(request, stream=True)) as response:
            if response.next_request is not None:
                request = response.next_request
                if request.url.scheme not in ("http", "https"):
                    raise PictureError(f"{name}: redirects to a {quote(request.url.scheme)}: address: not followed")
                continue
            if not response.is_success:
                status = f"{response.status_code} {quote(response.reason_phrase)}".strip()
                raise PictureError(f"{name}: the server answered {status}")
            if int(response.headers.get("content-length", 0)) > MAX_URL_BYTES:
                raise too_large(name, MAX_URL_BYTES)
            return gather(response.iter_bytes(), name, MAX_URL_BYTES)
    raise PictureError(f"{name}: redirects more than {MAX_REDIRECTS} times")
