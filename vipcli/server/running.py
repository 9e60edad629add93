"""The server itself: a socket, uvicorn around the application, and what ends it."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from vipcli.errors import UsageError, VipError, quote
from vipcli.server.connections import limited
from vipcli.server.options import Options, reached_as

if TYPE_CHECKING:
    from fastapi import FastAPI

    from vipcli.server.beside import Beside

__all__ = ["Listening", "hush", "listen", "serve"]

_STOPPED_AT_ONCE = 130


class Listening:
    """A bound socket, before there is anybody to answer on it. url: where the page is, without a token."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self.socket, self.port = sock, sock.getsockname()[1]
        shown = reached_as(host)
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"

    def close(self) -> None:
        """Listen no more."""
        self.socket.close()


def listen(host: str, port: int) -> Listening:
    """Take `port` (0: any that is free) before anything is loaded. Raises `UsageError` or `VipError`."""
    if not 0 <= port < 2**16:
        raise UsageError(f"--port {port}: a port is a number from 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)  # TCP by name, or asyncio lets small events wait 40 ms
    except (OSError, UnicodeError):
        raise UsageError(f"--host {quote(host)}: this machine has no such address") from None
    try:
        if os.name == "posix":  # elsewhere it would let two servers have one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(512)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise VipError(f"port {port} is in use already: stop who has it, or give another --port") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"--host {quote(host)}: this machine has no such address") from None
        raise VipError(f"--host {quote(host)} --port {port}: can't be listened on: {error.strerror}") from None
    return Listening(sock, host)


def hush() -> None:
    """Keep uvicorn and asyncio from saying anything: it may be of a request."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


class Server(uvicorn.Server):
    """uvicorn's, which at the first signal stops taking questions and finishes answers, and at the second ends."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """What a signal does; said nowhere again once the server has ended."""
        if self.should_exit:
            os._exit(_STOPPED_AT_ONCE)
        self.stop()

    def stop(self) -> None:
        """Finish the answers in flight, and end."""
        self.should_exit = True
        app = self.config.app
        app.state.desk.stop_soon()  # type: ignore[union-attr]


def serve(
    app: FastAPI | Beside,
    listening: Listening | None,
    options: Options,
    ready: Callable[[Server], None] = lambda _: None,
    also: Sequence[socket.socket] = (),
) -> None:
    """Answer on `listening` until a signal comes; returns once the answers in flight are finished.

    also: further sockets to listen on. ready: called with the server just before it begins; in another thread than the
    main one, its `Server.stop` is the way to end it.
    """
    hush()
    limits = options.limits
    config = uvicorn.Config(
        app,
        http=limited(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # who says to be somebody else would have a turn of its own
        server_header=False,
        timeout_keep_alive=limits.idle_seconds,  # type: ignore[arg-type]
        h11_max_incomplete_event_size=32 * 2**10,
    )
    server = Server(config)
    ready(server)
    server.run([*([listening.socket] if listening else []), *also])
