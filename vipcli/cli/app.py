"""The table of commands, and how their outcome becomes an exit code."""

from __future__ import annotations

from typing import Annotated

import typer

from vipcli import __version__
from vipcli.cli import ask, console, mark, models
from vipcli.cli.options import MarkerCommand
from vipcli.errors import UsageError

__all__ = ["app", "run"]

app = typer.Typer(
    name="vip",
    help="Point at things in a picture and ask about them.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: reads well to a screen reader, and takes half the time of panels
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all well, 1 failed, 2 wrong usage, 3 some of many failed, 130 interrupted.",
)
app.command("ask", cls=MarkerCommand)(ask.ask)
app.command("mark", cls=MarkerCommand)(mark.mark)
app.add_typer(models.app, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        console.line(f"vip {__version__}")
        raise typer.Exit


@app.callback()
def _vip(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    pass


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. Raises `VipError` for what a user did wrong."""
    # Typer's own way out prints panels; ours is one sentence.
    try:
        code = app(arguments or ["--help"], standalone_mode=False, prog_name="vip")
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = f"{context.command_path}: " if context else ""
        hint = f" (see {context.command_path} --help)" if context else ""
        raise UsageError(f"{where}{error.format_message().rstrip('.')}{hint}") from None
    except typer.Abort:
        return 130
    return code if isinstance(code, int) else 0
