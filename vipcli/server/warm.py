"""The side of ``vip ask``: a question goes to a running server of this user, and its answer comes back.

HTTP 1.0 by hand, since http.client alone takes a third of the time that typer and rich take to import. The other side
is `beside`.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from vipcli.engine import Finish, Generation, Token
from vipcli.errors import ModelError, PromptError, UsageError, VipError
from vipcli.server.background import Running

__all__ = ["Reply", "Unable", "ask_warm", "is_well", "tell_to_stop"]

_KINDS: dict[str, type[VipError]] = {"ModelError": ModelError, "PromptError": PromptError, "UsageError": UsageError}


class Unable(Exception):
    """The server doesn't answer this; nobody has seen anything of an answer. gone: nor will it answer another."""

    def __init__(self, gone: bool) -> None:
        super().__init__()
        self.gone = gone


class Reply:
    """What comes of one picture's questions: at once `warnings`, `prompts` and `markers`, then a generation each."""

    def __init__(self, lines: Iterator[Any], close: Callable[[], None], prepared: dict[str, Any], began: float) -> None:
        self._lines, self._close = lines, close
        self._began: float | None = began
        self._left = len(prepared["prompts"])
        self.warnings: list[str] = prepared["warnings"]
        self.prompts: list[str] = prepared["prompts"]
        self.markers: list[str] = prepared["markers"]

    def generation(self) -> Generation:
        """The answer to the next question."""
        began, self._began = self._began, None
        return Generation(self._tokens(), 0, began)

    def _tokens(self) -> Generator[Token, None, Finish]:
        for line in self._lines:
            if "text" in line:
                yield Token(None, line["text"])
            elif "end" in line:
                finish, *counts = line["end"]
                self._left -= 1
                if not self._left:
                    self._close()
                yield Token(None, "", (counts[0], counts[1]))
                return finish
            else:
                raise _error(line)
        raise ModelError("the server that was answering has gone")


def ask_warm(server: Running, picture: bytes, **asked: Any) -> Reply:
    """Ask `server`; returns once the first token is there. asked: as in `beside`.

    Raises `Unable` where it is better asked without it, `VipError` for what would fail there as well.
    """
    began = time.monotonic()
    head = json.dumps(asked).encode()
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(server.connect())
            connection.settimeout(None)
            stream = stack.enter_context(connection.makefile("rb"))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # what it says comes all the same
                connection.sendall(_request(server, "POST", "/local/ask", len(head) + 1 + len(picture)))
                connection.sendall(head + b"\n")
                connection.sendall(picture)
            if b" 200 " not in stream.readline():
                raise Unable(gone=True)
            while stream.readline().strip():
                pass
            lines = map(json.loads, stream)
            first = next(lines, None)
        except (OSError, ValueError):
            raise Unable(gone=True) from None
        if first is None or "again" in first:
            raise Unable(gone=first is None)
        if "error" in first:
            raise _error(first)
        return Reply(_guarded(lines), stack.pop_all().close, first, began)


def tell_to_stop(server: Running) -> None:
    """Let the server finish its answers and end."""
    _said(server, "POST", "/local/stop")


def is_well(server: Running) -> bool:
    """Whether the server answers ``/health``."""
    return b"200" in _said(server, "GET", "/health")


def _said(server: Running, method: str, path: str) -> bytes:
    """The first line of what it answers; nothing where it doesn't."""
    with contextlib.suppress(OSError), server.connect() as connection:
        connection.settimeout(30)
        connection.sendall(_request(server, method, path, 0))
        return connection.makefile("rb").readline()
    return b""


def _request(server: Running, method: str, path: str, size: int) -> bytes:
    return (
        f"{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {server.secret}\r\n"
        f"Content-Length: {size}\r\n\r\n"
    ).encode()


def _guarded(lines: Iterator[Any]) -> Iterator[Any]:
    with contextlib.suppress(OSError, ValueError):  # a line that breaks off is no line
        yield from lines


def _error(line: dict[str, Any]) -> VipError:
    kind, message = line["error"]
    return _KINDS.get(kind, ModelError)(message)
