"""From a ``[[data]]`` of the settings to sources of samples, with everything found that can't be learnt from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from vipcli.errors import MarkerError, PictureError, UsageError, VipWarning, quote
from vipcli.images import open_picture
from vipcli.images.decoding import MAX_PIXELS, turn_of
from vipcli.images.opening import _REFUSED
from vipcli.images.strictness import strict_pillow
from vipcli.markers import Contour, Marker, Mask
from vipcli.markers.formats import Rle, recognise
from vipcli.markers.formats.reading import head_of, top_keys
from vipcli.prompt import Turn
from vipcli.training.annotated import read_annotated, read_manifest
from vipcli.training.instruct import read_instruct
from vipcli.training.marking import Region, Written, kinds_of
from vipcli.training.regions import PLACEHOLDER, Bad, Entry, Regions
from vipcli.training.settings import Data

__all__ = ["read_sources", "upright_size"]

_THREADS = 16
_OVER = 0.02  # of the picture's side that a box may stick out, by rounding; never less than 2 pixels


def read_sources(data: Data, side: int, where: Path) -> tuple[Regions, Regions | None, list[Bad]]:
    """The source of one ``[[data]]`` that isn't scenes, that of the entries held out, and all that is bad in it.

    side: of the model's square. where: the folder that relative paths count from. What kind of file it is decides how
    it is read: a JSON list of conversations, JSON lines, or annotations. Of every picture the header is read, and of
    icons all. Which entries are held out depends on their ids alone; None: none is. Raises `UsageError` with one
    sentence where the file can't be read at all, or nothing in it is usable.
    """
    path = where / os.path.expanduser(data.source)
    kinds = kinds_of(data.markers)
    entries, bad = [], []
    for one in _read(data, path, where):
        if isinstance(one, Bad):
            bad.append(one)
        else:
            entries.append(one)
    sizes = _sizes(one.image for one in entries if one.image is not None)
    good = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VipWarning)  # a marker in the grammar is clipped, as it is everywhere
        for entry in entries:
            found = list(_checked(entry, None if entry.image is None else sizes[entry.image], kinds))
            good += [one for one in found if isinstance(one, Entry)]
            bad += [one for one in found if isinstance(one, Bad)]
    if not good:
        why = f": {bad[0].where}: {bad[0].sentence}" if bad else ""
        raise UsageError(f"{quote(str(path))} has nothing to learn from{why}")
    kept = [entry for entry in good if not _is_held_out(entry.id, data.held_out)]
    held = [entry for entry in good if _is_held_out(entry.id, data.held_out)]
    if not kept:
        kept, held = good, []
    train = Regions(kept, side, kinds, data.weight)
    return train, Regions(held, side, kinds, data.weight) if held else None, bad


def _read(data: Data, path: Path, where: Path) -> Iterator[Entry | Bad]:
    images = None if data.images is None else where / os.path.expanduser(data.images)
    if not os.path.exists(path):
        raise UsageError(f"there is no {quote(str(path))}: source is scenes, a file or a folder of annotations")
    if images is not None and not os.path.isdir(images):
        raise UsageError(f"{quote(str(path))}: there is no folder {quote(str(images))} for its images")
    suffix = path.suffix.lower()
    beside = path.parent if images is None else images
    if suffix in (".jsonl", ".ndjson") and not os.path.isdir(path):
        _check_idle(data, path)
        return read_manifest(path, beside)
    is_list = suffix == ".json" and head_of(path).startswith("[")
    if is_list and top_keys(head_of(path), 2) & {"conversations", "bboxes"}:
        _check_idle(data, path)
        return read_instruct(path, beside)
    if form := recognise(path):
        return read_annotated(form, path, images, data.question, data.answer, data.regions)
    if is_list:
        return read_instruct(path, beside)
    raise UsageError(
        f"{quote(str(path))} is nothing that vip can train on: use a .json list of conversations, a .jsonl file, or "
        "the annotations of COCO, YOLO, VOC, LabelMe, CVAT or Label Studio"
    )


def _check_idle(data: Data, path: Path) -> None:
    for key in fields(data):
        if key.name in ("question", "answer", "regions") and getattr(data, key.name) != key.default:
            its = f"{key.name} is for annotations, and this file says itself what is asked"
            raise UsageError(f"{quote(str(path))}: {its}")


def _is_held_out(key: str, share: float) -> bool:
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _sizes(paths: Iterable[str]) -> dict[str, tuple[int, int] | PictureError]:
    """The size of every picture, or why it can't be one."""
    names = list(dict.fromkeys(paths))

    def measured(name: str) -> tuple[int, int] | PictureError:
        try:
            return upright_size(name)
        except PictureError as error:
            return error

    with strict_pillow(), ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(names, pool.map(measured, names), strict=True))


def upright_size(path: str) -> tuple[int, int]:
    """The (width, height) of a picture file as `open_picture` would open it, from its header alone.

    Raises `PictureError` where it is none. What is cut off behind its header isn't noticed.
    """
    size = None
    if os.path.isfile(path):  # a pipe may wait for ever
        try:
            with strict_pillow(), open(path, "rb") as file:
                size = _header(file)
        except Exception:  # Pillow throws anything at all on a damaged file
            size = None
    if size is None:
        picture = open_picture(path)  # says what is wrong, or opens what has no plain header
        size = (picture.shape[1], picture.shape[0])
    return size


