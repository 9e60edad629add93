"""Which models there are and where they lie: the embedded one, the published checkpoints, the Hub cache, folders."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipcli.config import hub_cache
from vipcli.errors import ModelError, quote

__all__ = [
    "MODELS",
    "SQUARE_SETTINGS",
    "WEIGHT_INDEX",
    "Model",
    "Square",
    "card",
    "fingerprint",
    "identity",
    "input_square",
    "is_address",
    "located",
    "may_have_7b",
    "pull",
    "resolve",
    "size_on_disk",
    "square_side",
    "weight_files",
]

WEIGHT_INDEX = "model.safetensors.index.json"
"""The file that says which shard holds which weight."""


@dataclass(frozen=True)
class Model:
    """A model by name: either a `folder` on this machine or a `repo` of the Hugging Face Hub, at `revision`.

    gigabytes: what fetching it takes; 0 where unknown. about: one line for a list.
    """

    name: str
    folder: Path | None = None
    repo: str | None = None
    revision: str | None = None
    gigabytes: float = 0.0
    about: str = ""


@dataclass(frozen=True)
class Square:
    """The picture that a model sees: `side` x `side` pixels in patches of `patch` x `patch`."""

    side: int
    patch: int


_LICENCE = "Llama 2 licence, trained on CC BY-NC 4.0 data: research use"

MODELS: dict[str, Model] = {
    "tiny": Model(
        "tiny",
        folder=Path(__file__).parents[1] / "models" / "tiny",
        about="comes with vip; knows 128 everyday things in drawn scenes; Apache-2.0",
    ),
    "7b": Model("7b", repo="llava-hf/vip-llava-7b-hf", gigabytes=14.2, about=f"ViP-LLaVA 7B; {_LICENCE}"),
    "13b": Model("13b", repo="llava-hf/vip-llava-13b-hf", gigabytes=26.7, about=f"ViP-LLaVA 13B; {_LICENCE}"),
}
"""The models with a short name."""

# What the Hub takes for owner/name, and as a revision whatever git may call one.
_REPO = re.compile(r"(?!.*--|.*\.\.|.*\.git\Z)\w[\w.-]*\b/\w[\w.-]{0,95}\b", re.ASCII)

_SETTINGS = (
    *("config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json"),
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_READ_WHOLE = 2**26  # bytes of weights: 64 MB take 0.1 s
_PARTS, _PART = 256, 2**18  # parts of a larger file, and bytes of each: 64 MB too


def resolve(ref: str) -> Model:
    """Find the model that `ref` names: a short name, a folder, a Hub id with optional ``@revision``, or ``auto``.

    ``auto`` is the 7B where its weights are already in the Hub cache and fit the memory that is free, else ``tiny``.
    """
    if ref == "auto":
        return MODELS["7b"] if _auto_takes_7b() else MODELS["tiny"]
    if ref in MODELS:
        return MODELS[ref]
    folder = os.path.expanduser(ref)
    if os.path.isdir(folder):  # unlike Path's, these two raise nothing, whatever the name
        return Model(ref, folder=Path(folder))
    repo, _, revision = ref.partition("@")
    if not _REPO.fullmatch(repo) or ".." in revision:
        names = ", ".join(MODELS)
        raise ModelError(
            f"there is no model {quote(ref)!r}: use {names}, a folder that exists, or a Hub id like owner/name"
        )
    known = next((model for model in MODELS.values() if model.repo == repo), None)
    return Model(ref, repo=repo, revision=revision or None, gigabytes=known.gigabytes if known else 0.0)


def is_address(ref: str) -> bool:
    """Whether a model's name is the ``http(s)://`` address of a server that has it."""
    return ref.lower().startswith(("http://", "https://"))


