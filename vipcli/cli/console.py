"""The only place that prints: the answer on stdout, everything else on stderr, nothing that a terminal could obey."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vipcli.errors import UsageError, VipError, VipWarning, plain

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from vipcli.engine import Generation

__all__ = [
    "complain",
    "doubts",
    "line",
    "note",
    "preview",
    "show_markdown",
    "status",
    "stream_answer",
    "unexpected",
    "write",
]


def complain(error: VipError) -> None:
    """One sentence on stderr."""
    _stderr(f"vip: {plain(str(error))}")


def unexpected(error: Exception) -> None:
    """A fault of vip's own: said in one line, with the way to see more."""
    text = " ".join(str(error).split())
    _stderr(f"vip: unexpected {type(error).__name__}: {plain(text)[:300]} (VIP_DEBUG=1 shows where; please report it)")


def note(text: str) -> None:
    """A remark on stderr."""
    _stderr(plain(text))


def line(text: str) -> None:
    """A line on stdout, with control characters made visible."""
    write(f"{plain(text)}\n")


def write(text: str) -> None:
    """Text on stdout as it is, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def doubts(*, strict: bool, quiet: bool) -> Iterator[None]:
    """Print every `VipWarning` once on stderr; with `strict` it is an error, with `quiet` it is left out."""
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, VipWarning) and str(message) not in seen:
            seen.add(str(message))
            if not quiet:
                _stderr(f"vip: warning: {plain(str(message))}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error" if strict else "always", VipWarning)
        warnings.showwarning = show
        try:
            yield
        except VipWarning as doubt:
            raise UsageError(f"{doubt} (--strict)") from None


@contextmanager
def status(text: str, *, quiet: bool) -> Iterator[None]:
    """A spinner on stderr while something takes long; nothing unless it is a terminal."""
    if quiet or not _lively(sys.stderr):
        yield
        return
    with _rich(stderr=True).status(plain(text)):
        yield


def stream_answer(generation: Generation, title: str | None = None) -> None:
    """Write an answer on stdout as it comes: Markdown on a terminal, plain text elsewhere; ends in one newline.

    title: what it is the answer to, where there are several.
    """
    if _lively(sys.stdout):
        if title is not None:
            _rich(stderr=False).print(plain(title), style="bold", markup=False)
        _stream_markdown(generation)
        return
    if title is not None:
        write(f"{plain(title)}: ")
    started = False
    pending = ""  # blanks at the end may turn out to be the answer's last
    try:
        for token in generation:
            text = plain(pending + token.text, keep_newlines=True)
            text = text if started else text.lstrip()
            kept = text.rstrip()
            pending = text[len(kept) :]
            if kept:
                started = True
                write(kept)
    finally:
        write("\n")


def _stream_markdown(generation: Generation) -> None:
    """Finished blocks are printed for good and only the last one is redrawn, so that long answers don't flicker."""
    from rich.live import Live
    from rich.markdown import Markdown

    console = _rich(stderr=False)
    text = ""
    with Live(console=console, auto_refresh=False, vertical_overflow="visible", transient=True) as live:
        try:
            for token in generation:
                text += token.text
                done, text = _split_finished(text)
                if done:
                    live.console.print(Markdown(plain(done, keep_newlines=True)))
                live.update(Markdown(plain(text.strip(), keep_newlines=True)), refresh=True)
        finally:
            live.update("", refresh=True)
    if text.strip() or not generation.answer.text:
        console.print(Markdown(plain(text.strip(), keep_newlines=True)))


def _split_finished(text: str) -> tuple[str, str]:
    """Cut behind the last empty line that isn't inside a code fence or a list."""
    head, gap, tail = text.rpartition("\n\n")
    if not gap or head.count("```") % 2 or not tail.strip() or tail[0] in " \t-*+0123456789":
        return "", text
    return head, tail


def show_markdown(text: str) -> None:
    """A text on stdout: rendered on a terminal, as it is in a pipe."""
    text = plain(text, keep_newlines=True)
    if _lively(sys.stdout):
        from rich.markdown import Markdown

        _rich(stderr=False).print(Markdown(text))
    else:
        write(f"{text.rstrip()}\n")


def preview(picture: np.ndarray) -> None:
    """Show a picture in the terminal, on stderr, where that is one that can."""
    if not _lively(sys.stderr):
        note("--show: no preview, since stderr is no terminal")
        return
    try:
        from textual_image.renderable import Image as Renderable
    except ImportError:
        from vipcli.errors import MissingExtra

        raise MissingExtra("--show needs textual-image", "show") from None
    from PIL import Image

    _rich(stderr=True).print(Renderable(Image.fromarray(picture), width="50%", height="auto"))


def _lively(stream: Any) -> bool:
    """Whether colour and movement are welcome on `stream`."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _rich(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def _stderr(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody listens, which must not hide the exit code
        pass
