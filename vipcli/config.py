"""Settings and places: a flag wins over ``VIP_*`` in the environment, that over the project's file, over the user's.

Files are TOML: ``vip.toml`` in the current folder or one above it (the project's), and ``config.toml`` in the folder
that the platform keeps for settings (``~/.config/vip`` on Linux). Known settings are the fields of `Settings`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vipcli.errors import UsageError, quote

__all__ = ["Settings", "cache_folder", "history_file", "hub_cache", "load_settings", "runtime_folder", "user_file"]


# The values of settings that only have a few. A model's name and a device may be anything that other rooms know.
_KNOWN = {"dtype": ("auto", "float32", "bfloat16", "float16"), "fit": ("pad", "crop", "stretch")}


@dataclass(frozen=True)
class Settings:
    """What a user can set once instead of on every command line.

    model: a model's name, as ``--model``. device: auto, cuda, mps or cpu. dtype: auto, float32, bfloat16 or float16.
    fit: pad, crop or stretch. prompt_style: a preset's name, as ``--prompt-style``. engine: the address of a server
    that answers in the model's place, as ``--engine``; empty: none.
    """

    model: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    fit: str = "pad"
    prompt_style: str = "auto"
    engine: str = ""


def load_settings(folder: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings that hold in `folder` (the current one).

    Raises `UsageError` with the file's name for broken TOML, an unknown setting or a value that is no text.
    """
    environment = os.environ if environment is None else environment
    known = [field.name for field in fields(Settings)]
    values: dict[str, Any] = {}
    named = environment.get("VIP_CONFIG")
    if named and not os.path.isfile(named):
        raise UsageError(f"VIP_CONFIG names {quote(named)}, which is no file")
    own, projects = user_file(environment), _project_file(folder)
    if own is not None and projects is not None and own.is_file() and own.samefile(projects):
        projects = None  # VIP_CONFIG names it: it is the user's
    for file, is_project in ((own, False), (projects, True)):
        if file is not None and os.path.isfile(file):
            given = _read(file, known)
            if is_project:
                _check_project(file, given)
            values |= given
    for name in known:
        if value := environment.get(f"VIP_{name.upper()}"):
            values[name] = value
            _check(f"VIP_{name.upper()}", name, value)
    return Settings(**values)


def _check(where: str, name: str, value: str) -> None:
    """Raise a `UsageError` that says where a value comes from that can't be."""
    if name in _KNOWN and value not in _KNOWN[name]:
        raise UsageError(f"{where}: {name} is {', '.join(_KNOWN[name])}, not {quote(value)!r}")


def _check_project(file: Path, values: Mapping[str, str]) -> None:
    """Raise a `UsageError` where a project, which may be anybody's, would have pictures and the key sent somewhere."""
    for name, value in values.items():
        if name == "engine" or (name == "model" and value.lower().startswith(("http://", "https://"))):
            raise UsageError(
                f"{quote(str(file))}: a project can't choose a server, which would get your pictures and your key: set "
                "VIP_ENGINE, or engine in your own settings"
            )


def user_file(environment: Mapping[str, str] | None = None) -> Path | None:
    """The user's settings file; None where there is no home to keep it in."""
    environment = os.environ if environment is None else environment
    if named := environment.get("VIP_CONFIG"):
        return Path(named)
    import platformdirs

    try:
        return platformdirs.user_config_path("vip") / "config.toml"
    except (RuntimeError, OSError):
        return None


def history_file() -> Path | None:
    """Where `vip chat` keeps what was typed; None where there is no home to keep it in."""
    import platformdirs

    try:
        return platformdirs.user_state_path("vip") / "chat-history"
    except (RuntimeError, OSError):
        return None


def cache_folder() -> Path | None:
    """Where what can be made again is kept; None where there is no home to keep it in."""
    import platformdirs

    try:
        return platformdirs.user_cache_path("vip")
    except (RuntimeError, OSError):
        return None


def runtime_folder() -> Path | None:
    """Where what only lives while a process runs is kept, sockets for one; None where there is no such place."""
    import warnings

    import platformdirs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so where XDG_RUNTIME_DIR isn't set
        try:
            return platformdirs.user_runtime_path("vip")
        except (RuntimeError, OSError):
            return None


def hub_cache() -> Path:
    """Where huggingface_hub keeps models, found without importing it (``HF_HUB_CACHE``, ``HF_HOME``, XDG)."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(cache_home, "huggingface")
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(cache)))


def _project_file(folder: Path | None) -> Path | None:
    try:
        folder = (folder or Path.cwd()).absolute()
    except OSError:  # the current folder was deleted
        return None
    return next((here / "vip.toml" for here in (folder, *folder.parents) if os.path.isfile(here / "vip.toml")), None)


def _read(file: Path, known: list[str]) -> dict[str, str]:
    import tomllib  # who has no file doesn't wait for it

    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # bad TOML or UTF-8, a number of 5,000 digits, 1,000 nested lists
        raise UsageError(f"{quote(str(file))} is no valid TOML: {quote(str(error))}") from None
    except OSError as error:
        raise UsageError(f"{quote(str(file))} can't be read: {error.strerror}") from None
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{quote(str(file))}: there is no setting {quote(name)!r}; known are {', '.join(known)}")
        if not isinstance(value, str):
            raise UsageError(f"{quote(str(file))}: {name} must be text in quotes, got {quote(repr(value))}")
        _check(quote(str(file)), name, value)
    return values
