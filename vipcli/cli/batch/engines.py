"""What ``vip batch`` answers with: one model, several on this machine, a server, or a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vipcli.cli.inputs import open_model, say_tiny, server_address
from vipcli.engine import is_address
from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.batch import Fleet
    from vipcli.config import Settings
    from vipcli.engine import Engine

__all__ = ["batch_size_of", "check_workers", "engine_of", "open_engine_for_batch", "weights_of"]

_MOST = 256  # processes, or actors


def engine_of(
    engine: str | None, model: str | None, settings: Settings, workers: int | None, ray_address: str | None
) -> str | None:
    """What answers, by the flags or the settings: ``ray``, the address of a server, or None for a model of here.

    Raises `UsageError` for an engine that isn't one, and for flags that don't go with it.
    """
    named = engine or (None if is_address(model or "") else settings.engine) or None
    if named is not None and named != "ray" and not is_address(named):
        where = "--engine" if engine else "VIP_ENGINE"
        raise UsageError(f"{where} {quote(named)}: use ray, or the http(s):// address of a server")
    if named == "ray" and is_address(model or settings.model):
        raise UsageError("a Ray cluster runs models itself, and here the model is the address of a server")
    found = named if named == "ray" else server_address(engine, model, settings)
    check_workers(workers, None if found == "ray" else found)
    if ray_address is not None and found != "ray":
        raise UsageError("--ray-address goes with --engine ray")
    return found


def check_workers(workers: int | None, server: str | None) -> None:
    """Raise a `UsageError` where so many processes can't be, or the address of a `server` stands in their place."""
    if workers is not None and not 1 <= workers <= _MOST:
        raise UsageError(f"--workers {workers}: use a number from 1 to {_MOST}")
    if workers is not None and server is not None:
        raise UsageError("--workers is for models that vip runs; a server has chosen for itself")


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
    say_tiny(name, model.name == "tiny", quiet=quiet)
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
