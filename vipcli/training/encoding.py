"""From conversations to tokens: what the model reads, and what of it is the answers that it should give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vipcli.engine import special_tokens_of
from vipcli.engine.vision import lookup_table
from vipcli.errors import UsageError
from vipcli.prompt import SYSTEM, Conversation, Template, Turn, neutralise, render

__all__ = ["Encoded", "Encoder"]

_FRAME = 256  # tokens of the system text, of roles and of marker phrases, at most


@dataclass(frozen=True)
class Encoded:
    """The conversations about one picture in one row of tokens, the picture's first.

    ids: of the tokens. labels: of the token that follows each, where it belongs to an answer, else -100; an answer ends
    with the end-of-sequence token whatever follows. positions: count on in each conversation from where the shared
    beginning ends. segments: 0 for that beginning, 1, 2 ... for the conversations, which don't see each other. cut:
    whether the first one is longer than there is room for.
    """

    ids: list[int]
    labels: list[int]
    positions: list[int]
    segments: list[int]
    cut: bool


def _gap(style: str, template: Template | None) -> tuple[str, str]:
    """What stands between a question and its answer: the end of the prompt, and the blank that the answer begins with.

    Raises `UsageError` for a template that writes something else in front of an answer than it asks for one with.
    """
    asked = render(Conversation((Turn("one"),), picture=None), style, template)
    told = render(Conversation((Turn("one", "two"),), picture=None), style, template)
    lead, found, _ = told.removeprefix(asked).partition("two")
    if "one" not in asked or not told.startswith(asked) or not found or lead.strip():
        raise UsageError("this checkpoint's chat template doesn't put an answer behind its prompt: it can't be trained")
    return asked[asked.rindex("one") + len("one") :], lead


class Encoder:
    """Encodes with a checkpoint's own processor, exactly as it is asked later.

    processor: of the checkpoint. side: of its square. image_tokens: a picture's. limit: tokens of a row at most. eos:
    the token that ends an answer. `table` is what its image processor makes of values, see `lookup_table`.
    """

    def __init__(
        self, processor: Any, side: int, image_tokens: int, limit: int, eos: int, template: Template | None
    ) -> None:
        self._tokenizer, self.side, self.limit = processor.tokenizer, side, limit
        self._count, self._eos = image_tokens, eos
        # A template is a slow program: where it says what the preset says, the preset does.
        probe = Conversation((Turn("one", "two"), Turn("three", "four")))
        asked = Conversation((Turn("one"),), picture=None)
        same = template is None or all(
            render(one, "chat-template") == render(one, "chat-template", template) for one in (probe, asked)
        )
        self._template = None if same else template
        self._gaps = {style: _gap(style, self._template) for style in ("chat-template", "vip")}
        self._special = special_tokens_of(self._tokenizer)
        self._image_id = self._tokenizer.convert_tokens_to_ids(processor.image_token)
        self.padding = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else eos
        options = {"do_resize": False, "do_center_crop": False}
        table = lookup_table(processor.image_processor, side, **options)
        if table is None:
            raise UsageError(
                "this checkpoint's image processor does more than scale and normalise: it can't be trained"
            )
        self.table = table

    def encode(self, conversations: Sequence[Sequence[Turn]], pictured: bool, system: str | None = None) -> Encoded:
        """Conversations that don't fit into `limit` any more are left out, and turns from the first one's end."""
        ids: list[int] = []
        labels: list[int] = []
        positions: list[int] = []
        segments: list[int] = []
        shared = 0
        cut = False
        for turns in conversations:
            its_ids, its_labels = self._one([self._safe(turn) for turn in turns], pictured, system)
            if not ids and pictured:
                shared = len(its_ids) - its_ids[::-1].index(self._image_id)
                ids, labels = its_ids[:shared], [-100] * shared
                positions, segments = list(range(shared)), [0] * shared
            its_ids, its_labels = its_ids[shared:], its_labels[shared:]
            number = 1 + (segments[-1] if segments else 0)
            if len(ids) + len(its_ids) > self.limit and number > 1:
                continue
            room = max(0, self.limit - len(ids))
            cut = cut or len(its_ids) > room
            its_ids, its_labels = its_ids[:room], its_labels[:room]
            ids += its_ids
            labels += its_labels
            positions += range(shared, shared + len(its_ids))
            segments += [number] * len(its_ids)
        return Encoded(ids, labels, positions, segments, cut)

    def teaches(self, turns: Sequence[Turn], pictured: bool) -> bool:
        """Whether anything of the first answer fits into `limit` behind its question."""
        if self._count + len(turns[0].question.encode()) + _FRAME < self.limit:  # a token is a byte long at least
            return True
        return any(label >= 0 for label in self.encode([turns], pictured).labels)

    def least(self) -> int:
        """Tokens of a picture with the shortest of questions and answers, in the longest of frames."""
        turn = Turn("a", "b")
        return max(len(self._one([turn], True, system)[0]) for system in (None, SYSTEM))

    def token(self, word: str) -> int:
        """The last id of a word as it stands in the middle of a sentence."""
        return self._tokenizer(f" {word}", add_special_tokens=False)["input_ids"][-1]

    def _safe(self, turn: Turn) -> Turn:
        """A turn without special tokens, as `vip ask` sends it: ``</s>`` in an answer isn't the end of it."""
        question, answer = (neutralise(text, self._special) for text in (turn.question, turn.answer or ""))
        return Turn(question, answer)

    def _one(self, turns: Sequence[Turn], pictured: bool, system: str | None) -> tuple[list[int], list[int]]:
        """The ids and labels of one conversation."""
        conversation = Conversation(tuple(turns), picture=0 if pictured else None, system=system)
        style = "chat-template" if system is None else "vip"
        text = render(conversation, style, self._template)
        asks, lead = self._gaps[style]
        spans = []
        start = 0
        for turn in turns:
            # Without blanks at their ends, which templates may take away: neutralising puts one behind a last `#`.
            question, told = turn.question.strip(), (turn.answer or "").strip()
            asked = text.index(question, start) + len(question)
            begin = text.index(f"{asks}{lead}{told}", asked) + len(asks)
            start = begin + len(lead) + len(told)
            spans.append((begin, start))
        made = self._tokenizer(text, return_offsets_mapping=True)
        ids: list[int] = []
        answer_of: list[int] = []
        for token, (begin, end) in zip(made["input_ids"], made["offset_mapping"], strict=True):
            count = self._count if token == self._image_id else 1
            inside = next((i for i, span in enumerate(spans) if span[0] <= begin < end <= span[1]), -1)
            ids += [token] * count
            answer_of += [inside] * count
        labels = [-100] * len(ids)
        for i, answer in enumerate(answer_of):
            if answer >= 0:
                labels[i - 1] = ids[i]
                if i + 1 == len(ids) or answer_of[i + 1] != answer:
                    labels[i] = self._eos
        return ids, labels
