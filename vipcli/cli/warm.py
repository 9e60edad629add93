"""``vip ask`` by way of a server that runs already: found, asked, and left out where it can't answer alike."""

from __future__ import annotations

import functools
import io
import os
import re
import stat
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vipcli.cli import console
from vipcli.cli.background import find, start
from vipcli.cli.inputs import say_tiny
from vipcli.engine import may_have_7b, resolve
from vipcli.errors import VipWarning, quote

if TYPE_CHECKING:
    from vipcli.engine import Generation
    from vipcli.pointing import Marked
    from vipcli.server import Running

__all__ = ["Picture", "Ready", "Warm", "warm_server"]

_MAX_BYTES = 512 * 2**20  # as of `vipcli.images.sources`
_BY_NUMBERS = re.compile(r"\s*(mask:)?\s*(\w[\w-]*=)?[\d\s,.%+\-eE]+(@.*)?", re.S)


@dataclass(frozen=True)
class Ready:
    """A question about a picture that is ready to be answered: by which `model`, and as what it is put."""

    model: str
    prompt: str
    markers: Callable[[], list[str]]
    begin: Callable[[], Generation]


class Picture:
    """One picture of the command line: its bytes for a server, or with its markers drawn (`draw`) here."""

    def __init__(self, name: str, draw: Callable[[Any], Marked]) -> None:
        self.name, self._draw = name, draw
        self._source: Any = name

    @functools.cached_property
    def marked(self) -> Marked:
        """The picture with its markers. Raises `VipError`."""
        return self._draw(self._source)

    def data(self) -> bytes | None:
        """All that it holds; None where reading it is left to `marked`, which says what is wrong with it."""
        try:
            if self.name == "-":
                return self._of_stdin()
            if re.match("data:|[a-z][a-z0-9+.-]*://", self.name, re.I):
                return None
            with open(os.open(self.name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb", buffering=0) as file:
                facts = os.fstat(file.fileno())
                return file.readall() if stat.S_ISREG(facts.st_mode) and 0 < facts.st_size <= _MAX_BYTES else None
        except (OSError, ValueError):
            return None

    def _of_stdin(self) -> bytes | None:
        """What was piped in, kept for `marked`."""
        if self._source is self.name:
            stdin = getattr(sys.stdin, "buffer", None)
            if stdin is None or stdin.isatty():
                return None
            self._source = io.BytesIO(stdin.read(_MAX_BYTES + 1))
            self._source.name = self.name
        data = self._source.getvalue()
        return data if 0 < len(data) <= _MAX_BYTES else None


class Warm:
    """A server that has the model which the user calls `model`, or that will once it is asked (server None)."""

    def __init__(
        self, model: str, server: Running | None, start: Callable[[], Running], keep: float | None, *, quiet: bool
    ) -> None:
        self._model, self._server, self._start, self._keep = model, server, start, keep
        self._gone, self._quiet = False, quiet

    def ask(self, picture: Picture, questions: list[str], **asked: Any) -> list[Ready] | None:
        """The questions, on their way to being answered; None where they are better asked without the server.

        asked: as in `vipcli.server.beside`. Warns as the straight line does. Raises `VipError` for what would fail
        there as well.
        """
        from vipcli.server.warm import Unable, ask_warm

        if self._gone:
            return None
        data = picture.data()
        if data is None:
            if self._server is None and not self._quiet:
                what = f"{quote(picture.name)} is no file here of up to {_MAX_BYTES // 2**20} MB"
                console.note(f"vip: --keep-alive: no server is started, since {what}")
            return None
        if self._server is None:
            _ = picture.marked  # what is wrong with it is said before a model is loaded
            self._server = self._start()
        try:
            reply = ask_warm(self._server, data, questions=questions, keep=self._keep, **asked)
        except Unable as unable:
            self._gone = unable.gone
            return None
        for doubt in reply.warnings:
            warnings.warn(VipWarning(doubt), stacklevel=2)
        return [Ready(self._model, prompt, lambda: reply.markers, reply.generation) for prompt in reply.prompts]


def warm_server(
    name: str,
    wanted: Mapping[str, str | None],
    markers: list[tuple[str | None, str]],
    *,
    keep: float | None,
    quiet: bool,
    verbose: bool,
) -> Warm | None:
    """The server that has the model called `name`, loaded as `wanted`; with `keep` one is started where none runs.

    keep: seconds for which it then stays without a question. None where there is none, or `markers` need files of here.
    """
    if any(_is_mask(kind, text) and not _BY_NUMBERS.fullmatch(text) for kind, text in markers):
        if keep is not None and not quiet:
            console.note("vip: --keep-alive: no server is started, since it couldn't read the file of the mask")
        return None
    its = name
    if name == "auto":  # not whether the 7B would fit beside the server that may have it already
        its = "7b" if may_have_7b() else "tiny"
    model = resolve(its)
    server = find(model, wanted)
    if server is None and (name, its) == ("auto", "7b"):  # which may be half there, or too large
        model = resolve(name)
        server = find(model, wanted)
    if server is None and keep is None:
        return None
    say_tiny(name, model.name == "tiny", quiet=quiet)
    if verbose and server is not None:
        where = " ".join(server.place.got.values())
        console.note(f"model: {model.name} on {where}, in a running server (pid {server.pid})")

    def started() -> Running:
        return start({"model": model.name, **wanted, "idle": f"{keep:.3f}s", "no_port": True}, quiet=quiet)

    return Warm(model.name, server, started, keep, quiet=quiet)


def _is_mask(kind: str | None, text: str) -> bool:
    return kind == "mask" or (kind is None and text.strip().lower().startswith("mask"))
