"""Label Studio: the JSON export, a list of tasks with their annotations.

Format: https://labelstud.io/guide/task_format and https://labelstud.io/tags/, and the editor's own ``serialize``
functions (``web/libs/editor/src/regions``) where they differ: an ellipse's x and y are its centre. Coordinates are per
cent and stay so. A rectangle becomes a ``box`` (turned about its top left corner: a ``contour``), an ellipse an
``ellipse`` (turned: a ``contour``), a polygon or a closed vector a ``contour``, a vector a ``scribble``, a keypoint a
``point``, a brush an `Rle`. The choices, texts and ratings of a region, and its ``meta.text``, are its attributes.

A task's annotations are read but for cancelled ones; its predictions where it has none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from vipcli.errors import UsageError, quote
from vipcli.markers.formats.reading import (
    PICTURE_SUFFIXES,
    file_bytes,
    find_picture,
    head_of,
    integer,
    key_of,
    marker,
    number,
    oval,
    parse_json,
    plain_values,
    points,
    polygon,
    shown,
    size_of,
    top_keys,
    turned,
)
from vipcli.markers.formats.values import AnnotatedPicture, Answers, Format, Problem, Region, Rle
from vipcli.markers.formats.writing import dump_json, write_copy

__all__ = ["LABEL_STUDIO"]

_LISTS = ("annotations", "completions", "predictions")  # completions: before version 1.0
_SHAPES = ("rectangle", "ellipse", "polygon", "keypoint", "brush", "vector", "bitmask", "cube")
_UPLOADED = re.compile(r"[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded file

Result = dict[str, Any]
"""An entry of an annotation's ``result``."""


def _recognises(path: Path) -> bool:
    head = head_of(path) if path.suffix.lower() == ".json" else ""
    keys = top_keys(head, 2)
    known = "data" in keys or "result" in top_keys(head, 4)  # a large annotation leaves no room for the data
    return head.startswith("[") and known and not keys.isdisjoint(_LISTS)


def _read(path: Path, pictures: Path | None) -> Iterator[AnnotatedPicture | Problem]:
    for count, task, key, sentence in _tasks(_load(path)[0]):
        where = quote(f"{path.name}, task {key or count}", 200)
        name = _name(task) if key is not None else None
        if key is None:
            yield Problem(f"task {count}", where, sentence)
        elif name is None:
            yield Problem(key, where, "its data names no picture")
        else:
            yield from _picture(task, key, where, _find(name, path.parent, pictures))


def _annotate(path: Path, answers: Answers, output: Path) -> None:
    """The answer to a region ends its ``meta.text``, which the editor shows below the region; a task's goes to
    ``data.answer``, a column of the Data Manager.
    """
    tasks, data = _load(path)
    for _, task, key, _ in _tasks(tasks):
        if key is None:
            continue
        answer = answers(key, None)
        if answer is not None and isinstance(task.get("data"), dict):
            task["data"]["answer"] = answer
        for region, results in _regions(task).items():
            answer = answers(key, region)
            if answer is not None:
                _tell(results[0], answer)
    write_copy(dump_json(tasks, data), path, output)


def _load(path: Path) -> tuple[list[Any], bytes]:
    try:
        data = file_bytes(path)
        tasks = parse_json(data)
        if not isinstance(tasks, list):
            raise UsageError(f"isn't Label Studio's JSON export: it must be a list of tasks, got {shown(tasks)}")
    except UsageError as error:
        raise UsageError(f"{quote(str(path))}: {error}") from None
    return tasks, data


def _tasks(tasks: list[Any]) -> Iterator[tuple[int, dict[str, Any], str | None, str]]:
    """Every task: its number, itself, its id (else its number), None where it can't be used, and why it can't."""
    seen: dict[str, int] = {}
    for count, task in enumerate(tasks, 1):
        if not isinstance(task, dict):
            yield count, {}, None, f"a task must be an object, got {shown(task)}"
            continue
        key = key_of(task.get("id")) or f"#{count}"
        first = seen.setdefault(key, count)
        taken = first != count
        yield count, task, None if taken else key, f"its id {quote(key)} is task {first}'s already" if taken else ""


