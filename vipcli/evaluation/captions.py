"""Captions held against what people wrote: CIDEr, METEOR, BLEU-4 and ROUGE-L, from pycocoevalcap.

Its tokenizer (Stanford's PTBTokenizer) and METEOR are Java programs that it waits for without an end; so they are run
here, over all texts at once and for a limited time. Without Java the other figures are given of
plain words, and called so: they differ from published ones.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vipcli.errors import MissingExtra, VipError, quote
from vipcli.evaluation.lines import PLAIN, Line

__all__ = ["Captions", "need_pycocoevalcap", "score_captions", "with_caption_scores"]

Texts = dict[int, list[str]]

_PATIENCE = 180.0  # seconds that a Java program has, and a second more for every so many texts
_TEXTS_A_SECOND = 50


@dataclass(frozen=True, eq=False)
class Captions:
    """What captions are worth.

    figures: of all together: ``CIDEr`` (from 0 to 10, mostly about 1), ``METEOR``, ``BLEU-4`` and ``ROUGE-L`` (from 0
    to 1). scores: the CIDEr of each, in order, whose mean is that of all. notes: sentences, of what is missing or of
    another kind.
    """

    figures: Mapping[str, float]
    scores: tuple[float, ...]
    notes: tuple[str, ...] = ()


def need_pycocoevalcap() -> None:
    """Raise `MissingExtra` where captions can't be scored, before any work is done."""
    if importlib.util.find_spec("pycocoevalcap") is None:
        raise MissingExtra("scoring captions", "pycocoevalcap")


def score_captions(items: Sequence[tuple[Sequence[str], str]], patience: float = _PATIENCE) -> Captions:
    """Score (references, answer) of each picture or region.

    How rare a word is, which CIDEr weighs it by, is counted over all references; of one item alone it is 0. patience:
    seconds that a Java program may take beside what so many texts need. Raises `MissingExtra`, or `ValueError` where an
    item has no reference.
    """
    need_pycocoevalcap()
    if not all(references for references, _ in items):
        raise ValueError("every item needs a reference")
    if not items:
        return Captions({}, ())
    references = {number: [" ".join(text.split()) for text in texts] for number, (texts, _) in enumerate(items)}
    answers = {number: [" ".join(text.split())] for number, (_, text) in enumerate(items)}
    notes: list[str] = []
    try:
        if shutil.which("java") is None:
            raise VipError("both need Java, which isn't installed")
        both = _tokenized({number: references[number] + answers[number] for number in references}, patience)
        references = {number: texts[:-1] for number, texts in both.items()}
        answers = {number: texts[-1:] for number, texts in both.items()}
    except VipError as error:
        notes.append(f"METEOR is left out and the other figures are of plain words, unlike published ones: {error}")
        references, answers = _plain(references), _plain(answers)
    kind = ", plain words" if notes else ""
    figures, scores = _figures(references, answers)
    if not notes:
        try:
            figures["METEOR"] = _meteor(references, answers, patience)
        except VipError as error:
            notes.append(f"METEOR is left out: {error}")
    return Captions({f"{name}{kind}": figure for name, figure in figures.items()}, scores, tuple(notes))


def with_caption_scores(lines: Sequence[Line]) -> tuple[list[Line], tuple[str, ...]]:
    """Lines with the CIDEr of each answer as its score, each variant by itself; and what else is to be said.

    A truth in several lines is so many references. Questions without an answer stay without a score.
    """
    scored = list(lines)
    notes: dict[str, None] = {}
    for variant in dict.fromkeys(line.variant for line in lines):
        places = [i for i, line in enumerate(lines) if line.variant == variant and line.answer is not None]
        found = score_captions([(lines[i].truth.split("\n"), lines[i].answer or "") for i in places])
        for i, score in zip(places, found.scores, strict=True):
            scored[i] = replace(lines[i], score=score, outcome="partly" if score else "wrong")
        if variant == PLAIN:
            notes |= dict.fromkeys((", ".join(f"{name} {value:.3f}" for name, value in found.figures.items()),))
        notes |= dict.fromkeys(found.notes)
    return scored, tuple(note for note in notes if note)


def _figures(references: Texts, answers: Texts) -> tuple[dict[str, float], tuple[float, ...]]:
    """CIDEr, BLEU-4 and ROUGE-L of texts whose words stand between blanks, and the CIDEr of each."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    if any(text for texts in references.values() for text in texts):
        whole, each = Cider().compute_score(references, answers)
    else:  # nothing but punctuation
        whole, each = 0.0, [0.0] * len(answers)
    bleu = Bleu(4).compute_score(references, answers, verbose=0)[0][3]
    rouge = Rouge().compute_score(references, answers)[0]
    figures = {"CIDEr": float(whole), "BLEU-4": float(bleu), "ROUGE-L": float(rouge)}
    return figures, tuple(float(score) for score in each)


def _plain(texts: Texts) -> Texts:
    return {number: [" ".join(re.findall(r"[\w']+", text.lower())) for text in of] for number, of in texts.items()}


def _tokenized(texts: Texts, patience: float) -> Texts:
    """The texts as PTBTokenizer writes them, without punctuation."""
    from pycocoevalcap.tokenizer import ptbtokenizer as ptb

    jar = Path(ptb.__file__).with_name(ptb.STANFORD_CORENLP_3_4_1_JAR)
    program = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    lines = _java("the tokenizer", program, [text for of in texts.values() for text in of], patience)
    words = (" ".join(word for word in line.split() if word not in ptb.PUNCTUATIONS) for line in lines)
    return {number: [next(words) for _ in of] for number, of in texts.items()}


def _meteor(references: Texts, answers: Texts, patience: float) -> float:
    """METEOR 1.5 of all, in two runs: what is counted of each text, and what these counts come to."""
    from pycocoevalcap.meteor import meteor

    jar = Path(meteor.__file__).with_name(meteor.METEOR_JAR)
    program = ["-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    asked = [
        " ||| ".join(("SCORE", *(text.replace("|||", "") for text in (*references[number], *answers[number]))))
        for number in references
    ]
    counts = _java("METEOR", program, asked, patience)
    scores = _java("METEOR", program, [" ||| ".join(("EVAL", *counts))], patience, len(counts) + 1)
    try:
        return float(scores[-1])
    except ValueError:
        raise VipError(f"METEOR answered {quote(scores[-1])!r}") from None


def _java(name: str, program: Sequence[str], lines: Sequence[str], patience: float, answers: int = 0) -> list[str]:
    """What a Java program that reads lines writes, as many of them or `answers`. Raises `VipError`; it always ends."""
    limit = patience + len(lines) / _TEXTS_A_SECOND
    text = "".join(f"{line}\n" for line in lines)
    how: dict[str, Any] = {"input": text, "capture_output": True, "encoding": "utf-8", "errors": "replace"}
    try:
        done = subprocess.run(["java", "-Dfile.encoding=UTF-8", *program], timeout=limit, check=False, **how)
    except subprocess.TimeoutExpired:
        raise VipError(f"{name} was stopped after {limit:.0f} seconds") from None
    except OSError as error:
        raise VipError(f"Java can't be started: {error.strerror}") from None
    written = done.stdout.removesuffix("\n").split("\n")
    if done.returncode or len(written) != (answers or len(lines)):
        said = done.stderr.strip().splitlines()
        raise VipError(f"{name} failed: {quote(said[0] if said else f'it wrote {len(written)} lines')}")
    return written
