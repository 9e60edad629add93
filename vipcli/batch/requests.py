"""OpenAI's batch files: a request a line in (``custom_id``, ``method``, ``url``, ``body``), a response a line out.

The format is that of "Batch API" in OpenAI's reference. What a body asks for and this can't do is refused by name.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from vipcli.batch.asking import Asking
from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.batch.manifests import parse_object, read_lines
from vipcli.batch.places import placed, placed_marker
from vipcli.errors import UsageError, quote
from vipcli.prompt import Turn

__all__ = ["begin_with_request", "is_request_file", "read_requests", "response"]

_URL = "/v1/chat/completions"
_OPTIONS = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens"}
_OPTIONS |= {name: name for name in ("temperature", "top_p", "seed")}
_IGNORED = ("model", "user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier")
# What asks for nothing else than what is done anyway.
_HARMLESS: dict[str, Any] = {"n": 1, "stream": False, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": False}
_HARMLESS |= {"response_format": {"type": "text"}, "modalities": ["text"], "tools": [], "stop": [], "logit_bias": {}}


def is_request_file(path: Path) -> bool:
    """Whether a file is one of such requests, by its first line."""
    return path.suffix.lower() in (".jsonl", ".ndjson") and begin_with_request(read_lines(path))


def begin_with_request(lines: Iterable[str]) -> bool:
    """Whether the first of `lines` that isn't empty is such a request."""
    try:
        first = parse_object(next((line for line in itertools.islice(lines, 9) if line.strip()), ""))
    except UsageError:
        return False
    return "custom_id" in first and "body" in first


def read_requests(lines: Iterable[str], source: str, base: Path | None, asking: Asking) -> Iterator[Item | BadItem]:
    """The items of requests. `asking` may put markers on every picture; the questions are the requests' own.

    source: what messages call it. base: the folder that relative pictures lie in; None: the current one.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{source}, line {number}"
        name = f"line {number}"
        try:
            row = parse_object(line)
            if not isinstance(row.get("custom_id"), str) or not row["custom_id"]:
                raise UsageError("it is no request with a custom_id")
            name = row["custom_id"]
            yield _item(row, name, where, base, asking)
        except UsageError as error:
            yield BadItem(name, where, str(error))


def response(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of answers as OpenAI's batch output has it."""
    digest = hashlib.blake2b(f"{row['id']} {row['input']}".encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    line: dict[str, Any] = {"id": f"batch_req_{digest}", "custom_id": row["id"], "response": None, "error": None}
    if row["answer"] is None:
        return line | {"error": {"code": "failed", "message": row["error"]}}
    usage = {"prompt_tokens": row["prompt_tokens"], "completion_tokens": row["answer_tokens"]}
    body = {
        "id": f"chatcmpl-{digest}",
        "object": "chat.completion",
        "created": int(datetime.fromisoformat(row["time"]).timestamp()),
        "model": row["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": row["answer"], "refusal": None},
                "logprobs": None,
                "finish_reason": "length" if row["finish"] == "length" else "stop",
            }
        ],
        "usage": usage | {"total_tokens": sum(usage.values())},
    }
    return line | {"response": {"status_code": 200, "request_id": line["id"], "body": body}}


def _item(row: Mapping[str, Any], name: str, where: str, base: Path | None, asking: Asking) -> Item:
    method, url = row.get("method", "POST"), row.get("url", _URL)
    if (method, url) != ("POST", _URL):
        raise UsageError(f"only POST {_URL} can be answered, not {quote(f'{method} {url}')}")
    body = row.get("body")
    if not isinstance(body, dict):
        raise UsageError("its body is no JSON object")
    options: dict[str, Any] = {}
    for key, value in body.items():
        if key in _OPTIONS and value is not None:
            options[_OPTIONS[key]] = _number(key, value)
        elif key not in ("messages", *_OPTIONS, *_IGNORED) and value is not None and _HARMLESS.get(key, ...) != value:
            raise UsageError(f"{quote(key)} isn't known here; leave it out")
    system, turns, image, at, written = _conversation(body.get("messages"))
    own = (MarkerText(placed_marker(text, base), None, asking.coords, asking.box_format) for text in written)
    markers = (*own, *asking.markers)
    question = turns[-1].question
    return Item(
        name,
        None if image is None else placed(image, base),
        question if markers else question.replace("@", "@@"),  # without markers there is no name behind an @
        markers,
        where=where,
        system=system,
        turns=tuple(turns[:-1]),
        picture=at,
        options=options,
    )


def _number(key: str, value: Any) -> int | float:
    whole = key not in ("temperature", "top_p")
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
        wanted = "a whole number" if whole else "a number"
        raise UsageError(f"{key} must be {wanted}, got {quote(json.dumps(value, ensure_ascii=False))}")
    return value


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
        if kind == "text":
            if not isinstance(part.get("text"), str):
                raise UsageError("the text of a message's part is no text")
        elif kind == "image_url":
            url = part["image_url"].get("url") if isinstance(part.get("image_url"), dict) else None
            if not isinstance(url, str) or not url:
                raise UsageError('an image_url must be an object like {"url": "https://..."}')
        else:
            raise UsageError(f"a part of a message is neither text nor an image_url, but {quote(str(kind))}")
    return content
