"""An engine that says what a test wants, and where the things in the meadow are."""

from __future__ import annotations

from pathlib import Path

from vipcli.engine import Generation, Token

EXAMPLES = Path(__file__).parents[2] / "examples"
MUSHROOM, HOUSE, CHEESE = "440,118,598,283", "57,287,231,461", "33,42,272,217"


class Scripted:
    """An engine that gives its `answers` in turn, a word at a time, counts words as tokens, and keeps the requests."""

    name, side, patch, template, special_tokens = "scripted", 336, 14, None, frozenset({"<image>", "</s>"})

    def __init__(self, *answers: str, context: int | None = None):
        self.answers, self.context = list(answers), context
        self.requests = []

    def stream(self, request):
        self.requests.append(request)
        text = self.answers.pop(0) if self.answers else "yes"

        def tokens():
            for word in text.split(" "):
                yield Token(1, f"{word} ")
            return "stop"

        return Generation(tokens(), len(request.prompt.split()))

    def room(self, request):
        return None if self.context is None else self.context - len(request.prompt.split())
