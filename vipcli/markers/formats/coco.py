"""COCO: one JSON file of ``images``, ``annotations`` and ``categories``.

Format: https://cocodataset.org/#format-data, and ``attributes`` as CVAT and Datumaro write them. An annotation's
``bbox`` [x, y, width, height] becomes a ``box``, since every COCO file has it; without one, a polygon becomes a
``contour``, and several polygons or run lengths an `Rle`; with one, these are the region's outline. Keypoints alone
have no marker.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vipcli.errors import UsageError, quote
from vipcli.markers.formats.reading import (
    file_bytes,
    find_picture,
    head_of,
    integer,
    key_of,
    marker,
    numbers,
    parse_json,
    plain_values,
    polygon,
    shown,
    size_of,
    top_keys,
)
from vipcli.markers.formats.values import AnnotatedPicture, Answers, Format, Problem, Region, Rle
from vipcli.markers.formats.writing import dump_json, write_copy

__all__ = ["COCO"]

_NOT_ATTRIBUTES = {"id", "image_id", "category_id", "bbox", "segmentation", "keypoints", "attributes"}

Entry = tuple[int, dict[str, Any]]
"""An entry of a list of the file and its number in it, from 1."""


def _recognises(path: Path) -> bool:
    if path.suffix.lower() != ".json":
        return False
    head = head_of(path)
    keys = top_keys(head)
    only_images = "images" in keys and "file_name" in top_keys(head, 3)  # they may fill what is read of the file
    return {"images", "annotations"} <= keys or only_images


def _read(path: Path, pictures: Path | None) -> Iterator[AnnotatedPicture | Problem]:
    content, name = _load(path)[0], quote(path.name)
    categories = {
        key_of(entry.get("id")): entry for entry in content.get("categories") or () if isinstance(entry, dict)
    }
    images, problems = _images(content, name)
    of_image, strays = _by_image(content, images, name)
    yield from problems
    folders = _folders(path)
    for key, (_, image) in images.items():
        where = quote(f"{path.name}, image {key}", 200)
        size = size_of(image.get("width"), image.get("height"))
        regions = []
        for number, annotation, region in of_image.get(key, ()):
            try:
                regions.append(_region(region, annotation, categories, size))
            except UsageError as error:
                place = f"{name}, annotation {number}{_called(annotation)}"
                yield Problem(f"{key}/annotation {number}", place, f"{error}")
        picture = find_picture(image["file_name"], folders, pictures)
        yield AnnotatedPicture(key, picture, tuple(regions), size, where)
    yield from strays


def _annotate(path: Path, answers: Answers, output: Path) -> None:
    """The answer to an annotation goes to its ``attributes.answer``, where CVAT reads it, a picture's to ``answer``."""
    content, data = _load(path)
    images, _ = _images(content, path.name)
    of_image, _ = _by_image(content, images, path.name)
    for key, (_, image) in images.items():
        answer = answers(key, None)
        if answer is not None:
            image["answer"] = answer
        for _, annotation, region in of_image.get(key, ()):
            answer = answers(key, region)
            if answer is not None:
                attributes = annotation.setdefault("attributes", {})
                (attributes if isinstance(attributes, dict) else annotation)["answer"] = answer
    write_copy(dump_json(content, data), path, output)