def _name(task: dict[str, Any]) -> str | None:
    """The picture of a task: what its data calls ``image``, else what looks like one."""
    data = task.get("data")
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    if texts.get("image"):
        return texts["image"]
    for text in texts.values():
        name = _local(text) or text
        if os.path.splitext(name.partition("?")[0])[1].lower() in PICTURE_SUFFIXES:
            return text
    return None


def _local(address: str) -> str | None:
    """The path that Label Studio's own addresses stand for, None for others."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    path = parts.path.lstrip("/")
    if path.startswith("data/local-files"):
        return (parse_qs(parts.query).get("d") or [""])[-1] or None
    if path.startswith(("data/upload/", "upload/")):
        return unquote(path.removeprefix("data/"))
    return None


def _find(name: str, beside: Path, pictures: Path | None) -> str:
    """Where a picture lies: an upload with its prefix or without; what is nowhere here stays an address."""
    local = _local(name)
    base = os.path.basename(local or name.partition("?")[0])
    bare = base[9:] if _UPLOADED.match(base) else base
    folders = [beside, beside / "images"]
    if local is None:
        also = [] if "://" not in name else [each for each in (base, bare) if each]
        return find_picture(name, folders, pictures, also)
    if local.startswith("upload/"):
        return find_picture(bare or local, folders, pictures, (base, local))
    return find_picture(local, folders, pictures, (base, f"/{local}"))


def _picture(task: dict[str, Any], key: str, where: str, path: str) -> Iterator[AnnotatedPicture | Problem]:
    regions, size = [], None
    for count, (region, results) in enumerate(_regions(task).items(), 1):
        size = size or size_of(results[0].get("original_width"), results[0].get("original_height"))
        try:
            regions.append(_region(region, results))
        except UsageError as error:
            yield Problem(f"{key}/region {count}", f"{where}, region {count} (id {quote(region)})", f"{error}")
    yield AnnotatedPicture(key, path, tuple(regions), size, where)


def _regions(task: dict[str, Any]) -> dict[str, list[Result]]:
    """The results of every region by its id, those with a shape first.

    The results of one annotation that share an id are one region. Where another annotation uses it too, ``2:`` and so
    on goes before it. Results without a shape, such as a choice for the whole picture, are none.
    """
    regions: dict[str, list[Result]] = {}
    for count, results in enumerate(_annotations(task), 1):
        here: dict[str, list[Result]] = {}
        for place, result in enumerate(results, 1):
            if isinstance(result, dict):
                here.setdefault(key_of(result.get("id")) or f"#{place}", []).append(result)
        for key, parts in here.items():
            parts.sort(key=lambda part: _kind(part) is None)  # stable: else as they stand
            if _kind(parts[0]) is not None:
                regions[key if key not in regions else f"{count}:{key}"] = parts
    return regions


def _annotations(task: dict[str, Any]) -> list[list[Any]]:
    """The results of every annotation that counts."""
    for name in _LISTS:
        entries = task.get(name)
        if not isinstance(entries, list):
            continue
        kept = [entry for entry in entries if isinstance(entry, dict) and not entry.get("was_cancelled")]
        results = [entry["result"] for entry in kept if isinstance(entry.get("result"), list) and entry["result"]]
        if results:
            return results
    return []


def _kind(result: Result) -> str | None:
    """The shape of a result: by its type (``rectanglelabels``), or, of ``labels``, by what its value holds."""
    kind, value = result.get("type"), result.get("value")
    if not isinstance(kind, str):
        return None
    kind = kind.lower()
    if kind == "labels" and isinstance(value, dict):
        holds = {"radiusX": "ellipse", "rle": "brush", "vertices": "vector", "points": "polygon", "height": "rectangle"}
        return next((shape for key, shape in holds.items() if key in value), "keypoint" if "x" in value else None)
    kind = kind.removesuffix("labels")
    return kind if kind in _SHAPES else None


def _region(key: str, results: list[Result]) -> Region:
    label, attributes = None, plain_values(results[0], {"id", "type", "from_name", "to_name", "value"})
    for name in ("original_width", "original_height", "image_rotation", "origin"):
        attributes.pop(name, None)
    for result in results:
        value, kind = result.get("value"), str(result.get("type")).lower()
        said = _said(value.get("text" if kind == "textarea" else kind)) if isinstance(value, dict) else None
        if said is None:
            continue
        if kind.endswith("labels"):
            label = label or str(said)
        else:
            attributes[key_of(result.get("from_name")) or kind] = said
    meta = results[0].get("meta")
    text = _said(meta.get("text")) if isinstance(meta, dict) else None
    if text is not None:
        attributes["text"] = text
    return Region(key, _marker(results[0]), label, attributes)


def _said(value: object) -> str | int | float | None:
    """What an annotator chose, typed or rated; several of them in one line, taxonomies with ``/``."""
    if isinstance(value, list):
        parts = ["/".join(map(str, part)) if isinstance(part, list) else part for part in value]
        return ", ".join(part for part in parts if isinstance(part, str)) or None
    return plain_values({"": value}).get("")


def _marker(result: Result) -> str | Rle:
    kind, value = _kind(result), result.get("value")
    if not isinstance(value, dict):
        raise UsageError(f"its value must be an object, got {shown(value)}")
    if kind == "rectangle":
        x, y, width, height = _values(value, "x", "y", "width", "height")
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        degrees = _degrees(value)
        return _turned(result, corners, degrees, (x, y)) if degrees else marker("box", (*corners[0], *corners[2]), "%")
    if kind == "ellipse":
        x, y, rx, ry = _values(value, "x", "y", "radiusX", "radiusY")
        degrees = _degrees(value)
        if degrees:
            return _turned(result, oval(x, y, rx, ry), degrees, (x, y))
        return marker("ellipse", (x - rx, y - ry, x + rx, y + ry), "%")
    if kind == "polygon":
        return polygon(points(value.get("points"), "its points"), "%")
    if kind == "keypoint":
        return marker("point", _values(value, "x", "y"), "%")
    if kind == "vector":
        return _vector(value)
    if kind == "brush":
        return _brush(result, value)
    raise UsageError(f"there is no marker for a {kind}")


def _values(value: dict[str, Any], *names: str) -> list[float]:
    return [number(value.get(name), f"its {name}") for name in names]


def _degrees(value: dict[str, Any]) -> float:
    return number(value.get("rotation") or 0, "its rotation") % 360


def _turned(result: Result, corners: list[tuple[float, float]], degrees: float, about: tuple[float, float]) -> str:
    """A turn in pixels, since a hundredth of the width isn't one of the height."""
    size = size_of(result.get("original_width"), result.get("original_height"))
    if size is None:
        raise UsageError("it is turned, and its original_width and original_height aren't there to turn it by")
    width, height = size
    x0, y0 = about
    pixels = turned([(x * width, y * height) for x, y in corners], degrees, (x0 * width, y0 * height))
    return polygon([(x / width, y / height) for x, y in pixels], "%")


