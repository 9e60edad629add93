"""What OpenAI-compatible servers understand and say: a `Request` becomes a body, events become pieces of an answer.

Source: OpenAI's API reference, "Create chat completion" and "The chat completion chunk object". Where vLLM, llama.cpp
and transformers serve differ from it, what they send is understood.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vipcli.engine.protocol import Finish, Request
from vipcli.engine.retrying import AGAIN, ServerError
from vipcli.errors import PromptError, UsageError, quote

if TYPE_CHECKING:
    import numpy as np

    from vipcli.engine.sse import Event

__all__ = ["MAX_STOPS", "Piece", "as_text", "data_uri", "messages_of", "payload", "piece", "said"]

MAX_STOPS = 4
"""How many stop texts the API takes."""

_FINISHES: dict[str, Finish] = {"length": "length", "max_tokens": "length"}
_BROKEN = ("content_filter", "abort", "error")  # the first is OpenAI's, the others vLLM's


@dataclass(frozen=True)
class Piece:
    """What one event adds to an answer: `text`; why it has ended; how many tokens prompt and answer have."""

    text: str = ""
    finish: Finish | None = None
    counts: tuple[int, int] | None = None


def as_text(messages: list[dict[str, Any]]) -> str:
    """The messages as the prompt: what a server gets is these, and it renders them itself."""
    return json.dumps(messages, ensure_ascii=False)


def messages_of(request: Request) -> list[dict[str, Any]]:
    """The messages that a request's prompt holds as JSON (see `as_text`).

    Raises `PromptError` where it is another prompt, or its place for a picture and the picture don't go together.
    """
    try:
        messages = json.loads(request.prompt)
    except (ValueError, RecursionError):
        messages = None
    if not isinstance(messages, list) or not messages or not all(_is_message(one) for one in messages):
        raise PromptError(
            "a server takes messages, which it renders itself: with one, leave --prompt-style at auto or chat-template"
        )
    places, pictures = len(_places(messages)), int(request.picture is not None)
    if places != pictures:
        raise PromptError(f"the messages have a place for {places} pictures, and there are {pictures}")
    if len(request.stop) > MAX_STOPS:
        raise UsageError(f"a server takes {MAX_STOPS} stop texts at most, got {len(request.stop)}")
    return messages


def payload(request: Request, model: str, picture: str | None) -> dict[str, Any]:
    """The body that asks `model` for a streamed answer. picture: its `data_uri`, where there is one."""
    messages = messages_of(request)
    for place in _places(messages):
        place.clear()
        place |= {"type": "image_url", "image_url": {"url": picture}}
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": True,
        "max_tokens": request.max_new_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,  # said also where it is 1: a server's own default may be another
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = request.stop
    return body


def data_uri(picture: np.ndarray) -> str:
    """The picture as a ``data:`` address of a PNG.

    PNG, since the markers are thin lines of pure colours, and JPEG blurs just those; what it would save in bytes is
    little beside what answering takes.
    """
    import base64

    import cv2

    png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    return f"data:image/png;base64,{base64.b64encode(png.data).decode()}"


def piece(event: Event, server: str) -> Piece:
    """What an event of the stream, or the whole answer of a server that doesn't stream, adds to the answer.

    Raises `ServerError`, beginning with `server`, for an error that comes in the answer's place and for no JSON.
    """
    try:
        chunk = json.loads(event.data) if event.data.strip() else {}
        words = said(chunk)
    except (ValueError, RecursionError):
        raise ServerError(f"{server} sends what is no JSON: {quote(event.data)!r}") from None
    chunk = chunk if isinstance(chunk, dict) else {"error": chunk}
    if event.kind == "error" or chunk.get("error") or chunk.get("object") == "error":
        code = (_object(chunk.get("error")) or chunk).get("code")
        passing = isinstance(code, int) and code in AGAIN
        raise ServerError(f"{server} couldn't answer: {quote(words, 300) or 'no reason given'}", again=passing)
    choice = _object(_first(chunk.get("choices")))
    content = _object(choice.get("delta") or choice.get("message")).get("content")
    reason = choice.get("finish_reason")
    if reason in _BROKEN:
        raise ServerError(f"{server} ended the answer before it was complete ({reason})")
    finish = _FINISHES.get(reason, "stop") if isinstance(reason, str) and reason else None
    return Piece(content if isinstance(content, str) else "", finish, _counts(chunk.get("usage")))


def said(value: Any) -> str:
    """The words of an error that a server sent as JSON, in whichever place it keeps them; empty where it has none."""
    if isinstance(value, list):
        return "; ".join(filter(None, map(said, value[:3])))
    if isinstance(value, dict):  # OpenAI's error.message, FastAPI's detail[].msg, vLLM's former message
        return next(filter(None, (said(value.get(name)) for name in ("error", "message", "detail", "msg"))), "")
    return " ".join(value.split()) if isinstance(value, str) else ""


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def _places(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of the messages that stand for the picture."""
    contents = (message.get("content") for message in messages)
    parts = (part for content in contents if isinstance(content, list) for part in content)
    return [part for part in parts if isinstance(part, dict) and part.get("type") == "image"]


def _counts(usage: Any) -> tuple[int, int] | None:
    counts = [_object(usage).get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, answer = (one if isinstance(one, int) and one >= 0 else None for one in counts)
    return None if prompt is None or answer is None else (prompt, answer)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def _object(value: Any) -> dict[str, Any]:
    """`value` where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
