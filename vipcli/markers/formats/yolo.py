"""YOLO: a text file for every picture, with a line for every thing; as Ultralytics and Darknet lay them out.

Format: https://docs.ultralytics.com/datasets/detect/ (and segment, obb, pose) and ``verify_image_label`` in
``ultralytics/data/utils.py``. Behind the class stand shares of the picture's width and height: 4 numbers are a box
(centre and size), a fifth is a detector's confidence, an even count from 6 on is a polygon (8: an oriented box, or one
of four corners, which is the same). Of a pose, whose length ``kpt_shape`` in data.yaml says, the box is taken.

A dataset is its data.yaml, or a folder with one, or one of label files, with names in classes.txt or obj.names. A
thing's id is its line; a picture's that of its label file below the dataset, without the suffix. There is no place for
answers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from vipcli.errors import MissingExtra, UsageError, quote
from vipcli.markers.formats.reading import (
    PICTURE_SUFFIXES,
    file_bytes,
    head_of,
    integer,
    marker,
    number,
    polygon,
    walk,
)
from vipcli.markers.formats.values import AnnotatedPicture, Format, Problem, Region

__all__ = ["YOLO"]

_YAML = {".yaml", ".yml"}
_NAMES = ("classes.txt", "obj.names", "labels.txt")
_NOT_LABELS = {"classes", "labels", "train", "val", "valid", "test", "readme", "notes"}
_LINE = re.compile(r"\d+(\s+[-+.\deE]+){4,}\s*$")
_LONGEST = 2_000_000  # characters of a line; a polygon of 100,000 points has fewer


@dataclass(frozen=True)
class _Dataset:
    """root: what ids are relative to. places: folders of pictures, or lists of them. keypoints: numbers of a pose."""

    root: Path
    places: tuple[Path, ...]
    names: dict[int, str] = field(default_factory=dict)
    keypoints: int | None = None


def _recognises(path: Path) -> bool:
    if not os.path.isdir(path):
        return path.suffix.lower() in _YAML and bool(re.search(r"^names\s*:", head_of(path), re.M))
    if os.path.isfile(path / "obj.names") or any(_recognises(file) for file in walk(path, _YAML, deep=False)):
        return True
    inside = os.path.isdir(path / "labels")
    files = walk(path / "labels" if inside else path, {".txt"}, deep=inside or path.name == "labels")
    labels = (file for file in files if file.stem.lower() not in _NOT_LABELS)
    return any(_LINE.match(head_of(file).partition("\n")[0]) for file in islice(labels, 5))


def _read(path: Path, pictures: Path | None) -> Iterator[AnnotatedPicture | Problem]:
    dataset = _dataset(path)
    seen: set[str] = set()
    for place in dataset.places:
        for picture, labels in _pairs(place, pictures):
            key = _key(labels, dataset.root)
            if key in seen:  # pictures that differ in their suffixes alone share their labels
                key += os.path.splitext(picture)[1]
            if key not in seen and picture not in seen:  # a list may name one twice
                seen |= {key, picture}
                yield from _picture(key, picture, labels, dataset)


def _dataset(path: Path) -> _Dataset:
    """Raises `UsageError` where there is none."""
    if not os.path.isdir(path):
        return _from_yaml(path)
    configs = sorted(walk(path, _YAML, deep=False), key=lambda file: file.stem != "data")
    config = next((file for file in configs if _recognises(file)), None)
    if config is not None:
        return _from_yaml(config)
    known = (folder / name for folder in (path, path / "labels", path.parent) for name in _NAMES)
    names = next((file for file in known if os.path.isfile(file)), None)
    lines = _text(names).splitlines() if names is not None else []
    return _Dataset(path, (_pictures_beside(path),), dict(enumerate(lines)))


def _from_yaml(file: Path) -> _Dataset:
    config = _config(file)
    root = file.parent
    if isinstance(config.get("path"), str) and os.path.isdir(os.path.join(root, config["path"])):
        root = root / config["path"]
    places: list[Path] = []
    for split in ("train", "val", "valid", "test"):
        entry = config.get(split)
        for place in entry if isinstance(entry, list) else [entry]:
            if isinstance(place, str) and place:
                places.append(_place(root, place))
    if not places:
        places = [_pictures_beside(root)]
    elif not any(_is_there(place) for place in places):
        raise UsageError(f"{quote(str(file))}: none of its splits is there; the first would be {quote(str(places[0]))}")
    return _Dataset(root, tuple(dict.fromkeys(places)), _named(config.get("names"), file), _pose(config))


def _config(file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("reading data.yaml", "PyYAML") from None
    text = _text(file)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml refuses deep nesting, which takes Python minutes
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader)):
            raise ValueError("aliases can stand for gigabytes")
        config = yaml.load(text, loader)
    except Exception as error:  # PyYAML lets ValueError, TypeError, RecursionError ... through, besides its own
        mark = getattr(error, "problem_mark", None)
        line = f": see line {mark.line + 1}" if mark else ""
        raise UsageError(f"{quote(str(file))}: isn't plain YAML{line}") from None
    if not isinstance(config, dict):
        raise UsageError(f"{quote(str(file))}: isn't a YOLO dataset: it has no names")
    return config


def _named(names: object, file: Path) -> dict[int, str]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(type(key) is int for key in names):
        raise UsageError(f"{quote(str(file))}: its names must be a list, or a number and a name in each line")
    return {key: str(name) for key, name in names.items() if isinstance(name, (str, int, float))}


def _pose(config: dict[str, Any]) -> int | None:
    shape = config.get("kpt_shape")
    if isinstance(shape, list) and len(shape) == 2 and all(type(count) is int for count in shape):
        return shape[0] * shape[1]
    return None


def _place(root: Path, place: str) -> Path:
    """A split's folder or list; Roboflow writes ``../train/images`` for the ``train/images`` beside its data.yaml."""
    given = root / place
    return given if _is_there(given) else root / place.removeprefix("../")


