"""The only place that prints: the answer on stdout, everything else on stderr, nothing that a terminal could obey."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vipcli.errors import MissingExtra, OutputError, UsageError, VipError, VipWarning, plain, quote

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Markdown

    from vipcli.engine import Answer, Generation

__all__ = [
    "ReaderGone",
    "can_preview",
    "complain",
    "doubts",
    "drop_stdout",
    "ended_by_ctrl_c",
    "is_live_stderr",
    "is_lively",
    "is_lively_stdout",
    "line",
    "lines",
    "need_preview",
    "note",
    "preview",
    "prompt",
    "show_markdown",
    "show_table",
    "status",
    "stderr_console",
    "stream_answer",
    "timings",
    "unexpected",
    "write",
]


class ReaderGone(Exception):
    """Whoever read standard output wants no more: the command ends in silence, with the code of a closed pipe."""


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


def prompt(text: str) -> None:
    """What asks for input, on stderr, since stdout is the answers' alone."""
    _stderr(plain(text), end="")


def timings(answer: Answer) -> None:
    """What an answer took, on stderr."""
    rate = answer.answer_tokens / answer.seconds if answer.seconds else 0
    note(
        f"{answer.prompt_tokens} prompt tokens, {answer.answer_tokens} answer tokens in {answer.seconds:.2f} s "
        f"({rate:.0f}/s), first after {answer.seconds_to_first or 0:.2f} s, ended by {answer.finish}"
    )


def line(text: str) -> None:
    """A line on stdout, with control characters made visible."""
    write(f"{plain(text)}\n")


def lines(text: str) -> None:
    """Lines on stdout, with control characters made visible; ends in one newline."""
    write(f"{plain(text, keep_newlines=True).rstrip()}\n")


def write(text: str) -> None:
    """Text on stdout as it is, at once. Raises `VipError` where it can't be written."""
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:  # the reader of a pipe has gone, as in `vip ask ... | head -1`
        raise ReaderGone from error
    except OSError as error:
        drop_stdout()
        raise OutputError(f"standard output can't be written: {error.strerror}") from error


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
    from rich.text import Text

    with _rich(stderr=True).status(Text(plain(text))):  # brackets in it are no markup
        yield


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C, and SIGTERM too, end the process at once while modules are imported, where Python may swallow it."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: object) -> None:
        if _lively(sys.stderr):
            _stderr("\x1b[?25h")  # the spinner has hidden the cursor
        os._exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stream_answer(generation: Generation, title: str | None = None, *, redraw: bool = True) -> None:
    """Write an answer on stdout as it comes: Markdown on a terminal, plain text elsewhere; ends in one newline.

    title: what it is the answer to, where there are several. redraw: False is plain text on a terminal too.
    """
    if redraw and _lively(sys.stdout):
        if title is not None:
            _rich(stderr=False).print(plain(title), style="bold", markup=False, emoji=False)
        _stream_markdown(generation)
        return
    head = "" if title is None else f"{plain(title)}: "
    begun = False
    pending = ""  # blanks at the end may turn out to be the answer's last
    try:
        for token in generation:
            text = plain(pending + token.text, keep_newlines=True)
            text = text if begun else text.lstrip()
            kept = text.rstrip()
            pending = text[len(kept) :]
            if kept:
                opening, begun = "" if begun else head, True  # before it is written: Ctrl-C may come in between
                write(f"{opening}{kept}")
    finally:  # an answer that failed or was interrupted before its first word leaves nothing
        if begun or generation.answer.finish != "interrupted":
            write("\n" if begun else f"{head}\n")


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
                live.update(_Tail(_markdown(text)), refresh=True)
    finally:  # an answer that was interrupted stays, as far as it came
        if text.strip() or generation.answer.finish != "interrupted":
            console.print(_markdown(text))


class _Tail:
    """The last lines of what is being written, as many as the screen holds: what has left it can't be redrawn."""

    def __init__(self, whole: Markdown) -> None:
        self._whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        lines = console.render_lines(self._whole, options, pad=False)
        for line in lines[-max(1, console.height - 1) :]:
            yield from line
            yield Segment.line()


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
        lines(text)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> None:
    """A table on stdout, for a terminal: the first column is of names, the others are of numbers."""
    from rich.table import Table
    from rich.text import Text

    screen = _rich(stderr=False)
    table = Table(title=Text(plain(title)), title_justify="left", title_style="bold", header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(Text(plain(column)), justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    screen.print(table)
    for note in notes:
        screen.print(Text(plain(note)), style="dim")


def is_lively_stdout() -> bool:
    """Whether colour and movement are welcome on standard output."""
    return _lively(sys.stdout)


def can_preview() -> bool:
    """Whether `preview` can show anything: the library is there, and every stream a terminal that it can ask."""
    import importlib.util

    return _all_lively() and importlib.util.find_spec("textual_image") is not None


def need_preview() -> None:
    """Raise `MissingExtra` before any work is done, where ``--show`` can't do what it is for."""
    import importlib.util

    if importlib.util.find_spec("textual_image") is None:
        raise MissingExtra("--show", "'vipcli[show]'")


def preview(picture: np.ndarray) -> None:
    """Show a picture in the terminal, on stderr, at most half as wide and two thirds as high as the screen."""
    if not can_preview():
        note("--show: no preview, since input and output aren't a terminal that can show pictures")
        return
    import logging

    from PIL import Image

    logging.getLogger("textual_image").setLevel(logging.CRITICAL)  # a terminal that doesn't answer is no news
    screen = _rich(stderr=True)
    columns, rows = screen.width / 2, screen.height * 2 / 3
    height, width, _ = picture.shape
    scale = min(columns / width, 2 * rows / height)  # a cell is about twice as high as wide
    try:
        from textual_image.renderable import Image as Renderable

        shown = Renderable(
            Image.fromarray(picture), width=max(1, int(width * scale)), height=max(1, int(height * scale / 2))
        )
        screen.print(shown)
    except Exception as error:  # it speaks with the terminal, and terminals say anything
        note(f"--show: no preview: {quote(str(error)) or type(error).__name__}")


def _all_lively() -> bool:
    return all(map(_lively, (sys.stdin, sys.stdout, sys.stderr)))


def is_lively() -> bool:
    """Whether input and output are a terminal on which lines may be edited and redrawn."""
    return _lively(sys.stdin) and _lively(sys.stdout)


def is_live_stderr() -> bool:
    """Whether something may move on standard error."""
    return _lively(sys.stderr)


def stderr_console() -> Console:
    """Rich's console for standard error, for what moves there."""
    return _rich(stderr=True)


def _lively(stream: Any) -> bool:
    """Whether colour and movement are welcome on `stream`."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def _rich(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def _stderr(text: str, end: str = "\n") -> None:
    try:
        sys.stderr.write(f"{text}{end}")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # it is closed, or nobody listens: that must not hide the exit code
        pass
