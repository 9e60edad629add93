"""Judge a model on synthetic scenes, through the whole line that a user's question takes.

Each scene is a picture file of 300 to 1,500 pixels a side and any shape; its markers are text; they are drawn, asked
about and answered as ``vip ask`` would. The scenes come from seeds that training never uses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vipcli.engine import Engine
from vipcli.images import save_picture
from vipcli.markers import TRAINED, Color, Marker, render
from vipcli.pointing import mark, to_request
from vipcli.scenes import SHAPES, Scene, Thing, compose, mark_thing, with_article

__all__ = ["Item", "Score", "items", "judge", "table"]

_SEED = 20261125  # training draws its lessons from seeds (0, n)


@dataclass(frozen=True)
class Item:
    """One question that was asked.

    group: ``one`` marker in the picture, ``moved`` (the same picture, the marker on another thing), ``two``, ``three``.
    """

    group: str
    kind: str
    truth: str
    answer: str

    @property
    def right(self) -> bool:
        """Whether the answer names the marked thing and nothing else."""
        return self.answer == self.truth


@dataclass(frozen=True)
class Score:
    """How many of `asked` questions were answered rightly."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.right / self.asked if self.asked else 0.0


def items(engine: Engine, scenes: int, first: int = 0) -> Iterator[Item]:
    """Ask about `scenes` scenes with one marker (and again after moving it), and as many with two or three."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + scenes):
            rng = np.random.default_rng((_SEED, number))
            file = Path(folder) / f"scene.{('png', 'jpg')[number % 2]}"
            kind = SHAPES[number % len(SHAPES)]
            scene = _scene(rng, file, least=2)
            for group, thing in zip(("one", "moved"), scene.things, strict=False):
                text = render(_marker(rng, thing, kind, None))
                yield Item(group, kind.kind, with_article(thing.name), _ask(engine, file, [text], 1))
            wanted = 2 + number // len(SHAPES) % 2
            scene = _scene(rng, file, least=wanted)
            marked = scene.things[:wanted]
            kinds = [SHAPES[i] for i in rng.integers(len(SHAPES), size=wanted)]
            colors = _colors(rng, wanted) if number % 4 < 2 else [None] * wanted
            texts = [render(_marker(rng, *each)) for each in zip(marked, kinds, colors, strict=True)]
            for index, (thing, its_kind) in enumerate(zip(marked, kinds, strict=True), 1):
                answer = _ask(engine, file, texts, index)
                yield Item(("two", "three")[wanted - 2], its_kind.kind, with_article(thing.name), answer)


def judge(asked: list[Item]) -> dict[str, Score]:
    """Scores by group, and by kind of marker for the pictures with one."""
    groups = {
        "one marker": [item for item in asked if item.group == "one"],
        **{
            f"one marker: {kind.kind}": [item for item in asked if item.group == "one" and item.kind == kind.kind]
            for kind in SHAPES
        },
        "marker moved": [item for item in asked if item.group == "moved"],
        "two markers": [item for item in asked if item.group == "two"],
        "three markers": [item for item in asked if item.group == "three"],
        "two or three markers": [item for item in asked if item.group in ("two", "three")],
    }
    return {name: Score(sum(item.right for item in group), len(group)) for name, group in groups.items()}


def table(scores: dict[str, Score]) -> str:
    """The scores as a Markdown table."""
    rows = [f"| {name} | {100 * score.share:.1f} % | {score.asked:,} |" for name, score in scores.items()]
    return "\n".join(["| what is marked | right | asked |", "|---|---|---|", *rows])


def _scene(rng: np.random.Generator, file: Path, least: int) -> Scene:
    """A scene with at least `least` things, written to `file`."""
    while True:
        width, height = (int(side) for side in rng.integers(300, 1501, 2))
        scene = compose(rng, (width, height), count=int(rng.integers(max(2, least), 6)))
        if len(scene.things) >= least:
            save_picture(scene.picture, file)
            return scene


def _marker(rng: np.random.Generator, thing: Thing, kind: type[Marker], color: Color | None) -> Marker:
    """Half as a user types it (default width and alpha), half in any trained style."""
    return mark_thing(rng, thing, kind, color, vary=bool(rng.random() < 0.5))


def _colors(rng: np.random.Generator, count: int) -> list[Color | None]:
    """Different trained colours, never yellow beside gold."""
    names = [str(name) for name in rng.permutation(list(TRAINED))]
    names.remove(str(rng.choice(("yellow", "gold"))))
    return [Color.of(name) for name in names[:count]]


def _ask(engine: Engine, file: Path, markers: list[str], number: int) -> str:
    request = to_request(mark(file, markers), f"What is @{number}?", engine, max_new_tokens=16)
    return engine.stream(request).finished().text
