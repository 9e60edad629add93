"""The only place that prints: the answer on stdout, everything else on stderr, nothing that a terminal could obey."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vipcli.errors import UsageError, VipError, VipWarning, plain, quote

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console
    from rich.markdown import Markdown

    from vipcli.engine import Generation

__all__ = [
    "complain",
    "doubts",
    "drop_stdout",
    "line",
    "note",
    "preview",
    "show_markdown",
    "status",
    "stream_answer",
    "unexpected",
    "write",
]


def complain(error: VipError, about: str | None = None) -> None:
    """One sentence on stderr; the traceback before it where ``VIP_DEBUG`` is set.

    about: the picture that it is about, where there are several.
    """
    if os.environ.get("VIP_DEBUG"):
        import traceback

        _stderr("".join(traceback.format_exception(error)))
    sentence = plain(str(error))
    prefix = f"{plain(about)}: " if about is not None and quote(about) not in sentence else ""
    _stderr(f"vip: {prefix}{sentence}")


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
    """Text on stdout as it is, at once. Raises `VipError` where it can't be written."""
    if sys.stdout is None:
        raise VipError("standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_stdout()
        raise VipError(f"standard output can't be written: {error.strerror}") from error


def drop_stdout() -> None:
    """Send what is still buffered nowhere, or Python would complain about it once more on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def doubts(*, strict: bool, quiet: bool, about: str | None = None) -> Iterator[None]:
    """Print every `VipWarning` once on stderr; with `strict` it is a `UsageError`, with `quiet` it is left out.

    about: the picture that the doubts are about, where there are several.
    """
    seen: set[str] = set()
    prefix = f"{plain(about)}: " if about is not None else ""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, VipWarning) and str(message) not in seen:
            seen.add(str(message))
            if not quiet:
                _stderr(f"vip: warning: {prefix}{plain(str(message))}")

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
    begun = False
    pending = ""  # blanks at the end may turn out to be the answer's last
    try:
        for token in generation:
            text = plain(pending + token.text, keep_newlines=True)
            text = text if begun else text.lstrip()
            kept = text.rstrip()
            pending = text[len(kept) :]
            if kept:
                begun = True
                write(kept)
    finally:  # an answer that was interrupted before its first word leaves nothing
        if begun or title is not None or generation.answer.finish != "interrupted":
            write("\n")


def _stream_markdown(generation: Generation) -> None:
    """Finished blocks are printed for good and only the last one is redrawn, so that long answers don't flicker."""
    from rich.live import Live

    console = _rich(stderr=False)
    text = ""
    try:
        with Live(console=console, auto_refresh=False, vertical_overflow="visible", transient=True) as live:
            for token in generation:
                text += token.text
                done, text = _split_finished(text)
                if done:
                    live.console.print(_markdown(done))
                live.update(_markdown(text), refresh=True)
    finally:  # an answer that was interrupted stays, as far as it came
        if text.strip() or generation.answer.finish != "interrupted":
            console.print(_markdown(text))


def _markdown(text: str) -> Markdown:
    """Foreign Markdown as a renderable that shows the addresses of its links instead of hiding them behind words."""
    from rich.markdown import Markdown

    return Markdown(plain(text.strip(), keep_newlines=True), hyperlinks=False)


def _split_finished(text: str) -> tuple[str, str]:
    """Cut behind the last empty line that isn't inside a code fence or a list."""
    head, gap, tail = text.rpartition("\n\n")
    if not gap or head.count("```") % 2 or not tail.strip() or tail[0] in " \t-*+0123456789":
        return "", text
    return head, tail


def show_markdown(text: str) -> None:
    """A text on stdout: rendered on a terminal, as it is in a pipe."""
    if _lively(sys.stdout):
        _rich(stderr=False).print(_markdown(text))
    else:
        write(f"{plain(text, keep_newlines=True).rstrip()}\n")


def preview(picture: np.ndarray) -> None:
    """Show a picture in the terminal, on stderr, where that is one that can."""
    if not _lively(sys.stderr):
        note("--show: no preview, since stderr is no terminal")
        return
    try:
        from textual_image.renderable import Image as Renderable
    except ImportError:
        from vipcli.errors import MissingExtra

        raise MissingExtra("--show", "textual-image") from None
    from PIL import Image

    _rich(stderr=True).print(Renderable(Image.fromarray(picture), width="50%", height="auto"))


def _lively(stream: Any) -> bool:
    """Whether colour and movement are welcome on `stream`."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def _rich(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def _stderr(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody listens, which must not hide the exit code
        pass
