"""Questions about a scene, in many words: the facts of `vipcli.scenes.facts` in the phrases of ``phrases.toml``."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib.resources import files

import numpy as np

from vipcli.markers import Marker
from vipcli.prompt import Turn
from vipcli.scenes import THINGS, Scene
from vipcli.scenes.facts import ABILITIES, Fact, Seen, what
from vipcli.scenes.talks import FOLLOW_UPS, follow_up
from vipcli.scenes.wording import roughened, worded

__all__ = ["Questions", "all_texts", "phrases"]

# How often an ability is asked, beside the 'what' of nearly every marker; those that are hard to learn more often.
_OFTEN = {
    "what_only": 1.2,
    "color": 0.8,
    "color_only": 0.5,
    "is_it": 2.2,
    "marks": 5.5,
    "where_is": 1.2,
    "locate": 1.6,
    "is_side": 1.0,
    "bigger": 1.4,
    "smaller": 1.3,
    "is_bigger": 0.9,
    "is_smaller": 0.9,
    "same_kind": 6.5,
    "different_kind": 6.2,
    "same_color": 1.5,
    "count_all": 1.2,
    "count": 1.8,
    "is_there": 1.3,
    "beside": 1.2,
    "list": 6.5,
    "unknowable": 0.6,
}
# Answers that most scenes give: another question is tried in their place, else they are what is learnt.
_COMMON = {"same_kind": "no", "different_kind": "yes", "marks": "nothing"}
_TRIES = 3
_MOST = 7  # conversations about one picture
_IN_ONE = 0.6  # how often they are one after the other instead of each by itself
_NAMES = ("one", "a", "b", "x", "this", "that", "food", "animal", "left", "right", "front")


@functools.cache
def phrases() -> dict[str, tuple[str, ...]]:
    """The templates by ability."""
    table = tomllib.loads((files("vipcli") / "training" / "phrases.toml").read_text(encoding="utf-8"))
    return {ability: tuple(its["phrases"]) for ability, its in table.items()}


class Questions:
    """What a lesson asks."""

    def about(
        self, rng: np.random.Generator, scene: Scene, markers: Mapping[int, Marker]
    ) -> tuple[tuple[Turn, ...], ...]:
        """Up to seven conversations about a scene, of one to four turns, or all of them in one."""
        seen = Seen(rng, scene, markers, named=0.35, both=1)
        talks: list[tuple[Turn, ...]] = []
        for index in rng.permutation(list(markers)).tolist():
            if rng.random() < 0.85 and (fact := what(seen, index)):
                talks.append(_talk(seen, fact, 0.3))
        names = list(_OFTEN)
        often = np.array([_OFTEN[name] for name in names])
        for name in rng.choice(names, size=len(names), replace=False, p=often / often.sum()):
            if len(talks) >= _MOST:
                break
            fact = _fact(seen, name)
            if fact is not None:
                follows = 0.5 if name in ("what_only", "color", "color_only") else 0.0
                talks.append(_talk(seen, fact, follows))
        talks = [talks[i] for i in rng.permutation(len(talks))]
        if rng.random() < _IN_ONE:  # as in a chat, where one question comes after the other
            talks = [tuple(turn for talk in talks for turn in talk)]
        return tuple(talks)


def _fact(seen: Seen, ability: str) -> Fact | None:
    """Something to ask of a scene, if its first answers are common ones a rarer one."""
    fact = None
    for _ in range(_TRIES):
        fact = ABILITIES[ability](seen)
        if fact is None or fact.answer != _COMMON.get(ability):
            break
    return fact


def _talk(seen: Seen, fact: Fact, follows: float) -> tuple[Turn, ...]:
    """A question and perhaps some that follow it. follows: the chance that there is one."""
    rng = seen.rng
    turns = [Turn(_asked(rng, fact, plain=0.35), fact.answer)]
    while fact.subject is not None and len(turns) < 4 and rng.random() < follows:
        after = follow_up(seen, fact, FOLLOW_UPS[rng.integers(len(FOLLOW_UPS))])
        if after is not None:
            fact = after
            turns.append(Turn(_asked(rng, fact), fact.answer))
        follows = 0.6
    return tuple(turns)


def _asked(rng: np.random.Generator, fact: Fact, plain: float = 0.15) -> str:
    """A fact as a question. plain: how often in the first and plainest of the phrases, as most people ask."""
    some = phrases()[fact.ability]
    some = some[:4] if rng.random() < plain else some
    slots = dict(fact.slots)
    if "it" in slots and rng.random() < 0.12:  # a marker's name before its phrase, as in @food
        name = _NAMES[rng.integers(len(_NAMES))] if rng.random() < 0.7 else THINGS[rng.integers(len(THINGS))]
        slots["it"] = f"the {name} {slots['where']}"
    text = None
    while text is None:
        text = worded(some[rng.integers(len(some))], slots)
    return roughened(rng, text) if rng.random() < 0.25 else text


def all_texts() -> list[str]:
    """Questions and answers as lessons have them: what the tokenizer learns its pieces from."""
    from vipcli.scenes import compose
    from vipcli.training.lessons import mark_some

    texts: list[str] = []
    for number in range(3000):
        rng = np.random.default_rng((99, number))
        scene = compose(rng, (120, 120), int(rng.integers(1, 6)))
        for talk in Questions().about(rng, scene, mark_some(rng, scene, int(rng.integers(0, 4)))):
            texts += [text for turn in talk for text in (turn.question, f" {turn.answer}")]
    return [*texts, *(template for some in phrases().values() for template in some)]