def _vector(value: dict[str, Any]) -> str:
    vertices = value.get("vertices")
    if not isinstance(vertices, list) or not all(isinstance(vertex, dict) for vertex in vertices):
        raise UsageError(f"its vertices must be a list of objects, got {shown(vertices)}")
    corners = [(number(vertex.get("x"), "its x"), number(vertex.get("y"), "its y")) for vertex in vertices]
    return polygon(corners, "%") if value.get("closed") else polygon(corners, "%", "scribble", 2)


def _brush(result: Result, value: dict[str, Any]) -> Rle:
    from vipcli.markers.formats.rle import from_rgba_runs

    size = size_of(result.get("original_width"), result.get("original_height"))
    if size is None:
        raise UsageError("its brush needs the original_width and original_height of the picture")
    rle = value.get("rle")
    if not isinstance(rle, list):
        raise UsageError(f"its rle must be a list of bytes, got {shown(rle)}")
    return from_rgba_runs([integer(byte, "a byte of its rle") for byte in rle], size)


def _tell(result: Result, answer: str) -> None:
    """Put an answer into a region's meta text, as the editor writes it: one text in a list."""
    meta = result.setdefault("meta", {})
    if not isinstance(meta, dict):
        meta = result["meta"] = {}
    before = _said(meta.get("text"))
    meta["text"] = [f"{before}\n{answer}" if before is not None else answer]


LABEL_STUDIO = Format("label-studio", _recognises, _read, _annotate)
