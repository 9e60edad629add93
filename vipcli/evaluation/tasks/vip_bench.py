"""ViP-Bench: 303 questions whose markers are already in the pictures, tight boxes or drawn by hand; a judge scores.

Layout, as published: ``vip-bench-meta-data.json`` (``v1_0`` -> ``question`` with ``<obj>`` or ``<obj1>`` in the place
of the words for a marker, ``answer``, ``capability``, ``image_source``), ``SPLIT/questions.jsonl`` (``question_id``,
``image``, ``text``), ``SPLIT/images/``; ``source_image/`` has the pictures without markers and, as LabelMe JSON, the
regions, whose labels are the names in ``<>``. Questions are asked as `scripts/eval/vipbench.sh` and
`llava/eval/model_vqa.py` in mu-cai/ViP-LLaVA do: their text and nothing else.

With a style, the markers are drawn on the picture without any, in that style, and their words stand in the place of
``<obj>``. Where that can't be done surely (a question without ``<obj>``, a label that no region or several have), the
question and its picture stay as published; the heading ``marking`` tells the two apart.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from vipcli.batch.manifests import parse_object
from vipcli.errors import MarkerError, UsageError, VipWarning, quote
from vipcli.evaluation.cases import Case, Reading, Task
from vipcli.evaluation.styles import Region, Style, region_of
from vipcli.evaluation.tasks.reading import (
    Source,
    check_files,
    evenly,
    folder_of,
    naming,
    object_of,
    path_of,
    text_of,
    texts_of,
)
from vipcli.evaluation.tasks.wording import as_question, mark_all
from vipcli.markers import parse
from vipcli.markers.formats import FORMATS, Problem, Rle
from vipcli.markers.formats.reading import file_bytes, parse_json, shown

__all__ = ["CAPABILITIES", "TASKS"]

CAPABILITIES = {"rec": "Rec", "ocr": "OCR", "know": "Know", "math": "Math", "rel": "Rel", "lang": "Lang"}
"""As the data name them, and as the paper does."""

_PAGE = "https://huggingface.co/datasets/mucai/ViP-Bench"
_META, _QUESTIONS, _SOURCES = "vip-bench-meta-data.json", "questions.jsonl", "source_image"
_SPLITS = ("bbox", "human")
_OBJECT = re.compile(r"<(obj\d*)>")


@dataclass(frozen=True, eq=False)
class _Asked:
    """A line of a split's questions, with its entry of the meta data."""

    id: str
    where: str
    row: Mapping[str, Any]
    about: Mapping[str, Any]


def read(reading: Reading) -> Iterator[Case]:
    """The cases of a split."""
    split = reading.split or _SPLITS[0]
    if split not in _SPLITS:
        raise UsageError(f"vip-bench has no split {quote(split)}: use {' or '.join(_SPLITS)}")
    source = Source(f"{split}/{_QUESTIONS}", _PAGE, _PAGE)
    folder = folder_of(reading, Source(_META, _PAGE, _PAGE))
    every = _joined(_questions(folder, split), _meta(folder))
    chosen = [every[index] for index in evenly(len(every), reading.limit)]
    if reading.style is None:
        cases = [_as_published(one, folder / split) for one in chosen]
    else:
        cases = [_restyled(one, folder, split, reading.style) for one in chosen]
    check_files((case.image for case in cases), source)
    yield from cases


def _as_published(one: _Asked, folder: Path) -> Case:
    with naming(one.where):
        image = path_of(one.row, "image", folder / "images")
        return _case(one, image, as_question(text_of(one.row, "text")))


def _restyled(one: _Asked, folder: Path, split: str, style: Style) -> Case:
    """The question with its markers drawn in `style`, where that is sure; else as published, which its group tells."""
    with naming(f"{_META}, {one.id}"):
        template = text_of(one.about, "question")
        names = list(dict.fromkeys(_OBJECT.findall(template)))
        image = path_of(one.about, "image_source", folder / _SOURCES)
        size, regions = _regions(Path(image).with_suffix(".json")) if names else (None, {})
    if not names or not regions.keys() >= set(names):
        return _case(one, _as_published(one, folder / split).image, as_question(text_of(one.row, "text")), "published")
    drawn = mark_all([regions[name] for name in names], style)
    words = {name: phrase for name, (_, phrase) in zip(names, drawn, strict=True)}
    question = _OBJECT.sub(lambda match: words[match[1]], template)
    case = _case(one, image, as_question(question), "drawn")
    return replace(case, markers=tuple(marker for marker, _ in drawn), size=size)


