"""``vip serve``: a model loaded once, asked from anywhere: a page to draw on, and OpenAI's API."""

from __future__ import annotations

import contextlib
import gc
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from vipcli.cli import console
from vipcli.cli.inputs import one_of, open_model, prompt_style_of
from vipcli.cli.options import DeviceFlag, DeviceMapFlag, DtypeFlag, FitFlag, LoadInFlag, ModelFlag, PromptStyleFlag
from vipcli.errors import MissingExtra, UsageError, VipError, quote

__all__ = ["add_to", "serve"]

_SAFETY, _ALONE = "Who may ask, and about what", "Without you"
_PORT = 8765
_NEEDED = ("fastapi", "prometheus_client", "uvicorn")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("serve")(serve)


def serve(
    model: ModelFlag = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Listen here; beyond 127.0.0.1 it needs a token")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option("--port", metavar="N", help="8765; 0 takes any that is free")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", metavar="TEXT", envvar="VIP_SERVE_TOKEN", help="What clients must know", rich_help_panel=_SAFETY
        ),
    ] = None,
    allow_url: Annotated[
        bool, typer.Option("--allow-url", help="Fetch pictures from public addresses", rich_help_panel=_SAFETY)
    ] = False,
    allow_dir: Annotated[
        Path | None,
        typer.Option("--allow-dir", metavar="DIR", help="Read pictures below this folder", rich_help_panel=_SAFETY),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="One more name it is called by", rich_help_panel=_SAFETY),
    ] = None,
    device: DeviceFlag = None,
    dtype: DtypeFlag = None,
    device_map: DeviceMapFlag = None,
    load_in: LoadInFlag = None,
    fit: FitFlag = None,
    prompt_style: PromptStyleFlag = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="A line on stderr for each request: its size and time")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Errors only")] = False,
    background: Annotated[
        bool, typer.Option("--background", help="Start it by itself, and leave once it answers", rich_help_panel=_ALONE)
    ] = False,
    idle: Annotated[
        str | None,
        typer.Option(
            "--idle", metavar="TIME", help="End after so long (10m) without a question", rich_help_panel=_ALONE
        ),
    ] = None,
    no_port: Annotated[
        bool, typer.Option("--no-port", help="For this user's vip ask alone", rich_help_panel=_ALONE)
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Show this user's servers", rich_help_panel=_ALONE)] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End them, once they have answered", rich_help_panel=_ALONE)
    ] = False,
    must_be_found: Annotated[bool, typer.Option("--must-be-found", hidden=True)] = False,
) -> int:
    """Answer on the network: a page to draw on, and OpenAI's API.

    \b
    vip serve --model 7b
    vip serve --host 0.0.0.0 --token "$(openssl rand -hex 16)"
    """
    import importlib.util
    from urllib.parse import quote as quoted

    from vipcli.cli import background as others

    if status and stop:
        raise UsageError("--status and --stop: one of them")
    if no_port and port is not None:
        raise UsageError(f"--no-port and --port {port}: one of them")
    if status or stop:
        return others.show_running() if status else others.stop_running(quiet=quiet)
    if not all(map(importlib.util.find_spec, _NEEDED)):
        raise MissingExtra("vip serve", "'vipcli[serve]'")
    idle_seconds = None if idle is None else others.seconds_of("--idle", idle)
    if background:
        where = {"host": host, "port": port, "allow_url": allow_url, "allow_dir": allow_dir, "allow_host": allow_host}
        placing = {"device": device, "dtype": dtype, "device_map": device_map, "load_in": load_in}
        asked = {"fit": fit, "prompt_style": prompt_style, "idle": idle, "no_port": no_port}
        server = others.start({"model": model, **where, **placing, **asked}, token=token, quiet=quiet)
        if not quiet:
            others.say_started(server)
        return 0
    from vipcli.config import load_settings, runtime_folder
    from vipcli.engine import identity, is_address, resolve
    from vipcli.server import Beside, Helpers, Options, announced, listen, place_of

    settings = load_settings()
    name = model or settings.model
    if is_address(name):
        raise UsageError(f"--model {quote(name)}: that is a server already; ask it with vip ask --model")
    options = Options(
        host=host,
        token=token,
        allow_url=allow_url,
        allow_dir=allow_dir,
        allow_host=tuple(allow_host or ()),
        aliases=tuple(filter(None, [resolve(name).repo])),
        fit=one_of("--fit", fit or settings.fit, ("pad", "crop", "stretch")),  # type: ignore[arg-type]
        prompt_style=prompt_style_of(settings, prompt_style),
        log=console.note if verbose else None,
    )
    weights = identity(resolve(name))
    # Before the model is loaded, which may take minutes.
    listening = None if no_port else listen(host, _PORT if port is None else port)
    helpers = Helpers()
    try:
        helpers.begin()  # beside the model's loading
        loaded_as: dict[str, Any] = {
            "device": device or settings.device,
            "dtype": dtype or settings.dtype,
            "device_map": device_map,
            "load_in": load_in,
        }
        # Threads of OpenMP's that wait for the next product spin, 300,000 turns by themselves, in which the loop, that
        # hands the first token on, may find no core: on two it adds 6 ms to `tiny` then, and 4.5 with so many turns.
        if "OMP_WAIT_POLICY" not in os.environ:
            os.environ.setdefault("GOMP_SPINCOUNT", "10000")
        engine = open_model(name, quiet=quiet, verbose=verbose, **loaded_as)
        from vipcli.server import create_app
        from vipcli.server import serve as answer

        app = create_app(engine, options, helpers)
        with contextlib.ExitStack() as stack:
            try:
                place = place_of(weights or name, engine, **loaded_as)
                url = None if listening is None else listening.url
                sock, secret = stack.enter_context(announced(runtime_folder(), engine.name, place, url))
            except VipError as error:
                if listening is None or must_be_found:
                    raise
                if idle_seconds is not None:
                    raise UsageError(
                        f"--idle is for servers that vip ask finds, which it won't this one: {error}"
                    ) from None
                sock = None
                if not quiet:
                    console.note(f"vip: vip ask won't find this server: {error}")
            if not quiet:
                # The way in stays off a log file.
                way_in = f"?token={quoted(token, safe='')}" if token and console.is_live_stderr() else ""
                whom = f"at {listening.url}{way_in}" if listening else "this user's vip ask"
                console.note(f"vip: {engine.name} answers {whom} (Ctrl-C stops it)")
            # A request leaves cycles that hold its picture: rarely collected, as `program` has it, they are a leak.
            gc.freeze()
            gc.set_threshold(700, 10, 10)
            if sock is None:
                answer(app, listening, options)
            else:
                both = Beside(app, engine, secret, idle_seconds)
                answer(both, listening, options, both.ready, [sock])
    finally:
        helpers.end()
        if listening is not None:
            listening.close()
    return 0
