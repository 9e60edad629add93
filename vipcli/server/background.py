"""Servers of this user on this machine: each says in a small file that it is there, and how to reach it.

The file and the socket lie in a folder that nobody else may enter, which is checked before anything in it is believed.
Where there are no Unix sockets the socket is one of the loopback address; everywhere the file holds a secret that who
asks must know. No import here is heavy: ``vip ask`` waits for all of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vipcli import __version__
from vipcli.errors import VipError, quote

__all__ = ["Place", "Running", "announced", "place_of", "servers_in"]

_LONGEST = 100  # bytes of a Unix socket's name, of which systems take 104 or 108
_CONNECT_SECONDS = 2.0


@dataclass(frozen=True)
class Place:
    """What a model was loaded as. asked: by which flags (None: not given). got: the device and dtype it has.

    checkpoint: which weights, whatever they are called.
    """

    checkpoint: str
    asked: Mapping[str, str | None] = field(default_factory=dict)
    got: Mapping[str, str] = field(default_factory=dict)

    def fits(self, checkpoint: str, wanted: Mapping[str, str | None]) -> bool:
        """Whether it is what somebody wants that says so much of it. None and ``auto``: whatever it is."""
        return checkpoint == self.checkpoint and all(map(self._is, wanted.items()))

    def _is(self, one: tuple[str, str | None]) -> bool:
        name, value = one
        its = (self.asked.get(name), self.got.get(name))
        alike = value in its or (name == "device" and f"{value}:0" in its)
        return value is None or alike or (value == "auto" and name != "device_map")


@dataclass(frozen=True)
class Running:
    """A server that runs, as `file` says.

    model: its name. since: Unix time. url: of its page; None: it has none. address: of a Unix socket, or a port.
    """

    file: Path
    pid: int
    model: str
    since: float
    url: str | None
    place: Place
    address: str | int
    secret: str = field(repr=False)

    def connect(self) -> socket.socket:
        """A connection. Raises `OSError` where there is nobody."""
        if isinstance(self.address, int):
            return socket.create_connection(("127.0.0.1", self.address), timeout=_CONNECT_SECONDS)
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            one.settimeout(_CONNECT_SECONDS)
            one.connect(self.address)
        except BaseException:
            one.close()
            raise
        return one

    def is_suspended(self) -> bool:
        """Whether its process is stopped, by Ctrl-Z perhaps: it takes connections and answers none. Linux says it."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[:1] == [b"T"]
        except OSError:
            return False

    def is_alive(self) -> bool:
        """Whether anybody listens; what is left of who doesn't is removed."""
        try:
            self.connect().close()
        except (ConnectionRefusedError, FileNotFoundError):
            _remove(self.file, self.address)
            return False
        except OSError:  # too busy to say
            return True
        return True


def servers_in(folder: Path | None) -> list[Running]:
    """The servers that said in `folder` that they run, and do, the newest first; none where it can't be trusted."""
    if folder is None or _why_not(folder) is not None:
        return []
    found = [one for file in folder.glob("*.json") if (one := _read(file)) is not None and one.is_alive()]
    return sorted(found, key=lambda one: -one.since)


def place_of(checkpoint: str, engine: Any, **asked: str | None) -> Place:
    """The `Place` of an engine. asked: the flags that it was loaded by."""
    loaded = getattr(engine, "model", None)
    got = {} if loaded is None else {"device": str(loaded.device), "dtype": str(loaded.dtype).removeprefix("torch.")}
    return Place(checkpoint, asked, got)


@contextlib.contextmanager
def announced(folder: Path | None, model: str, place: Place, url: str | None) -> Iterator[tuple[socket.socket, str]]:
    """Say in `folder` that this process serves `model`; gives the socket to listen on and the secret.

    Raises `VipError` where the folder can't be made, or is somebody else's as well.
    """
    import secrets

    if folder is None:
        raise VipError("this machine has no folder for what runs, so nobody would find the server")
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise VipError(f"{quote(str(folder))}: the folder of running servers can't be made: {error.strerror}") from None
    if (why := _why_not(folder)) is not None:
        raise VipError(f"{quote(str(folder))} isn't trusted with running servers: {why}")
    listening, address = _listening(folder / f"{os.getpid()}.sock")
    secret = secrets.token_hex(32)
    facts = {
        "vip": __version__,
        "pid": os.getpid(),
        "model": model,
        "since": time.time(),
        "url": url,
        "place": asdict(place),
        "address": address,
        "secret": secret,
    }
    file = folder / f"{os.getpid()}.json"
    try:
        try:
            _write(file, json.dumps(facts).encode())
        except OSError as error:
            raise VipError(f"{quote(str(file))} can't be written: {error.strerror}") from None
        yield listening, secret
    finally:
        listening.close()
        _remove(file, address)


def _listening(path: Path) -> tuple[socket.socket, str | int]:
    if hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= _LONGEST:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)  # of a process that had this number before
            one.bind(str(path))
            path.chmod(0o600)
            one.listen(512)
        except OSError:  # a file system without sockets
            one.close()
        else:
            return one, str(path)
    one = socket.create_server(("127.0.0.1", 0), backlog=512)
    return one, int(one.getsockname()[1])


def _write(file: Path, data: bytes) -> None:
    """Write a file that only its owner can read, all of it at once."""
    half = file.with_suffix(".tmp")
    half.unlink(missing_ok=True)
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
        output.write(data)
    half.replace(file)


def _read(file: Path) -> Running | None:
    """What a server said in `file`; None where it isn't this user's alone, or of another version of vip."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with open(descriptor, "rb") as opened:
            if _is_shared(os.fstat(descriptor)):
                return None
            facts = json.loads(opened.read())
        if facts.pop("vip") != __version__:
            return None
        return Running(file, **facts | {"place": Place(**facts["place"])})
    except (OSError, ValueError, RecursionError, TypeError, LookupError, AttributeError):
        return None


def _remove(file: Path, address: str | int) -> None:
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)
        if isinstance(address, str) and Path(address).parent == file.parent:
            Path(address).unlink(missing_ok=True)


def _why_not(folder: Path) -> str | None:
    """Why what lies in `folder` isn't believed; None: it is."""
    try:
        its, above = os.lstat(folder), os.stat(folder.parent)
    except OSError as error:
        return str(error.strerror)
    if not stat.S_ISDIR(its.st_mode):
        return "it is no folder"
    if not hasattr(os, "getuid"):
        return None
    if above.st_uid not in (0, os.getuid()):
        return "the folder around it belongs to somebody else"
    if above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX:
        return "others may write to the folder around it"
    return "others may enter it, or it belongs to somebody else" if _is_shared(its) else None


def _is_shared(its: os.stat_result) -> bool:
    return hasattr(os, "getuid") and (its.st_uid != os.getuid() or bool(its.st_mode & 0o077))
