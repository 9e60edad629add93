"""``vip pick``: draw markers on a picture with the mouse, and print them as flags; no model is loaded."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import PurePath
from typing import Annotated

import typer

from vipcli.cli import console
from vipcli.errors import MissingExtra

__all__ = ["add_to", "pick"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("pick")(pick)


def pick(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A file, a URL or - (stdin)")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of markers as JSON, not flags")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only say the page's address")] = False,
) -> None:
    """Draw markers on a picture with mouse or finger, and print them as flags.

    \b
    vip ask img.jpg $(vip pick img.jpg) "What is this?"
    """
    if not all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn")):
        raise MissingExtra("vip pick", "'vipcli[serve]'")
    from vipcli.images import open_picture
    from vipcli.markers import render
    from vipcli.server.picking import pick as picked

    picture = open_picture(image)
    name = "picture" if image == "-" else PurePath(image).name or image

    def ready(address: str) -> None:
        console.note(f"draw on the page, then press Done (Ctrl-C gives up): {address}")
        if not no_browser:
            _open(address)

    texts = [render(marker) for marker in picked(picture, name, ready)]
    if as_json:
        console.line(json.dumps(texts, ensure_ascii=False))
    else:
        console.line(" ".join(f"--{text.replace(':', ' ', 1)}" for text in texts))


def _open(address: str) -> None:
    """Show the page in the user's browser, which must not hold our standard output open: a shell waits for its end."""
    nowhere = subprocess.DEVNULL
    command = [sys.executable, "-P", "-m", "webbrowser", address]  # not one of the current folder
    subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)
