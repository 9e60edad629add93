"""What ``vip batch`` answers with: one model, several on this machine, a server, or a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vipcli.cli.inputs import open_model
from vipcli.engine import is_address
from vipcli.errors import UsageError

if TYPE_CHECKING:
    from vipcli.batch import Fleet
    from vipcli.engine import Engine

__all__ = ["check_engine", "open_engine_for_batch"]

_MOST = 256  # processes, or actors


def check_engine(engine: str | None, workers: int | None, ray_address: str | None) -> None:
    """Raise a `UsageError` for an ``--engine`` that isn't one, and for flags that don't go with it."""
    is_server = engine is not None and is_address(engine)
    if engine not in (None, "ray") and not is_server:
        raise UsageError("--engine: use ray, or the http(s):// address of a server")
    if workers is not None and not 1 <= workers <= _MOST:
        raise UsageError(f"--workers {workers}: use a number from 1 to {_MOST}")
    if workers is not None and is_server:
        raise UsageError("--workers is for models that vip runs; a server has chosen for itself")
    if ray_address is not None and engine != "ray":
        raise UsageError("--ray-address goes with --engine ray")


def open_engine_for_batch(
    name: str, workers: int | None, placing: dict[str, Any], *, quiet: bool, verbose: bool
) -> Engine | Fleet:
    """The model called `name` on this machine, once, or in `workers` processes. placing: see `open_engine`."""
    if workers is None or workers == 1:
        return open_model(name, quiet=quiet, verbose=verbose, **placing)
    from vipcli.batch import Fleet
    from vipcli.engine import resolve

    if placing.get("device_map") is not None:
        raise UsageError("--device-map spreads one model over the GPUs: leave --workers out")
    model = resolve(name)
    return Fleet.of(model, model.name if name == "auto" else name, workers, **placing)
