"""The one loop of all tasks: load -> mark -> prompt -> batch -> score.

Everything that is asked is one job of `vipcli.batch`: the task's cases, and the same ones again for each variant of
their markers. Questions that follow another one are asked when that one has its answer.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vipcli.batch import BadItem, Event, Facts, Item, Journal, Source, Workers, read_rows, run
from vipcli.batch.feeding import Answering
from vipcli.batch.items import file_size
from vipcli.batch.workers import in_order
from vipcli.errors import UsageError, quote
from vipcli.evaluation.answers import score
from vipcli.evaluation.cases import Case, Reading, Rule, Task
from vipcli.evaluation.lines import MOVED, PLAIN, REMOVED, Line
from vipcli.evaluation.preparing import prepare_case, thumbnail_of
from vipcli.evaluation.styles import Style
from vipcli.prompt import Turn

__all__ = ["Contents", "Plan", "ask", "given", "scored", "thumbnails"]

_KEPT = 2**27  # characters of the images of cases, most of which are paths

Rows = Mapping[str, Mapping[str, Any]]
"""The last row of each id in the journal."""


@dataclass(frozen=True)
class Contents:
    """What a plan comes to. rules: how many of its cases have which. digest: 16 hexadecimal digits that change with any
    question, truth or marker, and with the size of a picture's file; they are the same wherever the data lie.
    """

    rules: Counter[Rule]
    digest: str


@dataclass(frozen=True)
class Plan:
    """What is asked: a task's cases as `reading` has them, and the same ones with their markers left out and moved
    (`control`), and drawn in each of `styles`.
    """

    task: Task
    reading: Reading
    control: bool = False
    styles: tuple[Style, ...] = ()
    _kept: list[tuple[str, Case]] = field(default_factory=list, init=False, repr=False, compare=False)

    def cases(self) -> Iterator[tuple[str, Case]]:
        """(variant, case) of everything that is asked, always in the same order. Raises `UsageError` as `Task.read`.

        They are read once, but where they carry so many pictures in themselves that memory would be too small.
        """
        if self._kept:
            yield from self._kept
            return
        kept: list[tuple[str, Case]] | None = []
        size = 0
        for pair in self._read():
            size += len(pair[1].image)
            if size > _KEPT:
                kept = None
            if kept is not None:
                kept.append(pair)
            yield pair
        self._kept.extend(kept or ())

    @functools.cached_property
    def contents(self) -> Contents:
        """What is asked, in short. Raises `UsageError` as `Task.read`."""
        rules: Counter[Rule] = Counter()
        digest = hashlib.blake2b(digest_size=8)
        for variant, case in self.cases():
            rules[case.rule] += 1
            picture = (os.path.basename(case.picture), file_size(case.image) if case.picture is case.image else None)
            asked = (variant, case.id, case.before, case.question, case.truth, case.rule, case.choices, case.markers)
            digest.update(repr((picture, asked)).encode("utf-8", "surrogatepass"))
        return Contents(rules, digest.hexdigest())

    def _read(self) -> Iterator[tuple[str, Case]]:
        variants = ((REMOVED, MOVED) if self.control else ()) + tuple(style.name for style in self.styles)
        taken = tuple(_id("", variant) for variant in variants)
        for case in self.task.read(self.reading):
            if taken and case.id.endswith(taken):
                name = quote(case.id)
                raise UsageError(f"{quote(case.where)}: its id {name!r} ends as those of other markings do: change it")
            yield PLAIN, case
            if self.control:
                yield REMOVED, case
                yield MOVED, case
        for style in self.styles:
            for case in self.task.read(replace(self.reading, style=style)):
                yield style.name, case


def ask(
    plan: Plan,
    engine: Answering,
    journal: Journal,
    path: Path,
    workers: Workers,
    facts: Facts,
    **how: Any,
) -> Generator[Event, None, int]:
    """Ask `engine` what `journal` has no answer for yet; its file lies at `path`. how: see `vipcli.batch.run`."""
    facts = replace(facts, prepare=prepare_case, fit=plan.task.fit)
    follows = any(case.before is not None for _, case in plan.cases())
    skipped, seconds, waited = 0, 0.0, 0.0
    for second in (False, True) if follows else (False,):
        source = _source(plan, _rows(path) if second else None)
        events = run(source, engine, journal, workers, facts, **how)
        event = None
        try:
            while True:
                event = next(events)
                yield Event(event.row, event.skipped + skipped, event.seconds + seconds, event.waited + waited)
        except StopIteration as end:
            skipped += int(end.value)
        if event is not None:
            seconds, waited = seconds + event.seconds, waited + event.waited
    return skipped


def _source(plan: Plan, answered: Rows | None) -> Source:
    """The items that stand alone or, where the answers to those are given, the ones that follow them."""

    def items() -> Iterator[Item | BadItem]:
        for variant, case in plan.cases():
            if (case.before is None) == (answered is None):
                yield _item(variant, case, answered or {})

    return Source(plan.task.name, None, items)


def _item(variant: str, case: Case, answered: Rows) -> Item | BadItem:
    turns: tuple[Turn, ...] = ()
    name = _id(case.id, variant)
    if case.before is not None:
        before = answered.get(_id(case.before, variant), {})
        if before.get("answer") is None:
            return BadItem(name, case.where, "the question before it has no answer", case.image)
        turns = (Turn(_asked(before), before["answer"]),)
    fields = {"variant": variant} if variant else {}
    return Item(name, case.image, case.question, case.markers, case.size, fields, case.where, turns=turns)


def _id(case: str, variant: str) -> str:
    return f"{case} ({variant})" if variant else case


def _asked(row: Mapping[str, Any]) -> str:
    """A row's question; that of a scene came to light when it was drawn."""
    return str(row["fields"].get("question") or row["question"])


