"""Real pictures with regions as a source of samples: marked afresh every time, and spoken of in the trained phrases."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vipcli.errors import PictureError, VipWarning
from vipcli.images import fit, open_picture
from vipcli.markers import Marker, draw
from vipcli.prompt import Turn
from vipcli.scenes import SHAPES
from vipcli.training.marking import Region, Written, fresh_markers
from vipcli.training.samples import Sample

__all__ = ["PLACEHOLDER", "Bad", "Entry", "Regions", "phrase_of", "refer"]

PLACEHOLDER = re.compile(r"<bbox(\d{0,9})>")
"""Where a text speaks of a region: ``<bbox0>`` of the first, ``<bbox1>`` of the second ...; ``<bbox>`` is the first."""

_TRIES = 20  # entries after one whose picture can't be opened


@dataclass(frozen=True)
class Bad:
    """What can't be learnt from: where it stands, and one sentence."""

    where: str
    sentence: str


@dataclass(frozen=True, eq=False)
class Entry:
    """One picture, or none, with conversations about it.

    id: of the file, for keeping some back. where: for messages: ``list.jsonl, line 7``. conversations: their texts
    have a `PLACEHOLDER` for each region that they speak of. size: (width, height) of the picture as the file records
    it, None where it doesn't. at_once: None: all regions are marked; else up to so many, chosen afresh every time,
    and there is a conversation for each region, in which ``<bbox>`` is that region.
    """

    id: str
    where: str
    image: str | None
    regions: tuple[Region | Written, ...]
    conversations: tuple[tuple[Turn, ...], ...]
    size: tuple[int, int] | None = None
    at_once: int | None = None


@dataclass(frozen=True, eq=False)
class Regions:
    """Entries as a source of samples, for a model of `side` pixels; all their pictures exist.

    kinds: of markers that are drawn.
    """

    entries: Sequence[Entry]
    side: int
    kinds: Sequence[type[Marker]] = SHAPES
    weight: float = 1.0
    count: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", len(self.entries))

    def length(self, entry: int) -> int:
        """The characters of its conversations, of those that are had at once."""
        one = self.entries[entry]
        turns = [turn for turns in one.conversations for turn in turns]
        characters = sum(len(turn.question) + len(turn.answer or "") for turn in turns)
        if one.at_once is None:
            return characters
        return characters * min(one.at_once, len(one.conversations)) // max(1, len(one.conversations))

    def sample(self, entry: int, rng: np.random.Generator) -> Sample:
        """Mark the entry's regions afresh and fill the phrases in.

        Where its picture can't be opened after all, warns and takes the next entry: a day of training must not end by
        one file that is cut off. Raises `PictureError` where that goes on.
        """
        for later in range(_TRIES):
            one = self.entries[(entry + later) % len(self.entries)]
            try:
                picture = None if one.image is None else open_picture(one.image)
            except PictureError as error:
                if later == _TRIES - 1:
                    raise
                warnings.warn(f"{one.where}: {error}; another is taken for it", VipWarning, stacklevel=2)
                continue
            return self._sample(one, picture, rng)
        raise AssertionError  # pragma: no cover - the last try raises

    def _sample(self, one: Entry, picture: np.ndarray | None, rng: np.random.Generator) -> Sample:
        if picture is None:
            return Sample(None, one.conversations)
        size = (picture.shape[1], picture.shape[0])
        chosen = np.arange(len(one.regions))
        if one.at_once is not None:
            chosen = rng.permutation(chosen)[: rng.integers(1, one.at_once + 1)]
        regions = [one.regions[i] for i in chosen]
        placed = [region.region(size) if isinstance(region, Written) else region for region in regions]
        markers = fresh_markers(rng, placed, size, self.kinds)
        phrases = [phrase_of(marker, number) for number, marker in enumerate(markers, 1)]
        if one.at_once is None:
            conversations = tuple(_filled(turns, dict(enumerate(phrases))) for turns in one.conversations)
        else:
            conversations = tuple(
                _filled(one.conversations[i], {0: phrase}) for i, phrase in zip(chosen, phrases, strict=True)
            )
        return Sample(fit(draw(picture, markers), self.side).picture, conversations)


def _filled(turns: Sequence[Turn], phrases: Mapping[int, str]) -> tuple[Turn, ...]:
    return tuple(
        Turn(refer(turn.question, phrases), None if turn.answer is None else refer(turn.answer, phrases))
        for turn in turns
    )


