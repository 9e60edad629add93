"""Servers in the background: started, listed and stopped, for ``vip serve`` and for ``vip ask --keep-alive``."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vipcli.cli import console
from vipcli.errors import UsageError, VipError, quote

if TYPE_CHECKING:
    from vipcli.engine import Model
    from vipcli.server import Running

__all__ = ["find", "say_started", "seconds_of", "show_running", "start", "stop_running"]

_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST_SECONDS = 365 * 24 * 3600
_LOOK_SECONDS = 0.03


def find(model: Model, wanted: Mapping[str, str | None]) -> Running | None:
    """The server of this user that has `model`, loaded as `wanted`; the newest of several."""
    from vipcli.config import runtime_folder
    from vipcli.engine import identity
    from vipcli.server.background import servers_in

    servers = servers_in(runtime_folder())
    its = identity(model) if servers else None
    fitting = (one for one in servers if its is not None and one.place.fits(its, wanted))
    return next((one for one in fitting if not one.is_suspended()), None)


def start(flags: Mapping[str, Any], *, token: str | None = None, quiet: bool) -> Running:
    """Start ``vip serve`` with `flags` by itself, and return once it answers.

    flags: name -> value; True is a flag alone, None and False one that isn't given. Raises `VipError` with what it says
    where it ends instead.
    """
    # -P: the vip that is installed, not one of the current folder.
    command = [sys.executable, "-P", "-m", "vipcli", "serve", "--quiet", "--must-be-found", *_typed(flags)]
    environment = os.environ | ({} if token is None else {"VIP_SERVE_TOKEN": token})
    nowhere = subprocess.DEVNULL
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    with tempfile.TemporaryFile() as said:  # a pipe would break once nobody reads it
        child = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=said, env=environment, **apart)
        try:
            with console.status("starting the server", quiet=quiet):
                while (server := _of(child.pid)) is None:
                    if child.poll() is not None:
                        said.seek(0)
                        raise _ended(child.returncode, said.read().decode("utf-8", "replace"))
                    time.sleep(_LOOK_SECONDS)
        except BaseException:
            with contextlib.suppress(OSError):
                child.terminate()
            raise
    return server


def show_running() -> int:
    """``--status``: a line for each server; 1 where there is none."""
    from vipcli.config import runtime_folder
    from vipcli.server.background import servers_in

    servers = servers_in(runtime_folder())
    for one in servers:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.since))
        where = " ".join(one.place.got.values()) or "elsewhere"
        console.line(f"{one.model}  {_address(one)}  pid {one.pid}  since {since}  {where}")
    if not servers:
        console.note("vip: no server is running")
    return 0 if servers else 1


def stop_running(*, quiet: bool) -> int:
    """``--stop``: end every server once it has finished its answers; 1 where there is none, or one can't hear it."""
    from vipcli.config import runtime_folder
    from vipcli.server.background import servers_in
    from vipcli.server.warm import tell_to_stop

    servers = servers_in(runtime_folder())
    deaf = [one for one in servers if one.is_suspended()]
    listening = [one for one in servers if one not in deaf]
    for one in deaf:
        console.note(f"vip: {one.model} is suspended (pid {one.pid}): kill -CONT {one.pid}, and once more")
    for one in listening:
        tell_to_stop(one)
    for one in listening:
        with console.status(f"stopping {one.model}", quiet=quiet):
            while not _has_ended(one.pid):
                time.sleep(_LOOK_SECONDS)
        if not quiet:
            console.note(f"vip: {one.model} has ended (pid {one.pid})")
    if not servers:
        console.note("vip: no server is running")
    return 0 if listening and not deaf else 1


def say_started(server: Running) -> None:
    """What runs now, and how it ends."""
    console.note(f"vip: {server.model} answers at {_address(server)}, pid {server.pid} (vip serve --stop ends it)")


def seconds_of(flag: str, text: str) -> float:
    """A time like ``10m``, ``90s`` or ``2h``, in seconds. Raises `UsageError` for another."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smh])", text.strip(), re.ASCII)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds < _LONGEST_SECONDS:
        raise UsageError(f"{flag} {quote(text)}: write a time like 90s, 10m or 2h, of less than a year")
    return seconds


def _address(server: Running) -> str:
    return server.url or "this user's vip ask"


def _of(pid: int) -> Running | None:
    """The server with this process, where it answers already."""
    from vipcli.config import runtime_folder
    from vipcli.server.background import servers_in
    from vipcli.server.warm import is_well

    return next((one for one in servers_in(runtime_folder()) if one.pid == pid and is_well(one)), None)


def _has_ended(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _typed(flags: Mapping[str, Any]) -> list[str]:
    """Flags as they are typed."""
    typed = []
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            typed.append(flag)
        elif value is not None and value is not False:
            typed += [f"{flag}={one}" for one in (value if isinstance(value, list | tuple) else [value])]
    return typed


def _ended(code: int, said: str) -> VipError:
    """What a server that ended before it answered has to say, in its own sentence."""
    sentences = [line.removeprefix("vip: ") for line in said.splitlines() if line.startswith("vip: ")]
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    error = VipError(sentences[-1] if sentences else f"the server ended with code {code}: {quote(last, 160)}")
    error.exit_code = code if code in (1, 2) else 1
    return error
