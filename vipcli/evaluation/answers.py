"""What an answer is worth, held against the truth without a judge.

``exact``: equal but for case and surrounding blanks, as the authors compare (`llava/eval/model_vqa_loader_vip.py` in
mu-cai/ViP-LLaVA): "a cat." is not "a cat". ``contains``: it stands in the answer as whole words. ``letter``: the one
option that the answer names; see `vipcli.evaluation.letters`. ``equals-letter``: the answer is the letter and nothing
else, which is how the authors score; what a generous reading finds is told beside it. ``number``: see
`vipcli.evaluation.numerals`. ``list``: the same things in any order, as the exam of the embedded model.
``judged`` and ``caption`` have no score yet. Of a truth in several lines each is right, but for ``list`` and letters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vipcli.evaluation.cases import Rule
from vipcli.evaluation.letters import LETTERS, read_letter
from vipcli.evaluation.lines import Outcome
from vipcli.evaluation.numerals import read_number
from vipcli.scenes.facts import DONT_KNOW

__all__ = ["Scored", "is_refusal", "listed", "score"]


@dataclass(frozen=True)
class Scored:
    """score: from 0 to 1; None where a judge is to say. read: what was read from the answer: the letter, the number."""

    score: float | None
    outcome: Outcome
    read: str = ""


_UNSCORED = Scored(None, "unscored")
_REFUSED = Scored(0.0, "refused")
_REFUSAL = re.compile(
    r"\W*(?:(?:well|hmm|oh|unfortunately|apologies)\W+)*"
    r"(?:(?:i'm|i am) (?:sorry|afraid|unable|not able)|sorry\W|sorry\Z|i apologi[sz]e"
    rf"|i (?:do not|don't|did not|didn't|cannot|can't|can not|could not|couldn't) (?:know|tell|say|answer|see|determine"
    r"|identify|assist|help|provide|be sure|recogni[sz]e|make out|read|find|view|access|comply|describe)\b"
    r"|i (?:cannot|can't|can not)\W*\Z|(?:unable|not able) to |it(?:'s| is) (?:impossible|not possible) to "
    r"|as an ai\b|(?:i'm|i am) not sure\W*\Z"
    rf"|{re.escape(DONT_KNOW)})",
    re.I,
)


def score(rule: Rule, truth: str, answer: str, choices: Sequence[str] = ()) -> Scored:
    """Hold `answer` against `truth`. choices: the letters that there are; see `vipcli.evaluation.cases.Case`.

    An answer that says that it can't or doesn't know is ``refused``, unless that is the truth.
    """
    known = _RULES.get(rule)
    return _UNSCORED if known is None else known(truth, answer, choices)


def is_refusal(answer: str) -> bool:
    """Whether an answer begins by saying that it can't or doesn't know."""
    return _REFUSAL.match(answer.replace("’", "'") if "’" in answer else answer) is not None


def listed(text: str) -> tuple[str, ...]:
    """What a text lists, in an order of its own: "an owl, a cat and a dog." and "a cat, a dog and an owl" are equal."""
    return tuple(sorted(re.split(r", | and ", text.strip().rstrip(".!").lower())))


def _same(text: str) -> str:
    return " ".join(text.split()).casefold()


def _exact(truth: str, answer: str, _: Sequence[str]) -> Scored:
    said = _same(answer)
    return _right_or_not(any(said == _same(one) for one in truth.split("\n")), answer)


def _contains(truth: str, answer: str, _: Sequence[str]) -> Scored:
    if is_refusal(answer) and not is_refusal(truth):
        return _REFUSED
    said = _same(answer)
    return _right_or_not(any(_stands_in(said, _same(one)) for one in truth.split("\n")), answer)


def _list(truth: str, answer: str, _: Sequence[str]) -> Scored:
    return _right_or_not(listed(answer) == listed(truth), answer)


def _letter(truth: str, answer: str, choices: Sequence[str]) -> Scored:
    read = read_letter(answer, "".join(choices) or LETTERS)
    if read is None:
        return _unread(answer)
    right = read == truth.strip().upper()
    return Scored(float(right), "right" if right else "wrong", read)


def _equals_letter(truth: str, answer: str, choices: Sequence[str]) -> Scored:
    read = read_letter(answer, "".join(choices) or LETTERS)
    if answer.strip().lower() == truth.strip().lower():
        return Scored(1.0, "right", read or "")
    return _unread(answer) if read is None else Scored(0.0, "wrong", read)


def _number(truth: str, answer: str, _: Sequence[str]) -> Scored:
    if is_refusal(answer):
        return _REFUSED
    read = read_number(answer)
    if read is None:
        return Scored(0.0, "unparsable")
    wanted = [read_number(one) for one in truth.split("\n")]
    right = any(one is not None and math.isclose(read, one, rel_tol=1e-9) for one in wanted)
    return Scored(float(right), "right" if right else "wrong", f"{read:.15g}")


def _right_or_not(right: bool, answer: str) -> Scored:
    if right:
        return Scored(1.0, "right")
    return _REFUSED if is_refusal(answer) else Scored(0.0, "wrong")


def _unread(answer: str) -> Scored:
    return _REFUSED if is_refusal(answer) else Scored(0.0, "unparsable")


def _stands_in(text: str, words: str) -> bool:
    """Whether `words` are in `text` as whole ones."""
    at = text.find(words) if words else -1
    while at >= 0:
        end = at + len(words)
        inside_word = (text[at - 1 : at].isalnum() and words[0].isalnum()) or (
            text[end : end + 1].isalnum() and words[-1].isalnum()
        )
        if not inside_word:
            return True
        at = text.find(words, at + 1)
    return False


_RULES: dict[Rule, Callable[[str, str, Sequence[str]], Scored]] = {
    "exact": _exact,
    "contains": _contains,
    "letter": _letter,
    "equals-letter": _equals_letter,
    "number": _number,
    "list": _list,
}
