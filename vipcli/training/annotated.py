"""Annotations with templates for what is asked and answered, and JSON lines with regions and conversations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vipcli.errors import UsageError, quote
from vipcli.markers.formats import Format, Problem
from vipcli.markers.formats import Region as AnnotatedRegion
from vipcli.markers.formats.reading import key_of, shown
from vipcli.prompt import Turn
from vipcli.templates import fill_places
from vipcli.training.instruct import boxes_of, clean, image_of, turns_of
from vipcli.training.marking import Region, Written
from vipcli.training.regions import Bad, Entry

__all__ = ["fill", "read_annotated", "read_manifest"]

_IT = "the object <bbox>"
_NAME = re.compile(r"(?:[A-Za-z]+:)?(\w[\w-]{0,63})=")  # of a marker in the grammar


def read_annotated(
    form: Format, path: Path, images: Path | None, question: str, answer: str, at_once: int
) -> Iterator[Entry | Bad]:
    """The pictures of annotations with a conversation for each of their regions, and what is wrong with others.

    images: where the pictures lie; None: where the format has them. question, answer: templates, see `fill`, with
    ``{it}`` for the marked thing, ``{label}`` and the region's attributes. at_once: how many regions are marked, at
    most. Raises `UsageError` where nothing can be read.
    """
    for picture in form.read(path, images):
        if isinstance(picture, Problem):
            yield Bad(picture.where, picture.sentence)
            continue
        regions, conversations = [], []
        for region in picture.regions:
            name = f"region {quote(region.id)}"
            try:
                turns = _asked(region, question, answer)
                marker = region.outline() if region.outline else region.marker
            except UsageError as error:
                yield Bad(f"{picture.where}, {name}", str(error))
                continue
            regions.append(Written(marker, name=name))
            conversations.append(turns)
        if regions:
            made = tuple(regions), tuple(conversations)
            yield Entry(picture.id, picture.where, picture.path, *made, picture.size, at_once)


def _asked(region: AnnotatedRegion, question: str, answer: str) -> tuple[Turn, ...]:
    own = {"it": _IT, "label": region.label, "region": region.id}
    values = {**region.attributes, **{name: value for name, value in own.items() if value is not None}}
    texts = [clean(fill(template, values)) for template in (question, answer)]
    for text, what in zip(texts, ("question", "answer"), strict=True):
        if not text.strip():
            raise UsageError(f"its {what} is empty")
    return (Turn(*texts),)


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Put `values` into the ``{name}`` places of a template; ``{{`` and ``}}`` are braces.

    What is no text is written as JSON has it. Raises `UsageError` for a name that isn't among the values.
    """

    def value(name: str) -> Any:
        if name not in values:
            known = ", ".join(f"{{{quote(one)}}}" for one in values)
            raise UsageError(f"it has no {{{quote(name)}}} for {quote(template)!r}; it has {known}")
        return values[name]

    return fill_places(template, value)


def read_manifest(path: Path, images: Path) -> Iterator[Entry | Bad]:
    """The entries of JSON lines, and what is wrong with the others.

    A line has ``image`` (or none), its regions as ``markers`` (in the grammar: a box becomes a marker of any kind,
    another kind stays and gets a new style) or ``boxes`` (x1, y1, x2, y2 in pixels) with ``segmentations`` if there
    are any, and ``question`` and ``answer``, or ``conversations`` as in the instruct format. Regions are ``<bbox0>``,
    ``<bbox1>`` ... in the texts, or as in a manifest of ``vip batch`` ``@1``, ``@2`` and ``@name``. images: the
    folder that pictures lie in. Raises `UsageError` where the file can't be read.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _line(line, number, f"{quote(path.name)}, line {number}", images)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name can't be a file's"
        raise UsageError(f"{quote(str(path))} can't be read: {reason}") from None


def _line(line: str, number: int, where: str, images: Path) -> Entry | Bad:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return Bad(where, "it is no JSON object")
    if not isinstance(row, dict):
        return Bad(where, "it is no JSON object")
    key = key_of(row.get("id"))
    where += f" (id {quote(key, 60)!r})" if key else ""
    try:
        regions, names = _regions(row)
        turns = tuple(
            Turn(_named(turn.question, names, strict=True), _named(turn.answer or "", names, strict=False))
            for turn in _turns(row)
        )
        return Entry(key or f"line {number}", where, image_of(row, images), regions, (turns,))
    except UsageError as error:
        return Bad(where, str(error))


def _regions(row: Mapping[str, Any]) -> tuple[tuple[Region | Written, ...], list[str]]:
    """The regions of a line, and what each is called."""
    markers, boxes = row.get("markers"), row.get("boxes", row.get("bboxes"))
    if markers in (None, "", []):
        regions = boxes_of([] if boxes is None else boxes, row.get("segmentations"))
        return regions, [str(number) for number in range(1, len(regions) + 1)]
    if boxes is not None:
        raise UsageError("it has markers and boxes: give one of them")
    texts = [markers] if isinstance(markers, str) else markers
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f'its markers must be a list of texts, like ["40,30,200,180"], got {shown(markers)}')
    names = [found[1] if (found := _NAME.match(text)) else str(number) for number, text in enumerate(texts, 1)]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two of its markers are called {quote(doubled)!r}")
    return tuple(Written(text, kept=True) for text in texts), names


def _turns(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    if row.get("conversations") is not None:
        if row.get("question") is not None or row.get("answer") is not None:
            raise UsageError("it has conversations beside a question or an answer: give one of them")
        return turns_of(row["conversations"])
    for what in ("question", "answer"):
        if row.get(what) is None:
            raise UsageError(f"it has no {what}")
        if not isinstance(row[what], str):
            raise UsageError(f"its {what} must be a text, got {shown(row[what])}")
    return turns_of([{"from": "human", "value": row["question"]}, {"from": "gpt", "value": row["answer"]}])


def _named(text: str, names: list[str], *, strict: bool) -> str:
    """`text` with a placeholder behind a noun for every ``@name``, as `vipcli.prompt.expand` has it.

    strict: raises `UsageError` for a name that no region has; else it stays, since it may be anything.
    """

    def noun(match: re.Match[str]) -> str:
        if match[0] == "@@":
            return "@"
        name = match[1]
        while name not in names and name.endswith("-"):
            name = name[:-1]
        if name not in names:
            if not strict:
                return match[0]
            known = ", ".join(f"@{quote(one)}" for one in names) or "none"
            raise UsageError(f"its question names @{quote(match[1])}, which no region is called; there is {known}")
        thing = "object" if name.isdigit() else name.replace("_", " ")
        return f"the {thing} <bbox{names.index(name)}>{match[1][len(name) :]}"

    return re.sub(r"@@|(?<!\w)@(\w[\w-]*)", noun, text)
