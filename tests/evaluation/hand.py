"""Lines made by hand, for tests of what they come to."""

from __future__ import annotations

from typing import Any

from vipcli.evaluation.cases import Task
from vipcli.evaluation.lines import Line, Outcome

CAPABILITIES = ("Rec", "OCR", "Know", "Math", "Rel", "Lang")


def line(number: int, score: float | None = 1.0, variant: str = "", **other: Any) -> Line:
    """A question of its own picture, with the outcome that its score means."""
    outcomes: dict[float | None, Outcome] = {1.0: "right", 0.0: "wrong", None: "unscored"}
    usual: dict[str, Any] = {
        "id": f"q-{number}",
        "picture": f"{number}.jpg",
        "question": "What is it?",
        "truth": "a cat",
        "answer": "a cat" if score == 1 else "a dog",
        "outcome": outcomes.get(score, "partly"),
    }
    return Line(**usual | {"score": score, "variant": variant} | other)


def failed(number: int, variant: str = "", **other: Any) -> Line:
    """A question that got no answer."""
    return line(number, None, variant, answer=None, outcome="failed", error="the server is gone", **other)


def task(**other: Any) -> Task:
    """A benchmark without data."""
    return Task("made-up", "what it asks", lambda _: iter(()), **other)
