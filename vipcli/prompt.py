"""Question and markers to the text that the model gets.

``expand`` turns ``@name`` into the phrase that the model was trained on; ``render`` puts a conversation into a prompt
style; ``neutralise`` keeps a user's text from becoming a separator or a special token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vipcli.errors import PromptError, quote

if TYPE_CHECKING:
    from vipcli.markers import Marker

__all__ = [
    "IMAGE",
    "PRESETS",
    "SEPARATOR",
    "Conversation",
    "Preset",
    "Turn",
    "expand",
    "neutralise",
    "render",
    "stop_texts",
]

IMAGE = "<image>"
"""The placeholder that the processor replaces by as many image tokens as the picture takes."""

SEPARATOR = "###"
"""What stands between the turns of ViP-LLaVA's prompts, and what an answer must not run into."""

SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
"""The system line that the checkpoints accept (model page of VipLlava in the transformers documentation)."""

Template = Callable[[list[dict[str, Any]]], str]
"""A checkpoint's own chat template: messages as for ``apply_chat_template``, to text ending in a generation prompt."""


@dataclass(frozen=True)
class Turn:
    """A question and, once it is there, its answer; both plain text, without separators."""

    question: str
    answer: str | None = None


@dataclass(frozen=True)
class Conversation:
    """Turns about one picture.

    system: what to put in place of the preset's own system line; None keeps that; "" leaves it out.
    picture: the number of the turn whose question carries the picture, from 0; None: there is no picture.
    """

    turns: tuple[Turn, ...]
    system: str | None = None
    picture: int | None = 0


@dataclass(frozen=True)
class Preset:
    """A prompt style: ``system after_system``, and for each turn ``human question assistant``, then ``answer end``.

    Nothing stands between these but a blank before the answer. stop: what ends an answer, since some checkpoints run on
    into the next turn.
    """

    system: str
    human: str
    assistant: str
    stop: str
    after_system: str = ""
    end: str = ""

    def render(self, conversation: Conversation) -> str:
        """The whole prompt; the last turn, if unanswered, ends where the model goes on."""
        system = self.system if conversation.system is None else conversation.system
        text = f"{system}{self.after_system}" if system else ""
        for number, turn in enumerate(conversation.turns):
            picture = f"{IMAGE}\n" if number == conversation.picture else ""
            text += f"{self.human}{picture}{turn.question}{self.assistant}"
            if turn.answer is not None:
                text += f" {turn.answer}{self.end}"
        return text


PRESETS: dict[str, Preset] = {
    # The prompt of VipLlava's page in the transformers documentation.
    "vip": Preset(SYSTEM, "###Human: ", "###Assistant:", SEPARATOR),
    # llava/conversation.py in mu-cai/ViP-LLaVA, `conv_llava_v1`: what the authors' command line uses.
    "llava-v1": Preset(SYSTEM, "USER: ", " ASSISTANT:", "USER:", after_system=" ", end="</s>"),
    # The published chat template, for checkpoints that lack one; theirs comes first.
    "chat-template": Preset("", "###Human: ", "###Assistant:", SEPARATOR),
}
"""Prompt styles by name. To add one, add a row."""


def render(conversation: Conversation, preset: str = "auto", template: Template | None = None) -> str:
    """Render `conversation` in the style `preset`.

    template: the checkpoint's own chat template, used by ``chat-template`` and, where there is one, by ``auto``;
    without one ``auto`` is ``vip``. Raises `PromptError` for an unknown preset or a template that fails.
    """
    if preset not in ("auto", *PRESETS):
        raise PromptError(f"there is no prompt style {quote(preset)!r}; use auto, {', '.join(PRESETS)}")
    if template is not None and preset in ("auto", "chat-template"):
        try:
            return template(_messages(conversation))
        except Exception as error:  # a template is the checkpoint's program: anything may come out of it
            raise PromptError(
                f"the checkpoint's chat template fails ({quote(str(error))}); try --prompt-style vip"
            ) from error
    return PRESETS["vip" if preset == "auto" else preset].render(conversation)


def stop_texts(prompt: str) -> tuple[str, ...]:
    """What must end an answer to `prompt`: of the style whose words for who answers are its last; () of another."""
    for preset in PRESETS.values():
        if prompt.endswith(preset.assistant.lstrip()):
            return (preset.stop,)
    return ()


def expand(question: str, markers: Mapping[str, Marker]) -> str:
    """Turn every ``@name`` of `question` into its trained phrase, and ``@@`` into ``@``.

    markers: by name, coloured (see `markers.named`). An ``@`` inside a word (an e-mail address) stays.
    Raises `PromptError` for a name that no marker has.
    """

    def phrase(match: re.Match[str]) -> str:
        if match[0] == "@@":
            return "@"
        name = match[1]
        while name not in markers and name.endswith("-"):  # a dash after a name is punctuation
            name = name[:-1]
        if name not in markers:
            names = ", ".join(f"@{quote(other)}" for other in markers)
            known = f"; there is {names}" if names else ": there are no markers"
            raise PromptError(f"the question names @{quote(match[1])}, which no marker is called{known}")
        return referred(name, markers[name]) + match[1][len(name) :]

    return re.sub(r"@@|(?<!\w)@(\w[\w-]*)", phrase, question)


def referred(name: str, marker: Marker) -> str:
    """How the prompt calls a marked thing: ``the dog within the blue rectangle``; unnamed it is ``the object ...``."""
    noun = "object" if name.isdigit() else name.replace("_", " ")
    color = marker.color.name if marker.color else ""
    where = marker.phrase.format(color=color, name=name)
    return f"the {noun} {' '.join(where.split())}"


def neutralise(text: str, special_tokens: Collection[str] = ()) -> str:
    """Return `text` so that no part of it acts as the separator, the image placeholder or another special token.

    A blank is put behind the first character of each (``###`` becomes ``# ##``, ``<image>`` becomes ``< image>``): the
    model still reads it, the tokenizer no longer takes it for its own. Control characters other than newline and tab
    go, since no checkpoint has a use for them.
    """
    text = "".join(c for c in text.replace("\r\n", "\n") if c in "\n\t" or (c.isprintable() or ord(c) > 0x9F))
    text = text.encode("utf-8", "replace").decode()
    # Some tokenizers (Gemma's) add runs of blanks as tokens: those do no harm, and another blank can't part them.
    special = {token.strip() for token in special_tokens}
    words = sorted({SEPARATOR, IMAGE, *(token for token in special if len(token) > 1)}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, words)))
    while pattern.search(text):
        text = pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
    return f"{text} " if text.endswith("#") else text  # or it would join the separator that follows


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if conversation.system:
        messages.append({"role": "system", "content": [{"type": "text", "text": conversation.system}]})
    for number, turn in enumerate(conversation.turns):
        content: list[dict[str, Any]] = [{"type": "text", "text": turn.question}]
        if number == conversation.picture:
            content.insert(0, {"type": "image"})
        messages.append({"role": "user", "content": content})
        if turn.answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
    return messages
