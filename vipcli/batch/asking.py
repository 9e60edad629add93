"""What is asked of every picture of a source: the question's template, and how markers become items."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.errors import UsageError, quote
from vipcli.markers.formats import Rle
from vipcli.templates import fill_places

__all__ = ["Asking", "asked", "check_template", "fill"]

_ALIKE = 100  # items that are looked at for a name of the template: where none has it, the others won't either


@dataclass(frozen=True)
class Asking:
    """What is asked of every picture.

    question: a template (see `fill`); None: each item has its own. each: a question for every marker, not one for all
    of a picture; None: as is usual for the source. markers: put on every picture, behind its own. coords, box_format:
    what the numbers of a manifest's markers count.
    """

    question: str | None = None
    each: bool | None = None
    markers: tuple[MarkerText, ...] = ()
    coords: str = "pixels"
    box_format: str = "xyxy"


def asked(item: Item, asking: Asking) -> Iterator[Item | BadItem]:
    """`item` as it is asked: its question filled in, once or, where `asking` says so, once for every marker."""
    markers = (*item.markers, *asking.markers)
    if asking.each and len(markers) > 1:
        for number, marker in enumerate(markers, 1):
            yield _filled(replace(item, id=f"{item.id}#{number}", markers=(marker,)), asking)
    else:
        yield _filled(replace(item, markers=markers) if asking.markers else item, asking)


def check_template(items: Iterable[Item | BadItem]) -> None:
    """Raise `UsageError` where the template has a name that none of the first `items` has: it is misspelt."""
    lacking: BadItem | None = None
    for item in islice(items, _ALIKE):
        if isinstance(item, Item):
            return
        if item.lacks and lacking is None:
            lacking = item
    if lacking is not None:
        raise UsageError(f"{quote(lacking.where or lacking.id)}: {lacking.sentence}")


def fill(template: str, values: Mapping[str, Any], whose: str = "this item") -> str:
    """Put `values` into the ``{name}`` places of a question template; ``{{`` and ``}}`` are braces.

    An ``@`` in a value is a plain one, not a marker's name; what is no text is written as JSON has it. Raises
    `UsageError` for a name that isn't among the values, which are `whose`.
    """

    def value(name: str) -> str:
        if values.get(name) is None:
            known = ", ".join(f"{{{quote(str(one))}}}" for one in values) or "none"
            missing = f"the question has {{{quote(name)}}}, which {whose} lacks"
            raise UsageError(f"{missing}; it has {known} (and {{{{ is a brace)")
        found = values[name]
        return (found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)).replace("@", "@@")

    return fill_places(template, value)


def _filled(item: Item, asking: Asking) -> Item | BadItem:
    if asking.question is None:  # a manifest's own question is no template
        if not item.question.strip():
            return BadItem(item.id, item.where, "it has no question, and no -q asks one", item.image)
        return item
    template = asking.question
    names = {"name": _name(item.markers)} if item.markers else {}
    own = {"id": item.id} | ({"question": item.question} if item.question else {})
    values = {**names, **item.fields, **own}
    try:
        return replace(item, question=fill(template, values))
    except UsageError as error:
        return BadItem(item.id, item.where, str(error), item.image, lacks=True)


def _name(markers: tuple[MarkerText | Rle, ...]) -> str:
    """What the first marker is called: its name, or 1."""
    first = markers[0]
    found = None if isinstance(first, Rle) else re.match(r"(?:[A-Za-z]+:)?(\w[\w-]{0,63})=", first.text)
    return found[1] if found else "1"
