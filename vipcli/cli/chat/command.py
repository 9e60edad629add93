"""``vip chat``: the command line that starts a conversation with a picture."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from vipcli.cli import console
from vipcli.cli.inputs import answer_options, check_units, open_one, open_wanted, prompt_style_of, server_address
from vipcli.cli.options import (
    BoxFormatFlag,
    CoordsFlag,
    DeviceFlag,
    DeviceMapFlag,
    DtypeFlag,
    EngineFlag,
    FitFlag,
    LoadInFlag,
    MarkerCommand,
    MaxNewTokensFlag,
    ModelFlag,
    PromptStyleFlag,
    SeedFlag,
    SystemFlag,
    TemperatureFlag,
    TopPFlag,
    marker_texts,
    with_markers,
)
from vipcli.errors import UsageError

if TYPE_CHECKING:
    from vipcli.cli.chat.state import Chat

__all__ = ["add_to", "chat"]

_OUTPUT = "Output"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("chat", cls=MarkerCommand)(chat)


@with_markers
def chat(
    ctx: typer.Context,
    image: Annotated[
        str | None, typer.Argument(metavar="[IMAGE]", help="A file or a URL; /image shows another")
    ] = None,
    coords: CoordsFlag = "pixels",
    box_format: BoxFormatFlag = "xyxy",
    max_new_tokens: MaxNewTokensFlag = 512,
    temperature: TemperatureFlag = 0.0,
    top_p: TopPFlag = 1.0,
    seed: SeedFlag = None,
    system: SystemFlag = None,
    prompt_style: PromptStyleFlag = None,
    model: ModelFlag = None,
    engine: EngineFlag = None,
    device: DeviceFlag = None,
    dtype: DtypeFlag = None,
    device_map: DeviceMapFlag = None,
    load_in: LoadInFlag = None,
    fit: FitFlag = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Redraw nothing: for screen readers", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Answers, what you ask for and errors only", rich_help_panel=_OUTPUT)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Model, prompts and timings on stderr", rich_help_panel=_OUTPUT)
    ] = False,
) -> int:
    """Talk about a picture; /help lists what else can be typed, Ctrl-D leaves.

    vip chat street.jpg --box dog=40,30,200,180

    Piped questions are answered line by line. Exit code: 0; 3 where some lines failed; an error's own where all did.
    """
    from vipcli.chat import ChatSession
    from vipcli.cli.chat.loop import converse
    from vipcli.cli.chat.state import Chat
    from vipcli.config import load_settings
    from vipcli.pointing import mark

    settings = load_settings()
    style = prompt_style_of(settings, prompt_style)
    numbers = answer_options(
        settings, fit, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
    )
    check_units(coords, box_format)
    server = server_address(engine, model, settings)
    texts = marker_texts(ctx)
    if image == "-":
        raise UsageError("-: standard input has the questions, so the picture must be a file or an address")
    if image is None and texts:
        raise UsageError("markers need a picture: name it first")
    interactive = sys.stdin is not None and sys.stdin.isatty()
    with console.doubts(strict=False, quiet=quiet):
        picture, markers = (None, []) if image is None else open_one(image, texts, coords, box_format)
        if picture is not None:
            markers = list(mark(picture, markers).markers)  # what is wrong with them is said before the model loads
        placing = {"device": device, "dtype": dtype, "device_map": device_map, "load_in": load_in}
        opened = open_wanted(server, model, settings, placing, quiet=quiet, verbose=verbose, still=plain)
        session = ChatSession(opened, system, style, numbers)
        if picture is not None and image is not None:
            session.show(picture, image, markers)
        state = Chat(
            session,
            coords=coords,
            box_format=box_format,
            interactive=interactive,
            redraw=interactive and not plain and console.is_lively(),
            quiet=quiet,
            verbose=verbose,
        )
        return converse(state, _reader(state))


def _reader(state: Chat) -> Callable[[], str]:
    """What reads one entry: an editor on a terminal that may be redrawn, else plain lines."""
    if state.redraw:
        from vipcli.cli.chat.terminal import reader

        return reader(state.session)
    from vipcli.cli.chat.lines import whole

    return lambda: whole(asking=state.interactive)