def _rows(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for _, row in read_rows(path):
        if row["answer"] is not None or row["id"] not in found:
            found[row["id"]] = row
    return found


def scored(plan: Plan, path: Path) -> Iterator[Line]:
    """A line for each case, with what its answer in the journal at `path` is worth; a judge's part is still to come."""
    rows = _rows(path)
    for variant, case in plan.cases():
        if case.scored:
            yield _line(variant, case, rows.get(_id(case.id, variant)))


def _line(variant: str, case: Case, row: Mapping[str, Any] | None) -> Line:
    fields = {} if row is None else row["fields"]
    line = _unanswered(variant, case, fields)
    if row is None:
        return replace(line, error="it was not asked")
    if row["answer"] is None:
        return replace(line, error=str(row["error"]))
    return _with_answer(replace(line, markers=tuple(row["markers"])), case, row["answer"])


def given(plan: Plan, answers: Mapping[str, str]) -> Iterator[Line]:
    """A line for each case of `plan`, with what an answer that was given elsewhere is worth. answers: by case."""
    for variant, case in plan.cases():
        line = _unanswered(variant, case, {})
        if case.id in answers:
            yield _with_answer(line, case, answers[case.id])
        else:
            yield replace(line, error="there is no answer to it")


def _with_answer(line: Line, case: Case, answer: str) -> Line:
    """The line of `case` with an answer, and what that is worth."""
    found = score(case.rule, line.truth, answer, case.choices)
    return replace(line, answer=answer, score=found.score, outcome=found.outcome, read=found.read, error=None)


def _unanswered(variant: str, case: Case, fields: Mapping[str, Any]) -> Line:
    return Line(
        id=case.id,
        picture=case.picture,
        question=str(fields.get("question") or case.question.replace("@@", "@")),
        truth=str(fields.get("truth") or case.truth),
        answer=None,
        score=None,
        outcome="failed",
        variant=variant,
        groups={heading: tuple(names) for heading, names in (fields.get("groups") or case.groups).items()},
    )


def thumbnails(
    plan: Plan, lines: Sequence[Line], workers: Workers, facts: Facts, most: int
) -> Iterator[tuple[Line, bytes | None]]:
    """Lines with a small JPEG of the marked picture, drawn by `workers` ahead of what is taken.

    lines: those of `scored`, all of them, in their order. most: so many come out at most: of all variants, or else of
    the plain one, or else some of these, evenly spread.
    """
    places = list(range(len(lines)))
    if len(places) > most:
        places = [at for at in places if lines[at].variant == PLAIN]
    step = max(1, -(-len(places) // most))
    wanted = set(places[::step])
    cases = (pair for pair in plan.cases() if pair[1].scored)
    facts = replace(facts, fit=plan.task.fit)
    jobs = (
        (line, thumbnail_of, (_item(variant, replace(case, before=None), {}), facts))
        for at, (line, (variant, case)) in enumerate(zip(lines, cases, strict=True))
        if at in wanted
    )
    for line, picture in in_order(workers, jobs):
        yield line, picture if isinstance(picture, bytes) else None