def _is_there(place: Path) -> bool:
    """Whether there are pictures, or labels for them."""
    return os.path.exists(place) or os.path.exists(_mirrored(place / "_", "images", "labels").parent)


def _pictures_beside(folder: Path) -> Path:
    """The folder of pictures of a dataset, or of a folder of labels; the folder itself where they lie together."""
    if os.path.isdir(folder / "labels"):
        return folder / "images"
    mirrored = _mirrored(folder / "_", "labels", "images").parent
    return mirrored if os.path.isdir(mirrored) else folder


def _pairs(place: Path, pictures: Path | None) -> Iterator[tuple[str, Path]]:
    """Every picture of a place with where its labels are, sorted; and labels without a picture, with where it'd be.

    Of pictures that lie elsewhere, those with labels alone count: there may be those of other places.
    """
    if place.suffix == ".txt" and not os.path.isdir(place):
        yield from _listed(place, pictures)
        return
    labels = _mirrored(place / "_", "images", "labels").parent
    labels = labels if os.path.isdir(labels) else place
    found: dict[Path, list[Path]] = {}
    elsewhere: dict[str, list[Path]] = {}
    if pictures is None:
        for file in walk(place, PICTURE_SUFFIXES):
            found.setdefault(_labels_of(file), []).append(file)
    else:
        for file in walk(pictures, PICTURE_SUFFIXES):
            elsewhere.setdefault(_key(file, pictures), []).append(file)
            elsewhere.setdefault(file.stem, [file])
    for file in walk(labels, {".txt"}):
        if file not in found and (labels != place or file.stem.lower() not in _NOT_LABELS):
            missing = (pictures or _mirrored(file, "labels", "images").parent) / f"{file.stem}.jpg"
            found[file] = elsewhere.get(_key(file, labels)) or elsewhere.get(file.stem) or [missing]
    for file in sorted(found):
        for picture in found[file]:
            yield str(picture), file


def _listed(place: Path, pictures: Path | None) -> Iterator[tuple[str, Path]]:
    """The pictures that a list names, and their labels."""
    for line in _text(place).splitlines():
        picture = place.parent / line.strip()
        if not os.path.isfile(picture):  # Darknet counts from above the folder, which it calls data
            picture = place.parent / line.strip().removeprefix("data/")
        if line.strip():
            yield str(picture if pictures is None else pictures / picture.name), _labels_of(picture)


def _labels_of(picture: Path) -> Path:
    """``images/train/a.jpg`` -> ``labels/train/a.txt``; else ``a.txt`` beside the picture."""
    beside = Path(os.path.splitext(picture)[0] + ".txt")
    mirrored = _mirrored(beside, "images", "labels")
    return beside if not os.path.isfile(mirrored) and os.path.isfile(beside) else mirrored


def _mirrored(file: Path, one: str, other: str) -> Path:
    """`file` with the last folder of its path that is called `one` called `other`."""
    parts = list(file.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == one:
            parts[at] = other
            break
    return Path(*parts)


def _key(file: Path, root: Path) -> str:
    return os.path.splitext(os.path.relpath(file, root).replace(os.sep, "/"))[0]


def _text(file: Path) -> str:
    try:
        return file_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{quote(str(file))}: isn't UTF-8 text") from None
    except UsageError as error:
        raise UsageError(f"{quote(str(file))}: {error}") from None


def _picture(key: str, picture: str, labels: Path, dataset: _Dataset) -> Iterator[AnnotatedPicture | Problem]:
    where = quote(f"{key}.txt", 200)
    lines: list[str] = []
    if os.path.isfile(labels) and os.path.getsize(labels):  # else a picture of nothing in particular
        try:
            lines = labels.read_bytes().decode("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            yield Problem(key, where, "it can't be read as UTF-8 text")
            return
    regions = []
    for count, line in enumerate(lines, 1):
        try:
            if line.strip():
                regions.append(_region(str(count), line, dataset))
        except UsageError as error:
            yield Problem(f"{key}/line {count}", f"{where}, line {count}", f"{error}")
    yield AnnotatedPicture(key, picture, tuple(regions), None, where)


def _region(key: str, line: str, dataset: _Dataset) -> Region:
    if len(line) > _LONGEST:
        raise UsageError(f"a line of {len(line)} characters isn't a label")
    first, *rest = line.split()
    kind = integer(first, "its class")
    values = [100 * number(text, "a coordinate") for text in rest]
    if dataset.names and kind not in dataset.names:
        raise UsageError(f"its class {kind} has no name; there are {len(dataset.names)}")
    attributes: dict[str, Any] = {"class": kind}
    count = len(values)
    pose = dataset.keypoints is not None and count == 4 + dataset.keypoints
    if count in (4, 5) or pose:
        x, y, width, height = values[:4]
        spelled = marker("box", (x - width / 2, y - height / 2, x + width / 2, y + height / 2), "%")
        if count == 5 and not pose:
            attributes["confidence"] = number(rest[4], "its confidence")
    elif count >= 6 and count % 2 == 0 and dataset.keypoints is None:
        spelled = polygon(list(zip(values[::2], values[1::2], strict=True)), "%")
    elif dataset.keypoints is not None:
        raise UsageError(f"a pose has {4 + dataset.keypoints} numbers behind its class, got {count}")
    else:
        raise UsageError(
            f"4 numbers behind the class are a box and an even count from 6 on a polygon, got {count};"
            " for keypoints, say kpt_shape in data.yaml"
        )
    return Region(key, spelled, dataset.names.get(kind), attributes)


YOLO = Format("yolo", _recognises, _read, None)
