"""Engines: a prompt and a picture go in, an answer streams out.

`protocol` holds the values and the `Engine` protocol, `catalog` says which model is where, `checkpoint` reads and
checks its files, `processor` says how it is asked, `devices` chooses where it goes, `loading` loads it with
transformers, and `local` is its engine. `readers` lets it read a prompt and what follows, by way of `vision`
(pictures), `llama` (text), `packing` (the arithmetic of both on a CPU) and `recording` (a token's step on a GPU);
`decode` is the answer loop, `batching` that of many requests, each in one of its `slots`. torch and transformers load
inside `open_engine`, with the names behind the door below, and in `resolve("auto")` where the 7B is on this machine.

`remote` asks a server instead, without them: in the words of `completions`, over a `wire`, by way of `sse` (what it
streams), `retrying` (when it fails) and `in_flight` (many requests at a time).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vipcli.doors import door
from vipcli.engine.catalog import (
    MODELS,
    Model,
    Square,
    card,
    fingerprint,
    identity,
    input_square,
    is_address,
    located,
    may_have_7b,
    pull,
    resolve,
    size_on_disk,
)
from vipcli.engine.protocol import Answer, Engine, Feed, Finish, Generation, Job, Request, Result, Token
from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.engine.checkpoint import check_complete as check_complete
    from vipcli.engine.checkpoint import is_llava as is_llava
    from vipcli.engine.checkpoint import load_processor as load_processor
    from vipcli.engine.checkpoint import model_class as model_class
    from vipcli.engine.checkpoint import read_config as read_config
    from vipcli.engine.checkpoint import weigh as weigh
    from vipcli.engine.devices import choose_device as choose_device
    from vipcli.engine.devices import choose_dtype as choose_dtype
    from vipcli.engine.devices import is_out_of_memory as is_out_of_memory
    from vipcli.engine.loading import Outline as Outline
    from vipcli.engine.loading import outline as outline
    from vipcli.engine.local import LocalEngine as LocalEngine
    from vipcli.engine.packing import pack as pack
    from vipcli.engine.processor import eos_of as eos_of
    from vipcli.engine.processor import image_tokens as image_tokens
    from vipcli.engine.processor import special_tokens_of as special_tokens_of
    from vipcli.engine.processor import template_of as template_of
    from vipcli.engine.remote import RemoteEngine as RemoteEngine
    from vipcli.engine.remote import open_remote as open_remote
    from vipcli.engine.vision import features as features
    from vipcli.engine.vision import trim_tower as trim_tower

__getattr__, _heavy = door(
    __name__,
    {
        "checkpoint": ("check_complete", "is_llava", "load_processor", "model_class", "read_config", "weigh"),
        "devices": ("choose_device", "choose_dtype", "is_out_of_memory"),
        "loading": ("Outline", "outline"),
        "local": ("LocalEngine",),
        "packing": ("pack",),
        "processor": ("eos_of", "image_tokens", "special_tokens_of", "template_of"),
        "remote": ("RemoteEngine", "open_remote"),
        "vision": ("features", "trim_tower"),
    },
)
__all__ = [
    "MODELS",
    "Answer",
    "Engine",
    "Feed",
    "Finish",
    "Generation",
    "Job",
    "Model",
    "Request",
    "Result",
    "Square",
    "Token",
    "card",
    "fingerprint",
    "identity",
    "input_square",
    "is_address",
    "located",
    "may_have_7b",
    "open_engine",
    "pull",
    "resolve",
    "size_on_disk",
]


def open_engine(ref: str = "auto", **options: Any) -> Engine:
    """Load the model that `ref` names, or find the server, and return its engine.

    ref: ``tiny`` (embedded), ``7b``, ``13b``, a Hub id with optional ``@revision``, a folder, ``auto``, or the
    ``http(s)://`` address of an OpenAI-compatible server. options: as of `vipcli.engine.loading.load`: ``device``,
    ``dtype``, ``device_map``, ``load_in``; of a server as of `open_remote`: ``model``, ``token``, ``timeout``,
    ``concurrency``. Raises `ModelError` with one sentence where the model can't be found or loaded.
    """
    if is_address(ref):
        from vipcli.engine.remote import open_remote

        for name in ("device", "dtype", "device_map", "load_in"):
            if (value := options.pop(name, None)) not in (None, "auto"):
                flag = f"--{name.replace('_', '-')} {quote(str(value))}"
                raise UsageError(f"{flag} is for a model that runs here; a server has chosen for itself")
        return open_remote(ref, **options)
    from vipcli.engine.loading import load

    return load(resolve(ref), **options)
