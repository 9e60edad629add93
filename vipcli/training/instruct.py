"""The authors' instruct format: one JSON list of pictures with boxes, outlines and conversations.

As `llava/train/train.py`, `llava/visual_prompt_organizer.py` and `docs/Finetune_Custom_Data.md` in mu-cai/ViP-LLaVA
read it: ``id``, ``image`` (none: a conversation about no picture), ``bboxes`` (or ``bbox``) as x1, y1, x2, y2 in
pixels, ``segmentations`` with for each box nothing or COCO's polygons (x, y, x, y ...), and ``conversations`` in
which ``human`` and ``gpt`` take turns, with ``<bbox>`` or ``<bbox0>``, ``<bbox1>`` ... for the boxes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vipcli.errors import UsageError, quote
from vipcli.markers.formats import Rle
from vipcli.markers.formats.reading import file_bytes, integer, key_of, numbers, parse_json, shown
from vipcli.prompt import IMAGE, Turn, neutralise
from vipcli.training.marking import Polygon, Region
from vipcli.training.regions import Bad, Entry

__all__ = ["boxes_of", "clean", "image_of", "read_instruct", "turns_of"]

_ASKS = ("human", "user")
_ANSWERS = ("gpt", "assistant")


def read_instruct(path: Path, images: Path) -> Iterator[Entry | Bad]:
    """The entries of a file in order, and what is wrong with the others.

    images: the folder that pictures lie in. Raises `UsageError` where the file can't be read as a whole.
    """
    try:
        content = parse_json(file_bytes(path))
        if not isinstance(content, list):
            raise UsageError("isn't the instruct format: it must be a list of objects with conversations")
    except UsageError as error:
        raise UsageError(f"{quote(str(path))}: {error}") from None
    for number, row in enumerate(content, 1):
        key = key_of(row.get("id")) if isinstance(row, dict) else None
        where = f"{quote(path.name)}, entry {number}" + (f" (id {quote(key, 60)!r})" if key else "")
        try:
            yield _entry(row, key or f"entry {number}", where, images)
        except UsageError as error:
            yield Bad(where, str(error))


def _entry(row: object, key: str, where: str, images: Path) -> Entry:
    if not isinstance(row, dict):
        raise UsageError(f"it must be an object, got {shown(row)}")
    given = row.get("bboxes", row.get("bbox"))
    regions = boxes_of([] if given is None else given, row.get("segmentations"))
    if "conversations" not in row:
        raise UsageError("it has no conversations")
    return Entry(key, where, image_of(row, images), regions, (turns_of(row["conversations"]),))


def image_of(row: Mapping[str, Any], images: Path) -> str | None:
    """Where the ``image`` of an entry lies; None where it has none. Raises `UsageError` where that is no path."""
    image = row.get("image")
    if image is None:
        return None
    if not isinstance(image, str) or not image:
        raise UsageError(f"its image must be the path of a picture, got {shown(image)}")
    if image[:5].lower() == "data:" or "://" in image:
        raise UsageError(f"its image must be a file, not an address: download {quote(image)} first")
    return os.path.join(images, image)


def boxes_of(boxes: object, segmentations: object = None) -> tuple[Region, ...]:
    """Regions from a list of boxes and one of their outlines, or None. Raises `UsageError` with one sentence."""
    if not isinstance(boxes, list):
        raise UsageError(f"its boxes must be a list of [x1, y1, x2, y2], got {shown(boxes)}")
    outlines = [None] * len(boxes) if segmentations is None else segmentations
    if not isinstance(outlines, list):
        raise UsageError(f"its segmentations must be a list, got {shown(outlines)}")
    if len(boxes) != len(outlines):
        raise UsageError(f"it has {len(boxes)} boxes and {len(outlines)} segmentations: there must be one for each")
    regions = []
    for number, (box, outline) in enumerate(zip(boxes, outlines, strict=True)):
        x1, y1, x2, y2 = numbers(box, f"its box {number}", 4)
        regions.append(Region((x1, y1, x2, y2), _outline(outline, f"its segmentation {number}")))
    return tuple(regions)


def _outline(value: object, what: str) -> tuple[Polygon, ...] | Rle | None:
    """COCO's ways to write an outline: a list of polygons, one polygon, run lengths; nothing is none."""
    if isinstance(value, dict):
        return _runs(value, what)
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        raise UsageError(f"{what} must be a list of polygons, got {shown(value)}")
    if not any(isinstance(one, list) for one in value):
        value = [value]
    elif all(isinstance(one, list) and len(one) == 2 for one in value):  # x, y pairs of one polygon
        value = [[number for pair in value for number in pair]]
    polygons = []
    for one in value:
        flat = numbers(one, f"a polygon of {what}")
        if len(flat) % 2:
            raise UsageError(f"a polygon of {what} has {len(flat)} numbers, which is odd")
        if len(flat) >= 6:  # less is a speck that the annotator's tool left
            polygons.append(tuple(zip(flat[::2], flat[1::2], strict=True)))
    return tuple(polygons) or None


def _runs(value: Mapping[str, Any], what: str) -> Rle:
    height, width = (
        integer(one, "the size of its mask") for one in numbers(value.get("size"), f"the size of {what}", 2)
    )
    counts = value.get("counts")
    if isinstance(counts, list) and all(type(count) is int for count in counts):
        return Rle((height, width), tuple(counts))
    if not isinstance(counts, str):
        raise UsageError(f"the counts of {what} must be a text or a list of whole numbers, got {shown(counts)}")
    return Rle((height, width), counts)


def turns_of(conversation: object) -> tuple[Turn, ...]:
    """The turns of a list of ``{"from": "human", "value": ...}`` and ``{"from": "gpt", ...}``.

    ``<image>`` goes, since the picture always stands in front. Raises `UsageError` with one sentence where they don't
    alternate or say nothing.
    """
    if not isinstance(conversation, list):
        raise UsageError(f"its conversations must be a list, got {shown(conversation)}")
    if not conversation:
        raise UsageError("its conversation is empty")
    texts = []
    for number, one in enumerate(conversation):
        speaker, text = (one.get("from"), one.get("value")) if isinstance(one, dict) else (None, None)
        expected = _ANSWERS if number % 2 else _ASKS
        if speaker not in expected:
            said = f"from {shown(speaker)}" if isinstance(one, dict) else shown(one)
            raise UsageError(
                f"its turns don't alternate: number {number + 1} must be from {expected[0]!r}, and is {said}"
            )
        if not isinstance(text, str):
            raise UsageError(f"the value of its turn {number + 1} must be a text, got {shown(text)}")
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise UsageError(f"the value of its turn {number + 1} isn't UTF-8: {quote(text)!r}")
        texts.append(clean(text))
    if len(texts) % 2:
        raise UsageError("its last question has no answer")
    return _paired(texts)


def _paired(texts: Sequence[str]) -> tuple[Turn, ...]:
    for number, text in enumerate(texts):
        if not text.strip():
            what = "answer" if number % 2 else "question"
            raise UsageError(f"its {what} {number // 2 + 1} is empty")
    return tuple(Turn(*pair) for pair in zip(texts[::2], texts[1::2], strict=True))


def clean(text: str) -> str:
    """A text of a file as a turn's: without ``<image>``, and with nothing that could act as the separator."""
    return neutralise(text.replace(IMAGE, "").strip())
