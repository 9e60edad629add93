"""What the embedded model learns from: scenes that are drawn afresh, and questions whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from vipcli.images import fit
from vipcli.markers import TRAINED, Arrow, Color, Marker, Mask, Point, Scribble, Triangle, assign, draw
from vipcli.prompt import SYSTEM
from vipcli.scenes import SHAPES, THINGS, Art, Look, Scene, compose, mark_thing
from vipcli.training.dense import label_patches
from vipcli.training.questions import Questions
from vipcli.training.samples import Sample

__all__ = ["Lessons", "mark_some"]

# Those that the models before took for others most often, thin ones among them, are drawn two or three times as often.
_NAMES = (
    *THINGS,
    *("bicycle", "carrot", "giraffe", "ring", "trumpet", "airplane") * 2,
    *("umbrella", "dinosaur", "butterfly", "pencil", "leaf", "helicopter", "lollipop", "snail", "anchor", "scooter"),
    *("lemon", "chair", "kangaroo", "microscope", "tree"),
)
# These come oftener than the others of `SHAPES`: masks most, which hide what they mark; then triangles, scribbles,
# arrows and points, which are small and much alike.
_OFTEN: Mapping[type[Marker], float] = {Triangle: 2.3, Scribble: 1.6, Arrow: 1.5, Point: 1.4, Mask: 4.5}


@dataclass(frozen=True, eq=False)
class Lessons:
    """Scenes as a source of samples, for a model of `side` pixels and `patch` pixels a patch.

    art: the drawings. questions: what is asked; None: nothing is, the patches alone are labelled. kinds: of markers.
    """

    side: int
    patch: int
    art: Art | None = None
    questions: Questions | None = None
    kinds: tuple[type[Marker], ...] = SHAPES
    weight: float = 1.0
    count: int | None = field(default=None, init=False)

    def length(self, entry: int) -> int:  # noqa: ARG002
        """All are alike."""
        return 0

    def sample(self, entry: int, rng: np.random.Generator) -> Sample:  # noqa: ARG002
        """A new scene with none to four of its things marked."""
        scene = _scene(rng, self.art)
        wanted = int(rng.choice(5, p=(0.05, 0.28, 0.32, 0.2, 0.15)))
        markers = mark_some(rng, scene, wanted, self.kinds)
        fitted = fit(draw(scene.picture, list(markers.values())), self.side)
        conversations = () if self.questions is None else self.questions.about(rng, scene, markers)
        patches = label_patches(scene, markers, self.side // self.patch)
        system = SYSTEM if self.questions is not None and rng.random() < 0.1 else None
        return Sample(_weather(rng, fitted.picture), conversations, system, patches)


def _scene(rng: np.random.Generator, art: Art | None) -> Scene:
    # Larger pictures look the same once they are fitted; the smallest are enlarged.
    sides, often = (64, 110, 160, 220, 300, 420), (0.03, 0.05, 0.17, 0.3, 0.28, 0.17)
    longest = int(rng.choice(sides, p=often) * rng.uniform(1, 1.3))
    ratio = 1 / rng.uniform(1, 1.9) if rng.random() < 0.8 else 1 / rng.uniform(1.9, 5)
    size = (longest, max(30, int(longest * ratio)))
    size = size if rng.random() < 0.5 else size[::-1]
    count = int(rng.choice((1, 2, 3, 4, 5, 6, 7), p=(0.04, 0.16, 0.2, 0.2, 0.18, 0.15, 0.07)))
    crowded = count > 4
    twins = float(rng.choice((0.0, 0.25, 0.8), p=(0.45, 0.25, 0.3)))
    strangers = 0.0
    if art is not None and art.strangers:
        # One among things that are known says most: where most were strangers or none, its company gave it away.
        strangers = float(rng.choice((0.0, 1 / count, 0.6), p=(0.22, 0.44, 0.34)))
    look = Look(
        twins=twins,
        recolored=0.12,
        strangers=strangers,
        mixed=0.35,
        rough=0.25,
        tilt=24.0,
        sides=(0.19, 0.32) if crowded else (0.2, 0.42),
        art=art,
    )
    return compose(rng, size, count, _NAMES, look)


def mark_some(
    rng: np.random.Generator, scene: Scene, count: int, kinds: tuple[type[Marker], ...] = SHAPES
) -> dict[int, Marker]:
    """Mark up to `count` things of a scene; returns index of the thing -> marker, all coloured.

    Mostly the colours are the automatic ones, else any of the nine, but never yellow beside gold,
    which translucent lines don't tell apart. Half the time things that have no name here are marked before others.
    """
    order = rng.permutation(len(scene.things)).tolist()
    if rng.random() < 0.5:  # so that it is asked about oftener, and "I don't know" comes to mind more easily
        order.sort(key=lambda i: scene.things[i].known)
    chosen = order[:count]
    varied = bool(rng.random() < 0.6)
    often = np.array([_OFTEN.get(kind, 1.0) for kind in kinds])
    some = [kinds[i] for i in rng.choice(len(kinds), len(chosen), p=often / often.sum())]
    fate = rng.random()
    if fate < 0.2:  # the same shape every time: only the colour tells
        some = [some[0]] * len(chosen) if len(chosen) else []
    elif fate < 0.5 and len(kinds) >= len(chosen):  # every one another shape: the kind alone tells
        some = [kinds[i] for i in rng.permutation(len(kinds))[: len(chosen)]]
    colors: list[Color | None] = [None] * len(chosen)
    if rng.random() < 0.4:
        names = [str(name) for name in rng.permutation(tuple(TRAINED))]
        names.remove(str(rng.choice(("yellow", "gold"))))
        colors = [Color.of(name) for name in names[: len(chosen)]]
    markers = [
        mark_thing(rng, scene.things[i], shape, color, vary=varied)
        for i, shape, color in zip(chosen, some, colors, strict=True)
    ]
    return dict(zip(chosen, assign(scene.picture, markers), strict=True))


def _weather(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A little of what happens to real pictures: light, blur, noise, JPEG."""
    if rng.random() < 0.3:
        picture = cv2.convertScaleAbs(picture, alpha=rng.uniform(0.8, 1.2), beta=rng.uniform(-20, 20))
    fate = rng.random()
    if fate < 0.08:
        picture = cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.3, 0.8))
    elif fate < 0.16:
        noise = rng.normal(0, rng.uniform(2, 8), picture.shape[:2]).astype(np.float32)
        picture = np.clip(picture + noise[..., None], 0, 255).astype(np.uint8)
    elif fate < 0.32:
        code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 96))])[1]
        picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    return picture