def located(model: Model) -> Path | None:
    """The folder that holds `model`'s files on this machine, or None where they aren't (all) here."""
    if model.folder is not None:
        return model.folder
    from huggingface_hub import try_to_load_from_cache

    assert model.repo is not None
    config = try_to_load_from_cache(model.repo, "config.json", hub_cache(), model.revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if _has_weights(folder) else None


def pull(model: Model) -> Path:
    """Fetch `model` from the Hub into its cache (resumes half a download) and return the folder.

    Raises `ModelError` with one sentence: no network, no such repository, gated, wrong token, disk full.
    """
    if model.folder is not None:
        return model.folder
    assert model.repo is not None
    from huggingface_hub import errors, snapshot_download

    shown = quote(model.repo)
    try:
        folder = snapshot_download(
            model.repo,
            revision=model.revision,
            cache_dir=hub_cache(),
            # Pickled weights are never loaded, so they aren't fetched either.
            allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"],
        )
    except errors.GatedRepoError:
        raise ModelError(
            f"{shown} is gated: accept its terms on its Hub page and log in (hf auth login, or set HF_TOKEN)"
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(f"{shown} has no revision {quote(model.revision or 'main')!r}") from None
    except errors.RepositoryNotFoundError:
        raise ModelError(
            f"there is no model {shown} on the Hub, or it is private: check the name, or set HF_TOKEN"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise ModelError(
            f"{shown} can't be fetched: the Hub can't be reached (check the network, HF_ENDPOINT and HF_HUB_OFFLINE)"
        ) from None
    except Exception as error:  # a full disk, a proxy's login page in the Hub's place, ...
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 401:
            reason = "the Hub refuses the token; log in again (hf auth login)"
        raise ModelError(f"{shown} can't be fetched: {quote(reason, 160)}") from error
    if not _has_weights(Path(folder)):
        raise ModelError(f"{shown} has no safetensors weights, and vip loads no pickled ones: they can run code")
    return Path(folder)


def input_square(model: Model) -> Square | None:
    """The square that `model` sees, read from its files without loading it; None where it takes any shape.

    A published ViP-LLaVA that isn't here is taken for what it is: 336 pixels in patches of 14.
    """
    folder = located(model)
    if folder is None:
        if model.repo in (MODELS["7b"].repo, MODELS["13b"].repo):
            return Square(336, 14)
        raise ModelError(f"{quote(model.name)} isn't on this machine; get it with: vip models pull {quote(model.name)}")
    nested = _object(_json(folder / "processor_config.json").get("image_processor"))  # transformers' order: this first
    side = square_side(nested or _json(folder / "preprocessor_config.json"))
    if side is None:
        return None
    patch = _object(_json(folder / "config.json").get("vision_config")).get("patch_size")
    return Square(side, patch if isinstance(patch, int) and patch > 0 else 14)


SQUARE_SETTINGS = ("crop_size", "size", "image_grid_pinpoints")


def square_side(settings: dict[str, Any]) -> int | None:
    """The side of the square that an image processor with these settings cuts out; None where it takes any shape.

    settings: its `SQUARE_SETTINGS`, from a file or from the object: ``crop_size`` and ``size`` are a number or entries
    like ``height``. One with ``image_grid_pinpoints`` (LLaVA-NeXT, LLaVA-OneVision) cuts a picture of any shape into
    several such squares.
    """
    if settings.get("image_grid_pinpoints"):
        return None
    crop = settings.get("crop_size") or settings.get("size")
    entry: Any = getattr(crop, "get", {}.get)
    side, other = (crop, crop) if isinstance(crop, int) else (entry("height"), entry("width"))
    return side if isinstance(side, int) and side > 0 and side == other else None


def weight_files(folder: Path) -> list[str]:
    """Names of a checkpoint's safetensors files, there or not: one, or all shards of the index (none: it is broken)."""
    index = folder / WEIGHT_INDEX
    if not index.is_file():
        return ["model.safetensors"]
    return sorted({str(shard) for shard in _object(_json(index).get("weight_map")).values()})


def fingerprint(folder: Path) -> str:
    """16 hexadecimal digits that tell a checkpoint from another: its settings, its words, what is in its weights.

    It costs at most 0.1 s a file: in the Hub cache, a file of weights has the SHA-256 of its content for a name; of
    others beyond 64 MB only parts are read, evenly spread, the header with the tensors' names and shapes among them.
    """
    import hashlib

    parts = [file.read_bytes() if (file := folder / name).is_file() else b"" for name in _SETTINGS]
    for name in weight_files(folder):
        path = folder / name
        size = path.stat().st_size if path.is_file() else 0
        parts.append(f"{name} {size} {_content(path, size) if size else ''}".encode("utf-8", "surrogateescape"))
    return hashlib.blake2b(b"\n".join(parts), digest_size=8).hexdigest()


def _content(path: Path, size: int) -> str:
    """What tells the bytes of a file of weights from those of another one of the same `size`."""
    import hashlib

    if _SHA256.fullmatch(blob := os.path.basename(os.path.realpath(path))):
        return blob
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        if size <= _READ_WHOLE:
            digest.update(file.read())
        else:  # the first part has the header; a fine-tune changes far more than one part
            for number in range(_PARTS):
                file.seek(number * (size - _PART) // (_PARTS - 1))
                digest.update(file.read(_PART))
    return digest.hexdigest()


def identity(model: Model) -> str | None:
    """What tells the files of `model` on this machine from any others, at no cost; None where they aren't here."""
    if model.folder is not None:
        import hashlib

        try:
            files = [(one.name, one.stat()) for one in os.scandir(model.folder)]
        except OSError:
            return None
        facts = sorted(f"{name} {its.st_size} {its.st_mtime_ns}" for name, its in files)
        digest = hashlib.blake2b("\n".join(facts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        return f"{os.path.realpath(model.folder)} {digest}"
    assert model.repo is not None
    folder = hub_cache() / f"models--{model.repo.replace('/', '--')}"
    named = folder / "refs" / (model.revision or "main")
    commit = named.read_text(encoding="utf-8").strip() if named.is_file() else model.revision
    return f"{folder} {commit}" if commit and (folder / "snapshots" / commit).is_dir() else None


def card(folder: Path) -> str | None:
    """The text of a model card (README.md) without its YAML header; None where there is none."""
    file = folder / "README.md"
    if not os.access(file, os.R_OK) or not os.path.isfile(file):
        return None
    return re.sub(r"\A---\n.*?\n---\n", "", file.read_text(encoding="utf-8", errors="replace"), flags=re.S).strip()


def size_on_disk(folder: Path) -> int:
    """Bytes of all files in `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _has_weights(folder: Path) -> bool:
    """Whether all safetensors files of a checkpoint are there."""
    names = weight_files(folder)
    return bool(names) and all(os.path.isfile(folder / name) for name in names)


def _json(file: Path) -> dict:
    """A JSON object from `file`; empty where there is none."""
    import json

    try:
        return _object(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}


def _object(value: object) -> dict:
    """`value` where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def may_have_7b() -> bool:
    """Whether the Hub cache has a folder for the 7B, whole or not; asking that takes no time."""
    return os.path.isdir(hub_cache() / "models--llava-hf--vip-llava-7b-hf")


def _auto_takes_7b() -> bool:
    """Whether the 7B is in the Hub cache and, loaded with ``auto`` for device and dtype, fits the memory."""
    model = MODELS["7b"]
    # The first question spares most users the seconds that the answer to the others takes.
    if not may_have_7b() or (folder := located(model)) is None:
        return False
    from vipcli.engine.checkpoint import weigh
    from vipcli.engine.devices import choose_device, place

    return place(choose_device("auto"), "auto", weigh(model, folder)).fits
