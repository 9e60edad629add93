"""Engines: a prompt and a picture go in, an answer streams out.

`protocol` holds the values and the `Engine` protocol, `catalog` says which model is where, `checkpoint` reads and
checks its files, `devices` chooses where it goes, `local` loads it with transformers, `decode` is the generation loop.
torch and transformers load inside `open_engine` only, and in `resolve("auto")` where the 7B is on this machine.
"""

from __future__ import annotations

from typing import Any

from vipcli.engine.catalog import MODELS, Model, Square, card, input_square, located, pull, resolve, size_on_disk
from vipcli.engine.protocol import Answer, Engine, Finish, Generation, Request, Token

__all__ = [
    "MODELS",
    "Answer",
    "Engine",
    "Finish",
    "Generation",
    "Model",
    "Request",
    "Square",
    "Token",
    "card",
    "input_square",
    "located",
    "open_engine",
    "pull",
    "resolve",
    "size_on_disk",
]


def open_engine(ref: str = "auto", **options: Any) -> Engine:
    """Load the model that `ref` names and return its engine.

    ref: ``tiny`` (embedded), ``7b``, ``13b``, a Hub id with optional ``@revision``, a folder, or ``auto``.
    options: as of `vipcli.engine.local.load`: ``device``, ``dtype``, ``device_map``, ``load_in``.
    Raises `ModelError` with one sentence where the model can't be found or loaded.
    """
    from vipcli.engine.local import load

    return load(resolve(ref), **options)
