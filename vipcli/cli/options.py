"""Flags that commands share. The marker flags come from one table and keep their order on the command line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

__all__ = [
    "MARKER_FLAGS",
    "BatchSizeFlag",
    "BoxFormatFlag",
    "CoordsFlag",
    "DeviceFlag",
    "DeviceMapFlag",
    "DtypeFlag",
    "EngineFlag",
    "FitFlag",
    "LoadInFlag",
    "MarkerCommand",
    "MaxNewTokensFlag",
    "ModelFlag",
    "PromptStyleFlag",
    "SeedFlag",
    "SystemFlag",
    "TagsFlag",
    "TemperatureFlag",
    "TopPFlag",
    "marker_texts",
    "with_markers",
]

MARKER_FLAGS = {
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
"""Every marker flag: what it takes, and what it is, with an example. `vip chat` has a command for each."""

_META = "vipcli.markers"
_PANEL = "Markers, in any mix; in the question @1, @2 or @NAME"
_ANSWER, _MODEL = "Answer", "Model"

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
    typer.Option("--fit", metavar="MODE", help="To its square: pad (default), crop or stretch", rich_help_panel=_MODEL),
]

MaxNewTokensFlag = Annotated[
    int, typer.Option("--max-new-tokens", metavar="N", help="At most so many tokens, e.g. 64", rich_help_panel=_ANSWER)
]
TemperatureFlag = Annotated[
    float, typer.Option("--temperature", metavar="T", help="0 is greedy; 0.7 varies", rich_help_panel=_ANSWER)
]
TopPFlag = Annotated[
    float, typer.Option("--top-p", metavar="P", help="Draw from this share, e.g. 0.9", rich_help_panel=_ANSWER)
]
SeedFlag = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="Same draw again: 7", rich_help_panel=_ANSWER)
]
SystemFlag = Annotated[
    str | None,
    typer.Option("--system", metavar="TEXT", help='System line: "Answer briefly."', rich_help_panel=_ANSWER),
]
PromptStyleFlag = Annotated[
    str | None,
    typer.Option(
        "--prompt-style",
        metavar="NAME",
        help="auto, vip (###Human), llava-v1 (USER), chat-template",
        rich_help_panel=_ANSWER,
    ),
]
ModelFlag = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME", help="tiny, 7b, 13b, Hub id@revision, folder", rich_help_panel=_MODEL
    ),
]
EngineFlag = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="URL", help="Ask an OpenAI-compatible server (VIP_ENGINE)", rich_help_panel=_MODEL
    ),
]
DeviceFlag = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="auto, cuda, cuda:1, mps or cpu", rich_help_panel=_MODEL)
]
DtypeFlag = Annotated[
    str | None,
    typer.Option("--dtype", metavar="NAME", help="auto, float32, bfloat16, float16", rich_help_panel=_MODEL),
]
DeviceMapFlag = Annotated[
    str | None,
    typer.Option("--device-map", metavar="auto", help="auto: several GPUs and the CPU", rich_help_panel=_MODEL),
]
LoadInFlag = Annotated[
    str | None, typer.Option("--load-in", metavar="BITS", help="8bit or 4bit (bitsandbytes)", rich_help_panel=_MODEL)
]
BatchSizeFlag = Annotated[
    str,
    typer.Option(
        "--batch-size",
        metavar="N",
        help="Answered at a time; auto: as memory allows, a server 8",
        rich_help_panel=_MODEL,
    ),
]


class MarkerCommand(TyperCommand):
    """A command that remembers the order of its marker flags, which the values by flag would lose."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # The parser's `order` has one entry for every occurrence of a flag.
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        given = {kind: iter(values.get(kind) or ()) for kind in MARKER_FLAGS}
        ctx.meta[_META] = [(param.name, next(given[param.name])) for param in order if param.name in given]
        return super().parse_args(ctx, args)


def with_markers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command function the marker flags; it reads them with `marker_texts`."""
    hints = {
        kind: Annotated[list[str] | None, typer.Option(f"--{kind}", metavar=metavar, help=text, rich_help_panel=_PANEL)]
        for kind, (metavar, text) in MARKER_FLAGS.items()
    }

    @functools.wraps(command)
    def without(**arguments: Any) -> Any:
        return command(**{name: value for name, value in arguments.items() if name not in MARKER_FLAGS})

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
