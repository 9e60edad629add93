"""What ``vip batch`` answers with: one model, several on this machine, a server, or a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vipcli.cli.inputs import open_model
from vipcli.engine import is_address
from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.batch import Fleet
    from vipcli.engine import Engine

__all__ = ["batch_size_of", "check_engine", "open_engine_for_batch", "weights_of"]

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


def batch_size_of(text: str) -> int | None:
    """``--batch-size`` as a number; None for ``auto``. Raises `UsageError`."""
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 4096:
        raise UsageError(f"--batch-size {quote(text)}: use auto or a number from 1 to 4096")
    return int(text)


def weights_of(name: str) -> str:
    """What tells a model's weights from others; of a server nothing is known."""
    from vipcli.engine import fingerprint, located, resolve

    if is_address(name):
        return "on a server"
    folder = located(resolve(name))
    return "unknown" if folder is None else fingerprint(folder)
