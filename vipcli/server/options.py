"""What a server is told when it starts: who may ask, where pictures may come from, and how much of everything."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.images import Fit

__all__ = ["ANYWHERE", "Limits", "Options", "is_loopback", "reached_as"]

ANYWHERE = ("0.0.0.0", "::", "")
"""Hosts that stand for all addresses of this machine."""
_LEAST_TOKEN = 8  # characters: what is shorter is guessed


@dataclass(frozen=True)
class Limits:
    """How much one request, or all of them, may take.

    body, bodies: bytes of one request, and of all that are being read or prepared. pixels: of a picture. markers: on
    it. tokens: of an answer. text: characters of all messages. depth: of the JSON. connections: open ones, of which one
    client may have half. waiting: questions that aren't being answered yet, of which one client may have a quarter.
    header_seconds, body_seconds, write_seconds: for a request's head, for its body, and for a client to take what is
    ready for it. picture_seconds: for opening a picture and drawing on it. idle_seconds: for which a connection is kept
    for the next request.
    """

    body: int = 32 * 2**20
    bodies: int = 256 * 2**20
    pixels: int = 50_000_000
    markers: int = 100
    tokens: int = 4096
    text: int = 200_000
    depth: int = 32
    connections: int = 512
    waiting: int = 256
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    picture_seconds: float = 30.0
    write_seconds: float = 30.0
    idle_seconds: float = 60.0


@dataclass(frozen=True)
class Options:
    """See the flags of ``vip serve``.

    host: what it is bound to. token: what a client must know; None: nothing, which only a loopback address may do.
    allow_url, allow_dir: pictures may come from public addresses, and from below this folder. allow_host: further names
    that the server is called. aliases: further names of the model. fit, prompt_style: as in `Settings`. at_once: how
    many questions are answered together; None: as many as there is room for. log: called with a line for each request
    that ended: method, path, status, bytes and milliseconds.

    Raises `UsageError` where everybody on the network could ask.
    """

    host: str = "127.0.0.1"
    token: str | None = field(default=None, repr=False)
    allow_url: bool = False
    allow_dir: Path | None = None
    allow_host: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    fit: Fit = "pad"
    prompt_style: str = "auto"
    at_once: int | None = None
    limits: Limits = Limits()
    log: Callable[[str], None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"--host {quote(self.host)}: everybody who reaches this machine could ask; give them a --token to know"
            )
        if self.token is not None:
            if not (self.token.isascii() and self.token.isprintable()) or " " in self.token:
                raise UsageError("--token: use letters, digits and signs of ASCII, without blanks")
            if len(self.token) < _LEAST_TOKEN:
                raise UsageError(f"--token: {len(self.token)} characters can be guessed; use {_LEAST_TOKEN} or more")
        if self.allow_dir is not None and not self.allow_dir.is_dir():
            raise UsageError(f"--allow-dir {quote(str(self.allow_dir))}: there is no such folder")


def reached_as(host: str) -> str:
    """What others call a server that is bound to `host`: this machine's name, where that is every address."""
    return socket.gethostname() if host in ANYWHERE else host


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