def _load(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        data = file_bytes(path)
        content = parse_json(data)
        for key in ("images", "annotations"):
            if not isinstance(content, dict) or not isinstance(content.get(key), list):
                raise UsageError(f"isn't COCO: it has no list called {key!r}")
        if not isinstance(content.get("categories") or [], list):
            raise UsageError(f"isn't COCO: its categories are {shown(content['categories'])}")
    except UsageError as error:
        raise UsageError(f"{quote(str(path))}: {error}") from None
    return content, data


def _images(content: dict[str, Any], name: str) -> tuple[dict[str, Entry], list[Problem]]:
    """The usable images by id, in order, and what is wrong with the others."""
    images: dict[str, Entry] = {}
    problems = []
    for number, image in enumerate(content["images"], 1):
        key = key_of(image.get("id")) if isinstance(image, dict) else None
        if not isinstance(image, dict):
            sentence = f"an image must be an object, got {shown(image)}"
        elif key is None:
            sentence = f"its id must be a number, got {shown(image.get('id'))}"
        elif key in images:
            sentence = f"its id {quote(key)} is image {images[key][0]}'s already"
        elif not isinstance(image.get("file_name"), str) or not image["file_name"]:
            sentence = f"its file_name must be the name of a picture, got {shown(image.get('file_name'))}"
        else:
            images[key] = number, image
            continue
        problems.append(Problem(f"image {number}", f"{name}, image {number}{_called(image)}", sentence))
    return images, problems


def _by_image(
    content: dict[str, Any], images: dict[str, Entry], name: str
) -> tuple[dict[str, list[tuple[int, dict[str, Any], str]]], list[Problem]]:
    """The annotations of every image, each with its number in the file and its id; and those of none."""
    result: dict[str, list[tuple[int, dict[str, Any], str]]] = {}
    seen: dict[tuple[str, str], int] = {}
    problems = []
    for number, annotation in enumerate(content["annotations"], 1):
        image = key_of(annotation.get("image_id")) if isinstance(annotation, dict) else None
        if not isinstance(annotation, dict):
            sentence = f"an annotation must be an object, got {shown(annotation)}"
        elif image is None or image not in images:
            sentence = f"its image_id {shown(annotation.get('image_id'))} is none of the images'"
        else:
            region = key_of(annotation.get("id")) or f"#{number}"  # what detectors write has no ids
            first = seen.setdefault((image, region), number)
            if first == number:
                result.setdefault(image, []).append((number, annotation, region))
                continue
            sentence = f"its id {quote(region)} is annotation {first}'s already"
        place = f"{name}, annotation {number}{_called(annotation)}"
        problems.append(Problem(f"annotation {number}", place, sentence))
    return result, problems


def _region(
    key: str, annotation: dict[str, Any], categories: dict[str | None, dict[str, Any]], size: tuple[int, int] | None
) -> Region:
    label = None
    category = annotation.get("category_id")
    attributes = plain_values(annotation, _NOT_ATTRIBUTES) | plain_values(annotation.get("attributes"))
    if category is not None and categories:
        found = categories.get(key_of(category))
        if found is None:
            raise UsageError(f"its category_id {shown(category)} is none of the categories'")
        label = key_of(found.get("name"))
        attributes = plain_values(found, {"id", "name"}) | attributes
    outline = partial(_outline, annotation["segmentation"], size) if annotation.get("segmentation") else None
    found_marker = _marker(annotation, size)
    return Region(key, found_marker, label, attributes, outline if annotation.get("bbox") else None)


def _marker(annotation: dict[str, Any], size: tuple[int, int] | None) -> str | Rle:
    segmentation = annotation.get("segmentation")
    if annotation.get("bbox"):
        x, y, width, height = numbers(annotation["bbox"], "its bbox", 4)
        return marker("box", (x, y, x + width, y + height))
    if isinstance(segmentation, dict) or (isinstance(segmentation, list) and segmentation):
        return _outline(segmentation, size)
    if annotation.get("keypoints"):
        raise UsageError("it has keypoints alone, for which there is no marker; it needs a bbox")
    raise UsageError("it has neither a bbox nor a segmentation")


def _outline(segmentation: Any, size: tuple[int, int] | None) -> str | Rle:
    if isinstance(segmentation, dict):
        return _rle(segmentation)
    if not isinstance(segmentation, list):
        raise UsageError(f"its segmentation must be polygons or run lengths, got {shown(segmentation)}")
    polygons = [_corners(each) for each in segmentation]
    return polygon(polygons[0]) if len(polygons) == 1 else _merged(polygons, size)


def _corners(values: object) -> list[tuple[float, float]]:
    flat = numbers(values, "a polygon of its segmentation")
    if len(flat) % 2:
        raise UsageError(f"a polygon of its segmentation has {len(flat)} numbers, which is odd")
    return list(zip(flat[::2], flat[1::2], strict=True))


def _rle(segmentation: dict[str, Any]) -> Rle:
    height, width = (integer(value, "the size of its mask") for value in numbers(segmentation.get("size"), "size", 2))
    counts = segmentation.get("counts")
    if isinstance(counts, list):
        if not all(type(count) is int for count in counts):
            raise UsageError("the counts of its mask must be whole numbers")
        return Rle((height, width), tuple(counts))
    if not isinstance(counts, str):
        raise UsageError(f"the counts of its mask must be a text or a list of numbers, got {shown(counts)}")
    return Rle((height, width), counts)


def _merged(polygons: list[list[tuple[float, float]]], size: tuple[int, int] | None) -> Rle:
    """Several polygons as one mask, which only fits on a picture whose size is known."""
    from vipcli.markers.formats.rle import from_polygons

    if size is None:
        raise UsageError("it has several polygons and no bbox, and its image no width and height to draw them on")
    return from_polygons(polygons, size)


def _folders(path: Path) -> list[Path]:
    """Beside the file, or in the layouts of COCO (``annotations/instances_val2017.json``), Datumaro and CVAT."""
    split = path.stem.rpartition("_")[2]
    root = path.parent.parent
    here = (path.parent, path.parent / "images")
    return [*here, root / split, root / "images" / split, root / "images", root]


def _called(entry: object) -> str:
    key = key_of(entry.get("id")) if isinstance(entry, dict) else None
    return f" (id {quote(key)})" if key else ""


COCO = Format("coco", _recognises, _read, _annotate)
