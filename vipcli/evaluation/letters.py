"""Which option an answer names: "B", "(B)", "b.", "B. the cat", "The answer is B.", and no other than it surely does.

A letter counts where the text shows that it means an option: alone, in brackets, at the beginning with a full stop or
the like behind it, behind "the answer is", "option" and their kin. What names two, or none so, is not read. An ``A``
before a word is an article. What stands behind a "not" is none of the answers.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Literal

__all__ = ["LETTERS", "read_letter"]

LETTERS = "ABCDEFGH"
"""The letters that there are where a task doesn't say."""

_ALONE = re.compile(r"\W*([A-Za-z])\W*", re.ASCII)
_MARKUP = str.maketrans(
    {**dict.fromkeys('*_`$"“”„«»', ""), **dict.fromkeys("[{<", "("), **dict.fromkeys("]}>", ")"), "’": "'"}
)
_BOXED = re.compile(r"\\boxed|\\text")
_LETTER = re.compile(r"(?<![\w'.\-])(\(?)[ ]?([A-Za-z])[ ]?(\)?)(?![\w']|[-.]\w)")
_NEAR = 60  # characters before a letter that are looked at

# What stands before a letter, up to it.
_TAIL = r"(?:[\s:=#]|\b(?:is|be|option|choice|letter|most|likely|probably|clearly|definitely|therefore|thus|simply))*\Z"
_EXPLICIT = re.compile(
    rf"\b(?:answer|solution)\b(?:'s|\s+(?:would|should|must|has|to|was|I|choose|give)\b)*{_TAIL}", re.I
)
_LABEL = re.compile(r"\b(?:option|choice|letter)\s*[:#]?\s*\Z", re.I)
_CUE = re.compile(
    r"(?:\b(?:is|be|was|say|says|think|believe|choose|chose|pick|picked|select|guess|so|thus|hence|therefore|probably"
    r"|likely|definitely|maybe|go(?:ing)? (?:with|for))|'s|[:=])\s*\Z",
    re.I,
)
_NEGATED = re.compile(
    r"(?:\b(?:not|nor|neither|never|except|without|excluding|(?:rule|rules|ruled) out)|n't)"
    r"(?:\s+(?:be|the|answer|option|choice|letter|is))*\s*\Z",
    re.I,
)
_JOINED = re.compile(r"(?:\s*(?:,|/|&|\+|\bor\b|\band\b|\bor maybe\b|\bpossibly\b))+\s*(?:option|choice)?\s*", re.I)
_OPENS = re.compile(r"(?:[,;/.!?&\n]|\b(?:or|and|but|wait|actually))\s*\Z", re.I)

# What stands behind it.
_CLOSED = re.compile(r"\s*(?:[.,:;!?)\n]|\Z|-+\s|[–—])")
_GOES_ON = re.compile(r"\s+(?:is|was|because|since|as|would|seems|looks|has|means|the|a|an)\b", re.I)
_WORD = re.compile(r"\s+\w")
_NO_NOUN = re.compile(r"\s+(?:is|was|because|since|or|and|but|as|would|seems|looks|has|means)\b", re.I)


@functools.lru_cache(maxsize=4096)
def read_letter(text: str, letters: str = LETTERS) -> str | None:
    """The one of `letters` that `text` names, as a capital; None where it names none, or several."""
    if alone := _ALONE.fullmatch(text):
        letter = alone[1].upper()
        return letter if letter in letters else None
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = _BOXED.sub("answer: ", text) if "\\" in text else text
    text = text.translate(_MARKUP)
    found: dict[str, set[str]] = {"explicit": set(), "sure": set(), "maybe": set()}
    last: tuple[int, Standing] | None = None
    for match in _LETTER.finditer(text):
        letter = match[2].upper()
        if letter not in letters:
            continue
        standing = _standing(text, match)
        if (
            last is not None
            and standing not in ("article", "negated")
            and _JOINED.fullmatch(text, last[0], match.start())
        ):
            standing = last[1]  # "the answer is B or C"
        if standing in ("explicit", "sure", "maybe"):
            found[standing].add(letter)
        last = None if standing in ("article", "none") else (match.end(), standing)
    sure = found["explicit"] or (found["sure"] and found["sure"] | found["maybe"])
    return sure.pop() if len(sure) == 1 else None


Standing = Literal["explicit", "sure", "maybe", "negated", "article", "none"]


def _standing(text: str, match: re.Match[str]) -> Standing:
    """What a single letter is in its text."""
    start, end = match.span()
    opened, letter, closed = match.groups()
    if start and text[start - 1] == "(" and not opened:  # of "cat(s)"
        return "none"
    before, capital = text[max(0, start - _NEAR) : start], letter.isupper()
    if _NEGATED.search(before):
        return "negated"
    ends = _CLOSED.match(text, end) is not None
    if opened and closed:
        return "explicit" if _EXPLICIT.search(before) else "sure"
    if _LABEL.search(before):
        return "explicit" if _EXPLICIT.search(before) else "sure"
    follows = not closed and not ends and _WORD.match(text, end)
    if follows and letter in "aAiI" and not (capital and _NO_NOUN.match(text, end)):
        return "article"
    if _EXPLICIT.search(before):
        return "explicit"
    begins = not before.rstrip(" (").removesuffix("\n") or before.rstrip(" (").endswith("\n")
    if closed or (begins and (ends or (capital and _GOES_ON.match(text, end)))):
        return "sure"
    if _CUE.search(before) and (ends or (capital and _GOES_ON.match(text, end))):
        return "sure"
    if (capital or ends) and _OPENS.search(before):
        return "maybe"
    return "none"