def _header(file: BinaryIO) -> tuple[int, int] | None:
    for load_plugins in (Image.preinit, Image.init):  # the five common formats, then all
        load_plugins()
        try:
            image = Image.open(file, formats=[form for form in Image.ID if form not in _REFUSED])
        except Image.UnidentifiedImageError:
            continue
        width, height = image.size
        if image.format == "TIFF":  # some versions of Pillow have turned this size already
            width, height = (int(image.tag_v2[tag]) for tag in (256, 257))  # type: ignore[attr-defined]
        if image.format in ("ICO", "ICNS") or not 0 < width * height <= MAX_PIXELS:
            return None  # an icon's true size is known only once it is decoded
        # Of a PNG that has none in front of its pixels, `getexif` would decode these.
        turn = turn_of(image) if image.format != "PNG" or "exif" in image.info else None
        if turn is None:
            return width, height
        turned = turn(np.broadcast_to(np.uint8(0), (height, width)))
        return turned.shape[1], turned.shape[0]
    return None


def _checked(
    entry: Entry, size: tuple[int, int] | PictureError | None, kinds: Sequence[type[Marker]]
) -> Iterator[Entry | Bad]:
    """The entry with its regions known, and what is bad of it: all, or some of its regions where each stands alone."""
    if isinstance(size, PictureError):
        yield Bad(entry.where, f"its picture can't be opened: {size}")
        return
    if size is None:
        yield from _unpictured(entry)
        return
    if entry.size is not None and entry.size != size:
        turned = ", perhaps turned by its EXIF orientation," if entry.size == size[::-1] else ""
        yield Bad(
            entry.where,
            f"its picture is {size[0]} x {size[1]} pixels{turned} and the annotations are for "
            f"{entry.size[0]} x {entry.size[1]}",
        )
        return
    regions, kept = [], []
    for number, written in enumerate(entry.regions):
        name = (written.name if isinstance(written, Written) else "") or f"region {number}"
        try:
            region = _region(written, size, kinds)
            if entry.at_once is not None:
                _check_placeholders(entry.conversations[number], 1)
        except UsageError as error:
            if entry.at_once is None:
                yield Bad(entry.where, f"{name}: {error}")
                return
            yield Bad(f"{entry.where}, {name}", str(error))
            continue
        regions.append(region)
        kept.append(number)
    if entry.at_once is not None:
        if regions:
            conversations = tuple(entry.conversations[number] for number in kept)
            yield replace(entry, regions=tuple(regions), conversations=conversations, size=size)
        return
    try:
        for turns in entry.conversations:
            _check_placeholders(turns, len(regions))
    except UsageError as error:
        yield Bad(entry.where, str(error))
        return
    yield replace(entry, regions=tuple(regions), size=size)


def _unpictured(entry: Entry) -> Iterator[Entry | Bad]:
    if entry.regions:
        yield Bad(entry.where, f"it has {len(entry.regions)} regions and no image")
        return
    try:
        for turns in entry.conversations:
            _check_placeholders(turns, 0)
    except UsageError as error:
        yield Bad(entry.where, str(error))
        return
    yield entry


def _check_placeholders(turns: Iterable[Turn], count: int) -> None:
    for turn in turns:
        for found in PLACEHOLDER.finditer(f"{turn.question} {turn.answer}"):
            if int(found[1] or 0) >= count:
                has = f"the last of its {count} is <bbox{count - 1}>" if count else "it has none"
                raise UsageError(f"its text names {found[0]}, which is no region: {has}")


def _region(written: Region | Written, size: tuple[int, int], kinds: Sequence[type[Marker]]) -> Region:
    """The region, if it can be marked on a picture of `size`. Raises `UsageError`."""
    region = written.region(size) if isinstance(written, Written) else written
    if isinstance(written, Region) and isinstance(region.outline, Rle):
        try:
            region.outline.mask(size)
        except MarkerError as error:
            raise UsageError(str(error)) from None
    if region.marker is not None:
        return region
    x1, y1, x2, y2 = region.box
    shown = ",".join(f"{number:g}" for number in region.box)
    (width, height) = size
    if x2 < x1 or y2 < y1:
        raise UsageError(f"its box {shown} has swapped corners: it is x1, y1, x2, y2 with the top left one first")
    if x2 - x1 < 1 or y2 - y1 < 1:
        share = "; numbers are pixels, not shares" if max(region.box) <= 1 and max(region.box) > 0 else ""
        raise UsageError(f"its box {shown} is empty: it is less than a pixel wide or high{share}")
    over_x, over_y = max(2.0, _OVER * width), max(2.0, _OVER * height)
    if x1 < -over_x or y1 < -over_y or x2 > width + over_x or y2 > height + over_y or not _meets(region.box, size):
        raise UsageError(f"its box {shown} lies outside the picture, which is {width} x {height} pixels")
    if isinstance(region.outline, tuple):
        for x, y in chain.from_iterable(region.outline):
            if not (-width <= x <= 2 * width and -height <= y <= 2 * height):
                raise UsageError(f"its segmentation has a corner at {x:g},{y:g}, far outside the picture")
        if not _overlap(region):
            raise UsageError(f"its box {shown} and its segmentation don't overlap")
    if region.kind is None and region.outline is None and all(kind in (Contour, Mask) for kind in kinds):
        raise UsageError("only its box is known, and the markers contour and mask need an outline")
    return region


def _meets(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    return box[0] <= size[0] - 1 and box[1] <= size[1] - 1 and box[2] >= 1 and box[3] >= 1


def _overlap(region: Region) -> bool:
    assert isinstance(region.outline, tuple)
    xs, ys = zip(*chain.from_iterable(region.outline), strict=True)
    x1, y1, x2, y2 = region.box
    return min(xs) <= x2 and max(xs) >= x1 and min(ys) <= y2 and max(ys) >= y1
