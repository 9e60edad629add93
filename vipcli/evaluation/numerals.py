"""Which number an answer names, in digits or in English words, and no other than it surely does."""

from __future__ import annotations

import functools
import math
import re

__all__ = ["read_number"]

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {
    "none": 0,
    **{word: number for number, word in enumerate(_ONES)},
    **{word: 10 * number for number, word in enumerate(_TENS, 2)},
}
_LARGE = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}

_LARGEST = 10**15  # beyond it, words are no count of anything

_ANY = "|".join((*_SMALL, *_LARGE))
_WORDS = re.compile(rf"\b(?:an?\s+(?={'|'.join(_LARGE)}))?(?:{_ANY})(?:(?:\s+and\s+|\s*-\s*|\s+)(?:{_ANY}))*\b", re.I)
_DIGITS = re.compile(r"(?<![\w.,/:])([-+−]?)(\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(\.\d+)?(?![\w/:]|[.,]\d)", re.ASCII)
_DIGIT = re.compile(r"\d")
# "one" that stands for a thing: "the red one", "this one", "one of them".
_NO_COUNT = re.compile(r"\b(?:the|this|that|which|each|every|any|no|another|other|first|last|some)\s+\Z", re.I)
_COUNTED = re.compile(r"(?:\A|[:=,.]|\b(?:is|are|was|only|just|exactly|answer|count|total|be|there's|it's))\s*\Z", re.I)
_OF = re.compile(r"\s+of\b", re.I)
_NOUN = re.compile(r"\s+\w")
_PART = re.compile(r"\bhal(?:f|ves)\b|\b(?:quarter|third|fifth)s\b|\b(?:one|an?)\s+(?:quarter|third|fifth)\b", re.I)


@functools.lru_cache(maxsize=4096)
def read_number(text: str) -> float | None:
    """The number in `text`: ``3``, ``1,234.5``, ``three``, ``twenty-one``, ``a dozen``.

    None where there is none, or several that differ, or digits that are no plain number (``3/4``, ``12:30``, ``5cm``),
    or parts of one (``two and a half``).
    """
    if _PART.search(text):
        return None
    found = set()
    left = len(_DIGIT.findall(text))
    for sign, whole, part in _DIGITS.findall(text):
        left -= len(_DIGIT.findall(whole + part))
        found.add(float(f"{'-' if sign in ('-', '−') else ''}{whole.replace(',', '')}{part}"))
    if left or math.inf in map(abs, found):
        return None
    for match in _WORDS.finditer(text):
        words = re.split(r"[\s-]+", match[0].lower())
        if words == ["one"] and not _is_count(text, match):
            continue
        value = _value([word for word in words if word not in ("a", "an", "and")])
        if value is None:
            return None
        found.add(float(value))
    return found.pop() if len(found) == 1 else None


def _is_count(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 30) : match.start()]
    if _NO_COUNT.search(before) or _OF.match(text, match.end()):
        return False
    return _COUNTED.search(before) is not None or _NOUN.match(text, match.end()) is not None


def _value(words: list[str]) -> int | None:
    """What number words come to together; None where they are several numbers: "two three"."""
    total = part = 0
    last = 10**12  # the next word must be smaller, or multiply what came before it
    for word in words:
        if word in _SMALL:
            value = _SMALL[word]
            if (last in _SMALL.values() and not (last in range(20, 100, 10) and 0 < value < 10)) or last == 12:
                return None
            part += value
            last = value
        else:
            value = _LARGE[word]
            part = (part or 1) * value
            if value >= 1000:
                total, part = total + part, 0
            last = value
        if total + part > _LARGEST:
            return None
    return total + part
