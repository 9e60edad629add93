"""``vip mark``: draw markers on a picture and save it; no model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vipcli.cli import console
from vipcli.cli.inputs import keep_masks, mark_one, one_of, refuse_to_overwrite
from vipcli.cli.options import BoxFormatFlag, CoordsFlag, FitFlag, MarkerCommand, TagsFlag, marker_texts, with_markers
from vipcli.errors import ModelError, UsageError, quote

__all__ = ["add_to", "mark"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("mark", cls=MarkerCommand)(mark)


@with_markers
def mark(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A file, a URL or - (stdin)")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PATH", help="Where to: marked.png; - is stdout, as PNG")
    ],
    coords: CoordsFlag = "pixels",
    box_format: BoxFormatFlag = "xyxy",
    tags: TagsFlag = False,
    as_model_sees_it: Annotated[
        bool, typer.Option("--as-model-sees-it", help="Write exactly the pixels that the model gets")
    ] = False,
    fit: FitFlag = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="NAME", help="Whose square: tiny, 7b, a folder ...")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Preview it in the terminal")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Errors only")] = False,
) -> None:
    """Draw markers on a picture.

    \b
    vip mark street.jpg --box 40,30,200,180 --arrow 20,20,120,80@blue -o marked.png
    """
    if not as_model_sees_it and (fit is not None or model is not None):
        raise UsageError("--fit and --model belong to --as-model-sees-it")
    if show:
        console.need_preview()
    if not output:
        raise UsageError("--output: the path is empty")
    if output != "-":
        refuse_to_overwrite("--output", [Path(output)], [image])
    with console.doubts(strict=strict, quiet=quiet):
        marked = mark_one(image, marker_texts(ctx), coords, box_format, tags)
        picture = marked.picture
        if output != "-":
            keep_masks("--output", output, marked.markers)
        if as_model_sees_it:
            from vipcli.config import load_settings
            from vipcli.engine import MODELS, input_square, located, resolve
            from vipcli.images import fit as fit_picture
            from vipcli.markers import warn_if_unseen

            settings = load_settings()
            mode = one_of("--fit", fit or settings.fit, ("pad", "crop", "stretch"))
            name = model or settings.model
            if name == "auto":  # which one `auto` takes depends on free memory: no basis for exact pixels
                if located(MODELS["7b"]) is not None:
                    raise UsageError("--as-model-sees-it: say whose square you mean: --model tiny or --model 7b")
                name = "tiny"
            square = input_square(resolve(name))
            if square is None:
                raise ModelError(f"{quote(name)} takes pictures of any shape: it sees the marked picture as it is")
            fitted = fit_picture(picture, square.side, mode)  # type: ignore[arg-type]
            warn_if_unseen(marked.markers, marked.size, fitted, square.patch)
            picture = fitted.picture
        from vipcli.images import save_picture

        save_picture(picture, output)
        if show:
            console.preview(picture)
