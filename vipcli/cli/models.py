"""``vip models``: which models there are, what they are, where they lie, and fetching them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vipcli.cli import console
from vipcli.engine import MODELS, Model, card, located, pull, resolve, size_on_disk
from vipcli.errors import ModelError, quote

__all__ = ["add_to"]

_app = typer.Typer(help="List, show and fetch models.", no_args_is_help=False)


def add_to(app: typer.Typer) -> None:
    """Register the command and what stands below it."""
    app.add_typer(_app, name="models")


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="tiny, 7b, 13b, a Hub id[@revision] or a folder")]


@_app.callback(invoke_without_command=True)
def models(ctx: typer.Context) -> None:
    """List the models by name: vip models"""
    if ctx.invoked_subcommand is None:
        for model in MODELS.values():
            here = "here" if located(model) else f"{model.gigabytes:g} GB to fetch"
            console.line(f"{model.name:5} {here:17} {model.about}")


@_app.command("show")
def show(name: NameArgument) -> None:
    """Say what a model is and knows: vip models show tiny"""
    model = resolve(name)
    folder = _located(model)
    if folder is None:
        console.line(f"{model.name}: not on this machine")
        if model.about:
            console.line(model.about)
        console.line(f"fetch it with: vip models pull {model.name}")
        return
    console.line(f"{model.name}: {folder} ({size_on_disk(folder) / 1e6:,.1f} MB)")
    if model.about:
        console.line(model.about)
    if text := card(folder):
        console.show_markdown(text)


@_app.command("pull")
def pull_(name: NameArgument) -> None:
    """Fetch a model from the Hub into its cache; half a download goes on: vip models pull 7b"""
    model = resolve(name)
    _located(model)
    console.line(str(pull(model)))


@_app.command("path")
def path(name: NameArgument) -> None:
    """Print the folder of a model that is on this machine: vip models path tiny"""
    folder = _located(resolve(name))
    if folder is None:
        raise ModelError(f"{quote(name)} isn't on this machine; get it with: vip models pull {quote(name)}")
    console.line(str(folder))


def _located(model: Model) -> Path | None:
    """The folder of a model, None where it isn't here. Raises `ModelError` for a folder that holds something else."""
    folder = located(model)
    if folder is not None and not os.path.isfile(folder / "config.json"):
        raise ModelError(f"{quote(str(folder))} holds no model: it has no config.json")
    return folder