def _case(one: _Asked, image: str, question: str, marking: str | None = None) -> Case:
    with naming(f"{_META}, {one.id}"):
        known = ", ".join(CAPABILITIES)
        capabilities = texts_of(one.about, "capability")
        if not capabilities or not all(name in CAPABILITIES for name in capabilities):
            raise UsageError(f"its capability must be a list of {known}, got {shown(one.about.get('capability'))}")
        groups = {"capability": tuple(CAPABILITIES[name] for name in CAPABILITIES if name in capabilities)}
        if marking is not None:
            groups["marking"] = (marking,)
        return Case(one.id, image, question, text_of(one.about, "answer"), "judged", groups=groups, where=one.where)


def _meta(folder: Path) -> Mapping[str, Any]:
    path = folder / _META
    if not path.exists():
        raise UsageError(f"{quote(str(folder))} has no {_META}: it is published at {_PAGE}")
    try:
        meta = parse_json(file_bytes(path))
    except UsageError as error:
        raise UsageError(f"{quote(str(path), 200)} {error}; it is published at {_PAGE}") from None
    return object_of(meta, quote(str(path), 200))


def _questions(folder: Path, split: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Case id -> where it stands, and its line."""
    path = folder / split / _QUESTIONS
    if not path.exists():
        raise UsageError(f"{quote(str(folder))} has no {split}/{_QUESTIONS}: it is published at {_PAGE}")
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    with naming(quote(str(path), 200)):
        lines = file_bytes(path).decode("utf-8-sig", "surrogateescape").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{split}/{_QUESTIONS}, line {number}"
        with naming(where):
            row = parse_object(line)
            key = row.get("question_id")
            if not isinstance(key, int | str) or isinstance(key, bool):
                raise UsageError(f"its question_id must be a number, got {shown(key)}")
            name = f"v1_{str(key).removeprefix('v1_')}"
            if name in found:
                raise UsageError(f"its question_id {quote(str(key))} is that of {found[name][0]} too")
            found[name] = where, row
    return found


def _joined(questions: Mapping[str, tuple[str, Mapping[str, Any]]], meta: Mapping[str, Any]) -> list[_Asked]:
    """Every question with its truth. Raises `UsageError` where one file lacks what the other has."""
    for has, lacks, name, other in ((meta, questions, _META, _QUESTIONS), (questions, meta, _QUESTIONS, _META)):
        missing = [key for key in has if key not in lacks]
        if missing:
            raise UsageError(
                f"{other} lacks {len(missing):,} of the {len(has):,} questions of {name}, first {quote(missing[0])}: "
                f"the two belong together as they are published at {_PAGE}"
            )
    if not questions:
        raise UsageError(f"{_QUESTIONS} has no questions: it is published at {_PAGE}")
    joined = []
    for key, (where, row) in questions.items():
        with naming(f"{_META}, {quote(key)}"):
            joined.append(_Asked(key, where, row, object_of(meta[key], "it")))
    return joined


@lru_cache(maxsize=512)  # read again for each style
def _regions(path: Path) -> tuple[tuple[int, int], Mapping[str, Region]]:
    """The picture's size and its regions by label, but those whose label several have, drawable or not.

    Shapes that LabelMe's reader can't use have no label here.
    """
    if not os.path.isfile(path):
        raise UsageError(f"its regions are missing, {quote(str(path), 200)}: they are published at {_PAGE}")
    read = FORMATS["labelme"].read(path, None)  # shapes that can't be used come before the picture
    picture = next((one for one in read if not isinstance(one, Problem)), None)
    if picture is None or picture.size is None:
        raise UsageError(f"{quote(str(path), 200)} lacks the picture's name or size: it is published at {_PAGE}")
    found: dict[str, list[Region | None]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VipWarning)  # what is partly outside is said of the picture that is asked about
        for one in picture.regions:
            its, region = one.marker, None
            with suppress(MarkerError):  # one that can't be drawn, and that perhaps no question is about
                region = region_of(its.mask(picture.size) if isinstance(its, Rle) else parse(its, picture.size))
            found.setdefault(one.label or "", []).append(region)
    single = {label: regions[0] for label, regions in found.items() if len(regions) == 1}
    return picture.size, {label: region for label, region in single.items() if region is not None}


TASKS = (
    Task(
        "vip-bench",
        "303 open questions about marked things, by six capabilities, which a judge scores",
        read,
        splits=_SPLITS,
        published={"7b bbox": 48.4, "7b human": 48.3, "13b bbox": 48.3, "13b human": 48.2},
        source="docs/MODEL_ZOO.md of mu-cai/ViP-LLaVA, judged by GPT-4",
        measure="judged score",
        max_new_tokens=1024,  # as llava/eval/model_vqa.py
        marks=False,
        home=_PAGE,
    ),
)
