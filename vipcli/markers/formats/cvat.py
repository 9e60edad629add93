"""CVAT for images 1.1: one XML file, with an ``image`` for every picture and its shapes in it.

Format: https://docs.cvat.ai/docs/other/xml_format and ``cvat/apps/dataset_manager/formats/cvat.py``. A box becomes a
``box``, a polygon or a turned box a ``contour``, an ellipse an ``ellipse`` (turned: a ``contour``), a polyline a
``scribble``, one point a ``point``, a mask an `Rle`. Skeletons, cuboids and several points have no marker, and the
tracks of a video no pictures. Shapes have no ids: theirs are their numbers in the image, from 1; tags don't count.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vipcli.errors import UsageError, quote
from vipcli.markers.formats.markup import Document, Edit, Element, attribute_set, edited, escaped, inserted, parse_xml
from vipcli.markers.formats.reading import (
    file_bytes,
    find_picture,
    head_of,
    integer,
    marker,
    number,
    oval,
    polygon,
    shown,
    size_of,
    turned,
    walk,
)
from vipcli.markers.formats.values import AnnotatedPicture, Answers, Format, Problem, Region, Rle
from vipcli.markers.formats.writing import write_copy, write_folder

__all__ = ["CVAT"]

_FILE = "annotations.xml"
_GEOMETRY = set(
    "label points rle left top width height xtl ytl xbr ybr cx cy rx ry rotation occluded outside keyframe".split()
)
_YES_NO = {"true": True, "false": False}


def _recognises(path: Path) -> bool:
    file = _file(path)
    return file.suffix.lower() == ".xml" and _is_cvat(file)


def _read(path: Path, pictures: Path | None) -> Iterator[AnnotatedPicture | Problem]:
    file = _file(path)
    for count, element, key, sentence in _images(_load(file).root):
        where = quote(f"{file.name}, {element.tag} {key or count} (line {element.line})", 200)
        if key is None:
            yield Problem(f"{element.tag} {count}", where, sentence)
        else:
            yield from _picture(element, key, where, file, pictures)


def _annotate(path: Path, answers: Answers, output: Path) -> None:
    """The answer to a shape goes to its attribute ``answer``; a picture's to its ``image`` tag, since a tag of CVAT's
    own would need a label.

    Of a folder the XML file alone is written, not the pictures.
    """
    file = _file(path)
    document = _load(file)
    edits: list[Edit] = []
    for _, element, key, _ in _images(document.root):
        if key is not None:
            edits += _edits(document, element, key, answers)
    data = edited(document, edits)
    if os.path.isdir(path):
        write_folder(path, [file], lambda _: data, output)
    else:
        write_copy(data, path, output)


def _file(path: Path) -> Path:
    """The file of an unpacked export: annotations.xml, or, of Datumaro, the name of a subset."""
    if not os.path.isdir(path) or os.path.isfile(path / _FILE):
        return path / _FILE if os.path.isdir(path) else path
    return next((file for file in walk(path, {".xml"}, deep=False) if _is_cvat(file)), path / _FILE)


def _is_cvat(file: Path) -> bool:
    head = head_of(file)
    return "<annotations>" in head and ("<version>1." in head or "<image " in head)


def _load(file: Path) -> Document:
    try:
        document = parse_xml(file_bytes(file))
        if document.root.tag != "annotations":
            raise UsageError(f"isn't CVAT's: it begins with <{quote(document.root.tag, 40)}>, not with <annotations>")
    except UsageError as error:
        raise UsageError(f"{quote(str(file))}: {error}") from None
    return document


def _images(root: Element) -> Iterator[tuple[int, Element, str | None, str]]:
    """Every image and track: its number, the element, its id, None where it can't be used, and why it can't."""
    seen: dict[str, int] = {}
    for count, element in enumerate((child for child in root.children if child.tag in ("image", "track")), 1):
        key = element.attributes.get("id", "").strip()
        if "task_id" in element.attributes:  # a project counts from 0 in every task
            key = f"{element.attributes['task_id']}/{key}"
        first = seen.setdefault(key, count)
        if element.tag == "track":
            yield count, element, None, "a track of a video has no picture; export it as CVAT for images"
        elif not key:
            yield count, element, None, "an image needs an id"
        elif first != count:
            yield count, element, None, f"its id {quote(key)} is image {first}'s already"
        elif not element.attributes.get("name"):
            yield count, element, None, "an image needs the name of its picture"
        else:
            yield count, element, key, ""


def _picture(
    element: Element, key: str, where: str, file: Path, pictures: Path | None
) -> Iterator[AnnotatedPicture | Problem]:
    size = size_of(element.attributes.get("width"), element.attributes.get("height"))
    regions = []
    for count, shape in enumerate(_shapes(element), 1):
        try:
            regions.append(_region(str(count), shape, size))
        except UsageError as error:
            place = f"{where}, shape {count} (line {shape.line})"
            yield Problem(f"{key}/shape {count}", place, f"{error}")
    images = file.parent / "images"
    subset = element.attributes.get("subset", "").strip("/\\")
    folders = [images / subset, images, file.parent] if subset and "\0" not in subset else [images, file.parent]
    name = element.attributes["name"]
    yield AnnotatedPicture(key, find_picture(name, folders, pictures), tuple(regions), size, where)


def _shapes(element: Element) -> list[Element]:
    return [child for child in element.children if child.tag not in ("tag", "attribute")]


def _region(key: str, shape: Element, size: tuple[int, int] | None) -> Region:
    attributes: dict[str, Any] = {
        name: value for name, value in shape.attributes.items() if name not in _GEOMETRY and value
    }
    if "occluded" in shape.attributes:
        attributes["occluded"] = shape.attributes["occluded"] == "1"
    for attribute in shape.all("attribute"):
        text = attribute.text.strip()
        attributes[attribute.attributes.get("name", "")] = _YES_NO.get(text, text)
    attributes.pop("", None)
    return Region(key, _marker(shape, size), shape.attributes.get("label") or None, attributes)


def _marker(shape: Element, size: tuple[int, int] | None) -> str | Rle:
    if shape.tag == "box":
        x1, y1, x2, y2 = _values(shape, "xtl", "ytl", "xbr", "ybr")
        degrees = _degrees(shape)
        if not degrees:
            return marker("box", (x1, y1, x2, y2))
        return polygon(turned([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], degrees, ((x1 + x2) / 2, (y1 + y2) / 2)))
    if shape.tag == "ellipse":
        x, y, rx, ry = _values(shape, "cx", "cy", "rx", "ry")
        degrees = _degrees(shape)
        if not degrees:
            return marker("ellipse", (x - rx, y - ry, x + rx, y + ry))
        return polygon(turned(oval(x, y, rx, ry), degrees, (x, y)))
    if shape.tag == "polygon":
        return polygon(_points(shape))
    if shape.tag == "polyline":
        return polygon(_points(shape), kind="scribble", least=2)
    if shape.tag == "points":
        spots = _points(shape)
        if len(spots) != 1:
            raise UsageError(f"there is no marker for {len(spots)} points in one shape")
        return marker("point", spots[0])
    if shape.tag == "mask":
        return _rle(shape, size)
    raise UsageError(f"there is no marker for a {quote(shape.tag, 40)}")


def _values(shape: Element, *names: str) -> list[float]:
    return [number(shape.attributes.get(name), f"its {name}") for name in names]


def _degrees(shape: Element) -> float:
    return math.fmod(number(shape.attributes.get("rotation", "0"), "its rotation"), 360)


def _points(shape: Element) -> list[tuple[float, float]]:
    result = []
    for pair in shape.attributes.get("points", "").split(";"):
        x, comma, y = pair.partition(",")
        if not comma:
            raise UsageError(f"its points must be written x,y;x,y, got {shown(pair)}")
        result.append((number(x, "its points"), number(y, "its points")))
    return result


def _rle(shape: Element, size: tuple[int, int] | None) -> Rle:
    """A mask: runs of 0s and 1s along the rows of the box around it, beginning with 0s."""
    from vipcli.markers.formats.rle import from_runs

    if size is None:
        raise UsageError("its mask needs the width and height of its image")
    runs = [integer(run, "a run of its mask") for run in shape.attributes.get("rle", "").split(",")]
    left, top, width, height = (
        integer(shape.attributes.get(name), f"its mask's {name}") for name in ("left", "top", "width", "height")
    )
    return from_runs(runs, left, top, (width, height), size)


def _edits(document: Document, image: Element, key: str, answers: Answers) -> list[Edit]:
    edits: list[Edit] = []
    for count, shape in enumerate(_shapes(image), 1):
        answer = answers(key, str(count))
        if answer is None:
            continue
        xml = f'<attribute name="answer">{escaped(answer)}</attribute>'
        old = next((each for each in shape.all("attribute") if each.attributes.get("name") == "answer"), None)
        edits += [(old.start, document.end(old), xml)] if old else inserted(document, shape, xml)
    answer = answers(key, None)
    if answer is not None:
        edits.append(attribute_set(document, image, "answer", answer))
    return edits


CVAT = Format("cvat", _recognises, _read, _annotate)
