"""A TOML table as a frozen dataclass: what doesn't fit its fields is said in one sentence."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from vipcli.errors import UsageError, quote

__all__ = ["as_dataclass"]

_WORDS = {str: "text", Path: "text", int: "a whole number", float: "a number", bool: "true or false"}


def as_dataclass(kind: Any, table: Any, name: str, skip: tuple[str, ...] = ()) -> Any:
    """`table` as a `kind`, whose fields are numbers, texts, choices, tables or lists of these.

    name: of the file, for the sentence of the `UsageError`. skip: fields that a table can't set.
    """
    return _made(kind, table, name, "", skip)


def _made(kind: Any, value: Any, name: str, key: str, skip: tuple[str, ...] = ()) -> Any:
    if dataclasses.is_dataclass(kind):
        return _table(kind, value, name, key, skip)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _made(next(one for one in get_args(kind) if one is not type(None)), value, name, key)
    if origin is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{name}: {key} must be a list")
        its = get_args(kind)[0]
        return tuple(_made(its, one, name, f"{key}[{number}]") for number, one in enumerate(value, 1))
    if origin is Literal:
        if not isinstance(value, str) or value not in get_args(kind):
            raise UsageError(f"{name}: {key} must be one of {', '.join(get_args(kind))}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    expected = str if kind is Path else kind
    wrong = not isinstance(value, expected) or (isinstance(value, bool) and kind is not bool)
    if wrong or (isinstance(value, float) and not math.isfinite(value)):
        raise UsageError(f"{name}: {key} must be {_WORDS[kind]}")
    if kind is Path and (not value or "\0" in value):
        raise UsageError(f"{name}: {key} must be a path")
    return Path(value) if kind is Path else value


def _table(kind: Any, value: Any, name: str, key: str, skip: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        raise UsageError(f"{name}: {key} must be a table")
    hints = typing.get_type_hints(kind)
    fields = {one.name: one for one in dataclasses.fields(kind) if one.name not in skip}
    prefix = f"{key}." if key else ""
    if unknown := [one for one in value if one not in fields]:
        raise UsageError(f"{name}: there is no {prefix}{quote(unknown[0])}; known are {', '.join(fields)}")
    for one in fields.values():
        needed = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if needed and one.name not in value:
            raise UsageError(f"{name}: {prefix}{one.name} is missing")
    return kind(**{one: _made(hints[one], its, name, f"{prefix}{one}") for one, its in value.items()})
