"""``vip bench``: what answering costs on this machine, beside the plain transformers script and beside the floor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from vipcli.cli import console
from vipcli.cli.options import DeviceFlag, DtypeFlag
from vipcli.errors import UsageError

if TYPE_CHECKING:
    from vipcli.benchmark import Row

__all__ = ["add_to", "bench"]

_ROUNDS = 5
_WIDTHS = (11, 14, 8, 11, 10)
_HEAD = ("vip", "plain script", "gain", "floor", "of floor")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("bench")(bench)


def bench(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="tiny (default), 7b, a folder ...")] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="NAME", help="Random weights instead: small, 7b or 13b")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help=f"Both sides {_ROUNDS} times in turn; medians and ratios")
    ] = False,
    server: Annotated[
        bool, typer.Option("--server", help="What vip serve gives: warm asks, one client and 32")
    ] = False,
    device: DeviceFlag = None,
    dtype: DtypeFlag = None,
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object a line for each row")] = False,
) -> None:
    """Measure each step of an answer beside the plain transformers script and beside the floor.

    \b
    vip bench --config small --compare
    """
    if model is not None and config is not None:
        raise UsageError("vip bench: a model or --config, not both")
    if server:
        if config is not None or device is not None or dtype is not None:
            raise UsageError("vip bench --server: a model's name and --compare alone")
        _bench_server(model or "tiny", _ROUNDS if compare else 3, json_lines)
        return
    from vipcli.benchmark import measure, sides_of_config, sides_of_model
    from vipcli.config import load_settings

    settings = load_settings()
    device, dtype = device or settings.device, dtype or settings.dtype
    sides = sides_of_config(config, device, dtype) if config else sides_of_model(model or "tiny", device, dtype)
    if not json_lines:
        its = sides.model
        what = f"{sides.engine.name}, {its.device}, {str(its.dtype).removeprefix('torch.')}"
        console.line(_aligned((what, *_HEAD)))
    for row in measure(sides, _ROUNDS if compare else 1):
        console.line(_json(row) if json_lines else _aligned(_cells(row)))


def _bench_server(model: str, rounds: int, json_lines: bool) -> None:
    from vipcli.benchmark import measure_server

    if not json_lines:
        console.line(_aligned((f"{model}, served", "served", "beside", "gain", "floor", "of floor")))
    for row in measure_server(model, rounds):
        console.line(_json(row) if json_lines else _aligned(_cells(row)))


def _cells(row: Row) -> tuple[str, ...]:
    ratios = (f"{ratio:.2f}x" if ratio is not None else "-" for ratio in (row.gain, row.of_floor))
    gain, of_floor = ratios
    ours, plain, floor = (_amount(value, row.unit) for value in (row.ours, row.plain, row.floor))
    return row.name, ours, plain, gain, floor, of_floor


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "s":
        return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"
    return f"{value:,.0f} MB" if unit == "MB" else f"{value:,.1f}/s"


def _aligned(cells: tuple[str, ...]) -> str:
    return "".join([f"{cells[0]:40}", *(f"{cell:>{width}}" for cell, width in zip(cells[1:], _WIDTHS, strict=True))])


def _json(row: Row) -> str:
    entry = {"name": row.name, "unit": row.unit, "ours": row.ours, "plain": row.plain, "floor": row.floor}
    return json.dumps({**entry, "gain": row.gain, "of_floor": row.of_floor})
