"""The table of commands, and how their outcome becomes an exit code."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Annotated

import typer

from vipcli import __version__
from vipcli.cli import console
from vipcli.errors import UsageError

__all__ = ["COMMANDS", "run"]

COMMANDS = ("ask", "batch", "bench", "chat", "eval", "mark", "models", "pick", "serve", "train")
"""The commands, each in the file of its name, whose ``add_to(app)`` registers it."""


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. Raises `VipError` for what a user did wrong."""
    # Only the command that is named is imported; help, completion and a misspelt name need all of them.
    app = _app(arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS)
    # Typer's own way out prints panels; ours is one sentence.
    try:
        code = app(arguments or ["--help"], standalone_mode=False, prog_name="vip")
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path.removeprefix("vip").strip() if context else ""
        where = f"{command}: " if command else ""
        hint = f" (see {context.command_path} --help)" if context else ""
        raise UsageError(f"{where}{error.format_message().rstrip('.')}{hint}") from None
    except typer.Abort:
        return 130
    except SystemExit as end:  # typer's own way out where nobody reads any more
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        raise
    return code if isinstance(code, int) else 0


def _app(commands: Collection[str]) -> typer.Typer:
    app = typer.Typer(
        name="vip",
        help="Point at things in a picture and ask about them.",
        pretty_exceptions_enable=False,
        add_completion=len(commands) > 1,  # its flags belong to `vip` alone
        rich_markup_mode=None,  # plain help: reads well to a screen reader, and takes half the time of panels
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit codes: 0 all well, 1 failed, 2 wrong usage, 3 some of many failed, 130 interrupted.",
    )
    app.callback()(_vip)
    for name in commands:
        importlib.import_module(f"vipcli.cli.{name}").add_to(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        console.line(f"vip {__version__}")
        raise typer.Exit


def _vip(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    pass
