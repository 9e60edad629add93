"""Engines: a prompt and a picture go in, an answer streams out.

`protocol` holds the values and the `Engine` protocol, `catalog` says which model is where, `checkpoint` reads and
checks its files, `devices` chooses where it goes, `local` loads it with transformers. `readers` lets it read a prompt
and what follows, by way of `vision` (pictures), `llama` (text) and `rows` (the arithmetic of one token); `decode` is
the answer loop. torch and transformers load inside `open_engine`, with the names behind the door below, and in
`resolve("auto")` where the 7B is on this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vipcli.doors import door
from vipcli.engine.catalog import MODELS, Model, Square, card, input_square, located, pull, resolve, size_on_disk
from vipcli.engine.protocol import Answer, Engine, Finish, Generation, Request, Token

if TYPE_CHECKING:
    from vipcli.engine.checkpoint import model_class as model_class
    from vipcli.engine.checkpoint import read_config as read_config
    from vipcli.engine.devices import choose_device as choose_device
    from vipcli.engine.devices import choose_dtype as choose_dtype
    from vipcli.engine.local import LocalEngine as LocalEngine
    from vipcli.engine.vision import features as features
    from vipcli.engine.vision import trim_tower as trim_tower

__getattr__, _heavy = door(
    __name__,
    {
        "checkpoint": ("model_class", "read_config"),
        "devices": ("choose_device", "choose_dtype"),
        "local": ("LocalEngine",),
        "vision": ("features", "trim_tower"),
    },
)
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