def phrase_of(marker: Marker, number: int = 1) -> str:
    """How the training data speaks of a marker: ``within the red rectangle``. number: what a nameless tag says."""
    name = marker.name or str(number)
    return " ".join(marker.phrase.format(color=marker.color.name if marker.color else "", name=name).split())


def refer(text: str, phrases: Mapping[int, str]) -> str:
    """Put the phrases, by the number of their region, in the place of the placeholders of `text`.

    What the word before a placeholder is decides how. Behind a noun the phrase alone fits, which is how the authors'
    data has it: ``the person <bbox0>`` becomes ``the person within the red rectangle``. Behind an article or the like
    (``the``, ``this``, ``her``, ``man's``) a noun is missing: ``the object within ...``. Behind a preposition,
    conjunction or verb (``of``, ``and``, ``is``, ``describe``, ``holding``), behind punctuation and at the beginning
    the whole is: ``the object within ...``, with a capital at the beginning of a sentence. Any word that isn't known
    to be one of these counts as a noun. A placeholder without a phrase stays.
    """

    def placed(match: re.Match[str]) -> str:
        phrase = phrases.get(int(match[1] or 0))
        if phrase is None:
            return match[0]
        before = text[: match.start()]
        blank = " " if before[-1:].isalnum() else ""
        return f"{blank}{_missing(before)}{phrase}"

    return PLACEHOLDER.sub(placed, text)


def _missing(before: str) -> str:
    """What must stand between the text `before` a phrase and the phrase: nothing, ``object`` or ``the object``."""
    core = before.rstrip(" \t\r\n\"'“”‘’([*_")
    if not core or core[-1] in ".!?" or "\n" in before[len(core) :]:
        return "The object "
    words = re.search(rf"(?:({_WORD})\s+)?({_WORD})$", core)
    if words is None:
        return "the object "
    earlier, last = ((word or "").lower().replace("’", "'") for word in words.groups())
    if last in _ARTICLES or (last.endswith("'s") and last not in _OPENERS):
        return "object "
    if earlier in _CERTAIN or (earlier.endswith("'s") and earlier not in _OPENERS):
        return ""  # the watch, a painting, his can
    verb = last.endswith("ing") and last not in _ING_NOUNS
    return "the object " if verb or last in _OPENERS else ""


_WORD = r"[^\W_]+(?:['’][^\W_]+)?"
_CERTAIN = frozenset("the a an my your his its our their".split())  # what follows is no verb
_ARTICLES = _CERTAIN | frozenset("this that these those her each every another any no some which whose".split())
_PREPOSITIONS = """
    about above across after against along alongside amid among around as at atop because before behind below
    beneath beside besides between beyond both but by despite down during either except for from if in inside into
    like near neither next nor of off on onto opposite or out outside over past per rather since so than then though
    through throughout till to toward towards under underneath unless unlike until up upon versus via vs when where
    whereas whether while why how with within without and not only also just what who whom
"""  # prepositions and conjunctions
_BEFORE_SUBJECTS = """
    is are was were be been am isn't aren't wasn't weren't do does did don't doesn't didn't has have had hasn't can
    could can't will would won't shall should may might must what's who's where's how's that's it's there's here's
    let's
"""  # what stands before the subject or the object of a sentence
_VERBS = """
    describe describes compare compares identify identifies explain classify locate find recognize recognise name
    caption summarize analyze analyse mention mentions discuss see sees seen show shows tell tells wear wears worn
    hold holds held carry carries carried touch touches make makes made give gives gave given take takes took want
    wants need needs push pushes pull pulls eat eats contain contains contained include includes support supports
    surround surrounds indicate indicates represent represents suggest suggests consider considers resemble
    resembles let lets keep keeps get gets got become becomes think know knows say says said mean means
"""  # verbs of questions and of descriptions
_OPENERS = frozenset(f"{_PREPOSITIONS} {_BEFORE_SUBJECTS} {_VERBS}".split())
_ING_NOUNS = frozenset(
    """
    anything awning bedding being bowling building carving ceiling clothing covering crossing drawing dressing
    duckling earring engraving evening everything filling fitting flooring frosting icing king landing lettering
    lighting lightning lining marking meeting morning nothing opening painting parking piping pudding railing ring
    roofing sapling scaffolding seating seedling setting shopping sibling siding something spring stocking string
    stuffing swing thing topping wedding wing writing wrapping
    """.split()
)
