"""What a client gets, in the shapes of OpenAI's API ("The chat completion object" and "chunk object").

Ours is ``vip`` beside the choices: ``warnings`` (sentences) and ``markers`` (as drawn, in the grammar).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from vipcli.engine import Answer, Token
from vipcli.server.preparing import Prepared

__all__ = ["Completion", "models"]


class Completion:
    """The reply to one question: `whole`, or `events` of a stream. model: the name that it was asked by."""

    def __init__(self, model: str, prepared: Prepared) -> None:
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        self._vip = {"warnings": list(prepared.doubts), "markers": list(prepared.markers)}

    def whole(self, answer: Answer) -> bytes:
        """The answer in one piece."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(answer)}
        its = {"object": "chat.completion", "choices": [choice], "usage": _usage(answer), "vip": self._vip}
        return orjson.dumps(self._head | its)

    def begin(self) -> bytes:
        """The first event, which says who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    async def pieces(self, tokens: AsyncIterator[Token]) -> AsyncIterator[bytes]:
        """An event for each piece of text; blanks that may turn out to be the last wait for what follows."""
        pending = ""
        async for token in tokens:
            text = pending + token.text
            said = text.rstrip()
            pending = text[len(said) :]
            if said:
                yield self._chunk({"content": said})

    def end(self, answer: Answer, include_usage: bool) -> bytes:
        """The last events: why the answer ended, with what there is to say of the markers, and the count of tokens."""
        events = self._chunk({}, _reason(answer), vip=self._vip)
        if include_usage:
            its = {"object": "chat.completion.chunk", "choices": [], "usage": _usage(answer)}
            events += _event(self._head | its)
        return events + b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event(self._head | {"object": "chat.completion.chunk", "choices": [choice]} | more)


def models(name: str) -> dict[str, Any]:
    """The list of models, which is one."""
    return {"object": "list", "data": [model(name)]}


def model(name: str) -> dict[str, Any]:
    """What there is to say of the model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "vip"}


def failed(body: dict[str, Any]) -> bytes:
    """An error in the middle of a stream, as an event."""
    return _event(body)


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _reason(answer: Answer) -> str:
    return "length" if answer.finish == "length" else "stop"


def _usage(answer: Answer) -> dict[str, int]:
    prompt, completion = answer.prompt_tokens, answer.answer_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
