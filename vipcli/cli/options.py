"""Flags that commands share. The marker flags come from one table and keep their order on the command line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

__all__ = ["BoxFormatFlag", "CoordsFlag", "FitFlag", "MarkerCommand", "TagsFlag", "marker_texts", "with_markers"]

_FLAGS = {
    "box": ("X1,Y1,X2,Y2", "Rectangle: 40,30,200,180 or dog=40,30,200,180@blue"),
    "ellipse": ("X1,Y1,X2,Y2", "Ellipse in that box: 10%,20%,50%,60%"),
    "point": ("X,Y", "Dot: 120,80@red,width=5"),
    "arrow": ("X1,Y1,X2,Y2", "From tail to tip: 20,20,120,80"),
    "triangle": ("X,Y,X,Y,X,Y", "Three corners: 60,40,90,90,30,90"),
    "contour": ("X,Y,X,Y,...", "Closed outline: 10,10,90,10,50,80"),
    "mask": ("X,Y,...|FILE", "Filled region: cat=cat.png@red,alpha=0.3"),
    "scribble": ("X,Y,X,Y,...", "Free line: 10,10,40,60,90,20"),
    "tag": ("X,Y", "Plate with a name (not trained on): 7=120,80"),
    "marker": ("SHAPE:...", "Any of these as one text: arrow:20,20,120,80"),
}
_META = "vipcli.markers"
_PANEL = "Markers, in any mix; in the question @1, @2 or @NAME"

CoordsFlag = Annotated[
    str,
    typer.Option(
        "--coords",
        metavar="UNIT",
        help="pixels, relative (0..1) or thousandths",
        rich_help_panel=_PANEL,
    ),
]
BoxFormatFlag = Annotated[
    str,
    typer.Option("--box-format", metavar="FORMAT", help="xyxy, xywh or cxcywh", rich_help_panel=_PANEL),
]
TagsFlag = Annotated[bool, typer.Option("--tags", help="Number every marker with a plate", rich_help_panel=_PANEL)]
FitFlag = Annotated[
    str | None,
    typer.Option(
        "--fit", metavar="MODE", help="To its square: pad (default), crop or stretch", rich_help_panel="Model"
    ),
]


class MarkerCommand(TyperCommand):
    """A command that remembers the order of its marker flags, which the values by flag would lose."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # The parser's `order` has one entry for every occurrence of a flag.
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        given = {kind: iter(values.get(kind) or ()) for kind in _FLAGS}
        ctx.meta[_META] = [(param.name, next(given[param.name])) for param in order if param.name in given]
        return super().parse_args(ctx, args)


def with_markers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command function the marker flags; it reads them with `marker_texts`."""
    hints = {
        kind: Annotated[list[str] | None, typer.Option(f"--{kind}", metavar=metavar, help=text, rich_help_panel=_PANEL)]
        for kind, (metavar, text) in _FLAGS.items()
    }

    @functools.wraps(command)
    def without(**arguments: Any) -> Any:
        return command(**{name: value for name, value in arguments.items() if name not in _FLAGS})

    signature = inspect.signature(command, eval_str=True)
    flags = [
        inspect.Parameter(kind, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for kind, hint in hints.items()
    ]
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()]
    setattr(without, "__signature__", signature.replace(parameters=[*own[:2], *flags, *own[2:]]))  # noqa: B010
    without.__annotations__ = {**{p.name: p.annotation for p in own}, **hints}
    return without


def marker_texts(ctx: typer.Context) -> list[tuple[str | None, str]]:
    """The marker flags as typed: (kind, text) pairs in order; kind None where the text itself says the shape."""
    return [(None if kind == "marker" else kind, text) for kind, text in ctx.meta.get(_META, [])]
