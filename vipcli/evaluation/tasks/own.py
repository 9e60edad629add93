"""Region questions of a user's own: a JSON object a line.

``image``, ``question`` and ``markers`` as in a manifest of ``vip batch`` (a ``@name`` or ``@1`` of the question becomes
the words for that marker), and ``answer``: a text, a number, or a list of them, each of which is right. ``rule``:
``exact`` where nothing is said, ``contains``, ``letter``, ``number`` or ``judged``; see `vipcli.evaluation.answers`.
``choices``: a list of texts, which get letters and stand behind the question; the answer is then one of them, or its
letter. ``groups``: what the score is told by: ``{"scene": "indoors"}``, or the names of other fields, ``["scene"]``.
``id``: any text; else the number of the line.

With a style, every marker is drawn in it around the same region; a question that names it by ``@`` says so.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from vipcli.batch import Item, MarkerText
from vipcli.batch.manifests import parse_object, read_lines
from vipcli.batch.places import placed, placed_marker
from vipcli.batch.preparing import opened
from vipcli.errors import UsageError, VipError, VipWarning, quote
from vipcli.evaluation.cases import Case, Reading, Rule, Task
from vipcli.evaluation.letters import LETTERS
from vipcli.evaluation.numerals import read_number
from vipcli.evaluation.styles import Style, mark_region, region_of
from vipcli.evaluation.tasks.reading import evenly, naming, text_of, texts_of
from vipcli.evaluation.tasks.wording import multiple_choice
from vipcli.markers import parse, render
from vipcli.markers.formats.reading import shown

__all__ = ["task_for"]

_RULES: dict[str, Rule] = {name: name for name in ("exact", "contains", "letter", "number", "judged")}
_FIELDS = ("id", "image", "question", "markers", "answer", "rule", "choices", "groups")


def task_for(path: Path) -> Task:
    """The task that a JSONL file is. What is wrong with it, reading its cases says, with the number of the line."""

    def read(reading: Reading) -> Iterator[Case]:
        return iter(_cases(path, reading))

    return Task(path.name, "questions of your own", read, needs_data=False, max_new_tokens=256)


def _cases(path: Path, reading: Reading) -> list[Case]:
    folder = path.parent if reading.folder is None else reading.folder
    lines = [(number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()]
    if not lines:
        raise UsageError(f"{quote(str(path))} has no questions: each is a line with a JSON object")
    cases = []
    known: dict[str, str] = {}
    for number, line in lines:
        where = f"{path.name}, line {number}"
        with naming(quote(where)):
            case = _case(parse_object(line), number, folder, where)
            if case.id in known:
                raise UsageError(f"its id {quote(case.id)!r} is that of {quote(known[case.id])} too")
            known[case.id] = where
            cases.append(case)
    chosen = [cases[index] for index in evenly(len(cases), reading.limit)]
    for case in chosen:
        if not _is_address(case.image) and not os.path.isfile(case.image):
            raise UsageError(f"{quote(case.where)}: its picture is missing: {quote(case.image, 200)}")
    return chosen if reading.style is None else [_restyled(case, reading.style) for case in chosen]


def _is_address(image: str) -> bool:
    return placed(image, Path("elsewhere")) == image and not os.path.isabs(image)


def _case(row: Mapping[str, Any], number: int, folder: Path, where: str) -> Case:
    key = row.get("id", number)
    if isinstance(key, bool) or not isinstance(key, str | int | float) or key == "":
        raise UsageError(f"its id must be a text or a number, got {shown(key)}")
    question = text_of(row, "question")
    given = row.get("markers")
    markers = (given,) if isinstance(given, str) and given else texts_of(row, "markers") if given else ()
    choices = texts_of(row, "choices") if row.get("choices") is not None else ()
    if choices:
        if not 2 <= len(choices) <= len(ascii_uppercase):
            raise UsageError(f"its choices must be 2 to {len(ascii_uppercase)}, got {len(choices)}")
        question = multiple_choice(question, choices)
    rule = _rule(row, choices)
    return Case(
        id=str(key),
        image=placed(text_of(row, "image"), folder),
        question=question,
        truth=_truth(rule, row.get("answer"), choices),
        rule=rule,
        markers=tuple(MarkerText(placed_marker(text, folder)) for text in markers),
        groups=_groups(row),
        choices=tuple(ascii_uppercase[: len(choices)]),
        where=where,
    )


def _rule(row: Mapping[str, Any], choices: tuple[str, ...]) -> Rule:
    name = row.get("rule", "letter" if choices else "exact")
    if not isinstance(name, str) or name not in _RULES:
        raise UsageError(f"its rule must be one of {', '.join(_RULES)}, got {shown(name)}")
    if choices and name != "letter":
        raise UsageError(f"its choices go with the rule letter, not with {name}")
    return _RULES[name]


def _truth(rule: Rule, answer: object, choices: tuple[str, ...]) -> str:
    """What `Case.truth` says of this rule. Raises `UsageError` where the answer is none that it could be."""
    answers = answer if isinstance(answer, list) else [answer]
    if not answers or not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in answers):
        raise UsageError(f"its answer must be a text, a number or a list of them, got {shown(answer)}")
    plain = (f"{Decimal(f'{one:.15g}'):f}" if isinstance(one, float) else str(one) for one in answers)
    texts = [" ".join(text.split()) for text in plain]
    if not all(texts):
        raise UsageError("its answer is empty")
    if rule == "letter":
        if len(texts) > 1:
            raise UsageError(f"its answer must be one letter, got {len(texts)}")
        return _letter_of(texts[0], choices)
    if rule == "number":
        for text in texts:
            if read_number(text) is None:
                raise UsageError(f"its answer must be a number, got {shown(text)}")
    return "<OR>".join(texts) if rule == "judged" else "\n".join(texts)


def _letter_of(text: str, choices: tuple[str, ...]) -> str:
    named = {
        letter for letter, choice in zip(ascii_uppercase, choices, strict=False) if " ".join(choice.split()) == text
    }
    letters = ascii_uppercase[: len(choices)] or LETTERS
    if len(text) == 1 and text.upper() in letters:
        named.add(text.upper())
    if len(named) != 1:
        wanted = f"one of its choices or a letter up to {letters[-1]}" if choices else "a letter"
        raise UsageError(f"its answer must be {wanted}, got {shown(text)}{', which may be several' if named else ''}")
    return named.pop()


def _groups(row: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    groups = row.get("groups")
    if isinstance(groups, list):
        for name in texts_of(row, "groups"):
            if name in _FIELDS or name not in row:
                raise UsageError(f"its groups name {quote(name)!r}, which is no field of its own")
        groups = {name: row[name] for name in groups}
    if groups is None:
        return {}
    if not isinstance(groups, dict):
        raise UsageError(f'its groups must be an object like {{"scene": "indoors"}} or a list, got {shown(groups)}')
    return {
        heading: texts_of(groups, heading) if isinstance(groups[heading], list) else (text_of(groups, heading),)
        for heading in groups
    }


def _restyled(case: Case, style: Style) -> Case:
    """The case with each marker drawn in `style` around the same region, called as before."""
    with naming(quote(case.where)), warnings.catch_warnings():
        warnings.simplefilter("ignore", VipWarning)  # what is partly outside is said of the picture that is asked about
        try:
            size = _size(case.image)
            colors = style.colors(len(case.markers))
            markers = []
            for text, color in zip(case.markers, colors, strict=True):
                old = parse(text.text, size)
                drawn = mark_region(region_of(old), style, color)[0]
                markers.append(MarkerText(render(replace(parse(drawn.text, size), name=old.name))))
        except (VipError, ValueError) as error:
            raise UsageError(f"its markers can't be drawn as {style.name}: {error}") from None
    return replace(case, markers=tuple(markers))


@lru_cache(maxsize=2**16)  # asked for again for each style
def _size(image: str) -> tuple[int, int]:
    height, width = opened(Item("", image, "")).shape[:2]
    return width, height
