"""OpenAI's batch files: a request a line in (``custom_id``, ``method``, ``url``, ``body``), a response a line out.

The format is that of "Batch API" in OpenAI's reference. What a body asks for and this can't do is refused by name.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vipcli.batch.asking import Asking
from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.batch.manifests import read_lines
from vipcli.errors import UsageError, quote
from vipcli.prompt import Turn

__all__ = ["is_request_file", "read_requests", "response"]

_OPTIONS = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens"}
_OPTIONS |= {name: name for name in ("temperature", "top_p", "seed")}
_IGNORED = ("model", "user", "metadata", "store")
# What asks for nothing else than what is done anyway.
_HARMLESS = {"n": 1, "stream": False, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": False}


def is_request_file(path: Path) -> bool:
    """Whether the first line of a file is such a request."""
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        return False
    try:
        first = json.loads(next((line for line in itertools.islice(read_lines(path), 9) if line.strip()), ""))
    except (ValueError, RecursionError, UsageError):
        return False
    return isinstance(first, dict) and "custom_id" in first and "body" in first


def read_requests(path: Path, asking: Asking) -> Iterator[Item | BadItem]:
    """The items of a request file. `asking` may put markers on every picture; the questions are the requests' own."""
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        name = f"line {number}"
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not isinstance(row.get("custom_id"), str):
                raise UsageError("it is no request with a custom_id")
            name = row["custom_id"]
            yield _item(row, name, where, asking)
        except (ValueError, RecursionError):
            yield BadItem(name, where, "it is no JSON object")
        except UsageError as error:
            yield BadItem(name, where, str(error))


def response(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of answers as OpenAI's batch output has it."""
    line: dict[str, Any] = {"id": f"batch_req_{row['input']}", "custom_id": row["id"], "response": None, "error": None}
    if row["answer"] is None:
        return line | {"error": {"code": "failed", "message": row["error"]}}
    usage = {"prompt_tokens": row["prompt_tokens"], "completion_tokens": row["answer_tokens"]}
    body = {
        "object": "chat.completion",
        "model": row["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": row["answer"]},
                "finish_reason": "length" if row["finish"] == "length" else "stop",
            }
        ],
        "usage": usage | {"total_tokens": sum(usage.values())},
    }
    return line | {"response": {"status_code": 200, "request_id": line["id"], "body": body}}


def _item(row: Mapping[str, Any], name: str, where: str, asking: Asking) -> Item:
    if row.get("method", "POST") != "POST" or row.get("url", "/v1/chat/completions") != "/v1/chat/completions":
        raise UsageError(f"only POST /v1/chat/completions can be answered, not {quote(str(row.get('url')))}")
    body = row.get("body")
    if not isinstance(body, dict):
        raise UsageError("its body is no JSON object")
    options: dict[str, Any] = {}
    for key, value in body.items():
        if key in _OPTIONS and value is not None:
            options[_OPTIONS[key]] = value
        elif key not in ("messages", *_OPTIONS, *_IGNORED) and value is not None and _HARMLESS.get(key, ...) != value:
            raise UsageError(f"{quote(key)} isn't known here; leave it out")
    for key, value in options.items():
        kind: Any = int if key in ("max_new_tokens", "seed") else (int, float)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise UsageError(f"{key} must be a number, got {quote(repr(value))}")
    system, turns, image, at, markers = _conversation(body.get("messages"))
    return Item(
        name,
        image,
        turns[-1].question,
        (*(MarkerText(text, None, asking.coords, asking.box_format) for text in markers), *asking.markers),
        where=where,
        system=system,
        turns=tuple(turns[:-1]),
        picture=at,
        options=options,
    )


def _conversation(messages: Any) -> tuple[str | None, list[Turn], str | None, int | None, list[str]]:
    """System text, turns, the picture, in which turn it stands, and its markers (an extension: ``markers``)."""
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise UsageError("its messages are no list of objects")
    system: str | None = None
    turns: list[Turn] = []
    image: str | None = None
    at: int | None = None
    markers: list[str] = []
    for message in messages:
        role, parts = message.get("role"), _parts(message.get("content"))
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        pictures = [part for part in parts if part["type"] == "image_url"]
        if pictures and role != "user":
            raise UsageError("only a user's message can have a picture")
        if role in ("system", "developer") and not turns:
            system = text if system is None else f"{system}\n{text}"
        elif role == "user" and (not turns or turns[-1].answer is not None):
            turns.append(Turn(text))
        elif role == "assistant" and turns and turns[-1].answer is None:
            turns[-1] = Turn(turns[-1].question, text)
        else:
            raise UsageError(f"a message of {quote(str(role))!r} can't stand there: user and assistant take turns")
        for part in pictures:
            if image is not None:
                raise UsageError("it has two pictures, and the model sees one")
            image, at = part["image_url"]["url"], len(turns) - 1
            markers = part.get("markers", [])
    if not turns or turns[-1].answer is not None:
        raise UsageError("its last message isn't a user's")
    if not isinstance(markers, list) or not all(isinstance(one, str) for one in markers):
        raise UsageError("its markers are no list of texts")
    return system, turns, image, at, markers


def _parts(content: Any) -> list[dict[str, Any]]:
    """A message's content as a list of parts, each of a kind that is known."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise UsageError("a message has no content")
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        text = kind == "text" and isinstance(part.get("text"), str)
        url = part.get("image_url") if kind == "image_url" else None
        if not text and not (isinstance(url, dict) and isinstance(url.get("url"), str)):
            raise UsageError(f"a part of a message is neither text nor an image_url, but {quote(str(kind))}")
    return content
