"""Sitting the exam, through the whole line that a user's question takes, and the table of what was right."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vipcli.engine import Engine
from vipcli.evaluation.answers import listed
from vipcli.evaluation.exam import CONTROL, OTHER_ART, Question
from vipcli.markers import render
from vipcli.pointing import Marked, mark, request_for
from vipcli.prompt import Conversation, Turn, neutralise
from vipcli.prompt import render as render_prompt
from vipcli.scenes.facts import DONT_KNOW

__all__ = ["Asked", "Score", "scores", "sit", "table"]


@dataclass(frozen=True, eq=False)
class Asked:
    """A question and what the model answered."""

    question: Question
    answer: str

    @property
    def right(self) -> bool:
        """Whether the answer is the right one and nothing else; a list may be in any order."""
        return listed(self.answer) == listed(self.question.truth)

    @property
    def gives_up(self) -> bool:
        """Whether it says that it doesn't know."""
        return listed(self.answer) == listed(DONT_KNOW)


@dataclass(frozen=True)
class Score:
    """How many of `asked` questions were answered rightly."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.right / self.asked if self.asked else 0.0


def sit(engine: Engine, questions: Iterable[Question]) -> Iterator[Asked]:
    """Ask `engine` every question: the picture as a file, its markers as text, as ``vip ask`` would."""
    with tempfile.TemporaryDirectory() as folder:
        for question in questions:
            file = Path(folder) / "scene"
            if question.jpeg:
                Image.fromarray(question.picture).save(file, "JPEG", quality=question.jpeg)
            else:
                Image.fromarray(question.picture).save(file, "PNG", compress_level=1)
            marked = mark(file, [render(marker) for marker in question.markers])
            turns: tuple[Turn, ...] = ()
            if question.before is not None:
                turns = (Turn(question.before.text, _answer(engine, marked, (Turn(question.before.text),))),)
            yield Asked(question, _answer(engine, marked, (*turns, Turn(question.text))))


def _answer(engine: Engine, marked: Marked, turns: tuple[Turn, ...]) -> str:
    safe = tuple(Turn(neutralise(turn.question, engine.special_tokens), turn.answer) for turn in turns)
    prompt = render_prompt(Conversation(safe), "auto", engine.template)
    return engine.stream(request_for(marked, prompt, engine, max_new_tokens=48)).finished().text


def scores(asked: Iterable[Asked]) -> dict[str, Score]:
    """Scores by row, in the order of the exam; the worst thing; and how often it gave up without need.

    Of things in another style it gives up on a row of its own: such drawings aren't what it knows.
    """
    everything = list(asked)
    groups: dict[str, list[Asked]] = {}
    for one in everything:
        groups.setdefault(one.question.row, []).append(one)
    found = {row: Score(sum(one.right for one in group), len(group)) for row, group in groups.items()}
    single = [row for row in found if row.startswith("one marker: ")]
    whole = Score(sum(found[row].right for row in single), sum(found[row].asked for row in single))
    things: dict[str, list[bool]] = {}
    for one in everything:
        if one.question.thing is not None and one.question.truth != DONT_KNOW:
            things.setdefault(one.question.thing, []).append(one.right)
    rows = {"one marker": whole, **{row: found[row] for row in single}, **found}
    if things:
        worst = min(things, key=lambda thing: sum(things[thing]) / len(things[thing]))
        rows[f"the worst of {len(things)} things ({worst})"] = Score(sum(things[worst]), len(things[worst]))
    known = [one for one in everything if one.question.truth != DONT_KNOW and one.question.row != CONTROL]
    other = [one for one in known if one.question.row == OTHER_ART]
    known = [one for one in known if one.question.row != OTHER_ART]
    rows["gives up on what it knows"] = Score(sum(one.gives_up for one in known), len(known))
    if other:
        rows["gives up on other art"] = Score(sum(one.gives_up for one in other), len(other))
    return rows


def table(rows: dict[str, Score]) -> str:
    """The scores as a Markdown table."""
    lines = [f"| {name} | {100 * score.share:.1f} % | {score.asked:,} |" for name, score in rows.items()]
    return "\n".join(["| what is asked | right | asked |", "|---|---|---|", *lines])
