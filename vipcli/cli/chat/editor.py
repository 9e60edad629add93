"""The user's own editor, on a text."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path

from vipcli.errors import UsageError, VipError, quote

__all__ = ["edited"]


def edited(text: str) -> str:
    """Open `text` in ``$VISUAL`` or ``$EDITOR`` and return what the user made of it, without surrounding blanks.

    Raises `UsageError` where neither is set, `VipError` where the editor fails or leaves something unreadable.
    """
    command = (os.environ.get("VISUAL") or "").strip() or (os.environ.get("EDITOR") or "").strip()
    if not command:
        raise UsageError("/edit: no editor is known; name one: EDITOR=nano vip chat ...")
    before = signal.getsignal(signal.SIGINT)
    try:
        with tempfile.TemporaryDirectory(prefix="vip-") as folder:
            file = Path(folder) / "question.txt"
            file.write_text(text, encoding="utf-8", errors="replace")
            # Ctrl-C is the editor's while it runs; a function, unlike SIG_IGN, isn't inherited by it.
            signal.signal(signal.SIGINT, lambda *_: None)
            done = subprocess.run([*shlex.split(command), str(file)])
            if done.returncode:
                raise VipError(f"/edit: {quote(command)} ended with code {done.returncode}, so nothing was asked")
            if not file.is_file():
                raise VipError(f"/edit: {quote(command)} left no text, so nothing was asked")
            return file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise VipError(f"/edit: the text is no UTF-8 (byte {error.start}), so nothing was asked") from None
    except OSError as error:
        raise VipError(f"/edit: {quote(command)} can't be used: {error.strerror}") from error
    except ValueError as error:  # quotes in the command that don't close
        raise VipError(f"/edit: {quote(command)}: {quote(str(error))}") from error
    finally:
        signal.signal(signal.SIGINT, before)
