"""What a request asks for: bytes of JSON become values, or a `Refusal` that names the field.

Source: OpenAI's API reference, "Create chat completion". Ours are ``markers`` and ``tags``, on the part with the
picture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import orjson

from vipcli.errors import quote
from vipcli.server.options import Limits
from vipcli.server.refusals import Refusal

__all__ = ["Asked", "Drawing", "Message", "asked_of", "drawing_of"]

_MAX_STOPS = 4
# What clients send of their own accord although it changes nothing: understood with these values alone.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
}
_BY_FILE = re.compile(r"\s*mask\s*:", re.ASCII | re.I)
_BY_NUMBERS = re.compile(r"mask:(\w[\w-]{0,63}=)?[0-9eE \t\r\n,.%+-]+(@[^@]*)?", re.I)  # nothing that `parse` opens


@dataclass(frozen=True)
class Drawing:
    """A picture and what is to be drawn on it.

    url: as it came. markers: in the grammar, None where there was no such field. param: where it stood.
    """

    url: str = field(repr=False)
    markers: tuple[str, ...] | None = None
    tags: bool = False
    param: str = "image"
    as_model_sees_it: bool = False


@dataclass(frozen=True)
class Message:
    """One message: its role, its text, and the picture that came with it."""

    role: str
    text: str = field(repr=False)
    drawing: Drawing | None = None


@dataclass(frozen=True)
class Asked:
    """A whole question. options: of `Request`, as far as they were given; stop: texts that end the answer."""

    model: str
    messages: tuple[Message, ...]
    options: dict[str, Any]
    stop: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = False

    @property
    def drawing(self) -> Drawing | None:
        """The one picture."""
        return next((message.drawing for message in self.messages if message.drawing), None)


def asked_of(body: bytes, limits: Limits) -> Asked:
    """Read the body of a chat completion. Raises `Refusal`."""
    given = _object(_json(body, limits), "the body", None)
    given = {name: value for name, value in given.items() if value is not None}
    for name in [name for name in given if name in _NEUTRAL]:
        if given.pop(name) not in _NEUTRAL[name]:
            shown = orjson.dumps(_NEUTRAL[name][0]).decode()
            raise _wrong(f"{name} is understood as {shown} alone", name, code="unsupported_parameter")
    _known(given, (*_FIELDS, "model", "messages", "max_completion_tokens", "stream_options"), "")
    for name in ("model", "messages"):
        if name not in given:
            raise _wrong(f"{name} is missing", name)
    for name, (fits, wanted) in _FIELDS.items():
        if name in given and not fits(given[name]):
            raise _wrong(f"{name} must be {wanted}, got {_shown(given[name])}", name)
    model = given["model"]
    if not isinstance(model, str):
        raise _wrong(f"model must be a name, got {_shown(model)}", "model")
    options: dict[str, Any] = {name: given[name] for name in ("temperature", "top_p", "seed") if name in given}
    if (tokens := _tokens(given, limits)) is not None:
        options["max_new_tokens"] = tokens
    stop = given.get("stop", ())
    stream = given.get("stream", False)
    return Asked(
        model,
        _messages(given["messages"], limits),
        options,
        (stop,) if isinstance(stop, str) else tuple(stop),
        stream,
        _include_usage(given, stream),
    )


def drawing_of(body: bytes, limits: Limits) -> Drawing:
    """Read the body of ``/v1/mark``. Raises `Refusal`."""
    given = _object(_json(body, limits), "the body", None)
    _known(given, ("image", "markers", "tags", "as_model_sees_it"), "")
    if not isinstance(url := given.get("image"), str):
        raise _wrong("image must be a data: URI", "image")
    return Drawing(
        url,
        _markers(given.get("markers"), "markers", limits) or (),
        _bool(given, "tags", ""),
        "image",
        _bool(given, "as_model_sees_it", ""),
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _stops(value: Any) -> bool:
    texts = [value] if isinstance(value, str) else value
    fine = isinstance(texts, list) and len(texts) <= _MAX_STOPS
    return fine and all(isinstance(text, str) and 0 < len(text) <= 1000 for text in texts)


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "temperature": (lambda value: _number(value) and 0 <= value <= 1000, "a number from 0 to 1000"),
    "top_p": (lambda value: _number(value) and 0 < value <= 1, "above 0 and at most 1"),
    "seed": (lambda value: _whole(value) and 0 <= value < 2**63, "a whole number from 0 to 2^63 - 1"),
    "max_tokens": (lambda value: _whole(value) and value >= 1, "1 or more"),
    "stop": (_stops, f"a text, or up to {_MAX_STOPS} of them, none empty"),
    "stream": (lambda value: isinstance(value, bool), "true or false"),
    "user": (lambda value: isinstance(value, str), "a text"),
}


def _tokens(given: dict[str, Any], limits: Limits) -> int | None:
    """How long the answer may be; by either of its two names."""
    old, new = given.get("max_tokens"), given.get("max_completion_tokens")
    if new is not None and not (_whole(new) and new >= 1):
        raise _wrong(f"max_completion_tokens must be 1 or more, got {_shown(new)}", "max_completion_tokens")
    if old is not None and new is not None and old != new:
        raise _wrong("max_tokens and max_completion_tokens are two names of one thing: give one", "max_tokens")
    tokens = old if new is None else new
    if tokens is not None and tokens > limits.tokens:
        name = "max_tokens" if new is None else "max_completion_tokens"
        raise Refusal(422, f"{name} is {tokens}: this server gives at most {limits.tokens}", param=name)
    return tokens


def _include_usage(given: dict[str, Any], stream: bool) -> bool:
    if "stream_options" not in given:
        return False
    if not stream:
        raise _wrong("stream_options belong to stream: true", "stream_options")
    options = _object(given["stream_options"], "stream_options", "stream_options")
    options = {name: value for name, value in options.items() if (name, value) != ("include_obfuscation", False)}
    _known(options, ("include_usage",), "stream_options.")
    return _bool(options, "include_usage", "stream_options.")


def _messages(value: Any, limits: Limits) -> tuple[Message, ...]:
    """The messages: a system line or none, then user and assistant by turns, a user's last; one picture at most."""
    if not isinstance(value, list) or not value:
        raise _wrong("messages must be a list of one or more", "messages")
    messages = tuple(_message(one, f"messages[{number}]", limits) for number, one in enumerate(value))
    if (size := sum(len(message.text) for message in messages)) > limits.text:
        what = f"the messages have {size:,} characters, and this server reads at most {limits.text:,}"
        raise Refusal(422, what, param="messages", code="context_length_exceeded")
    turns = messages[1:] if messages[0].role == "system" else messages
    for number, message in enumerate(turns):
        wanted = ("user", "assistant")[number % 2]
        if message.role != wanted:
            where = f"messages[{number + len(messages) - len(turns)}]"
            raise _wrong(
                f"{where}: the {wanted} is next, not the {message.role}: after a system message, user and assistant "
                "take turns",
                f"{where}.role",
            )
    if len(turns) % 2 == 0:
        raise _wrong("messages must end with one of the user", "messages")
    pictures = [message.drawing.param for message in messages if message.drawing]
    if len(pictures) > 1:
        raise _wrong(f"this model looks at one picture a conversation, got {len(pictures)}", pictures[1])
    if messages[0].role == "system" and messages[0].drawing:
        raise _wrong("a picture belongs to a user's message", pictures[0])
    return messages


def _message(value: Any, where: str, limits: Limits) -> Message:
    message = _object(value, where, where)
    message = {name: one for name, one in message.items() if one is not None}
    _known(message, ("role", "content", *(("refusal",) if message.get("role") == "assistant" else ())), f"{where}.")
    role, content = message.get("role"), message.get("content")
    role = "system" if role == "developer" else role
    if role not in ("system", "user", "assistant"):
        raise _wrong(f"{where}.role must be system, user or assistant, got {_shown(role)}", f"{where}.role")
    if isinstance(content, str):
        return Message(role, content)
    if not isinstance(content, list):
        raise _wrong(f"{where}.content must be a text or a list of parts", f"{where}.content")
    texts: list[str] = []
    drawing: Drawing | None = None
    for number, one in enumerate(content):
        at = f"{where}.content[{number}]"
        part = _object(one, at, at)
        if part.get("type") == "text":
            _known(part, ("type", "text"), f"{at}.")
            if not isinstance(part.get("text"), str):
                raise _wrong(f"{at}.text must be a text", f"{at}.text")
            texts.append(part["text"])
        elif part.get("type") == "image_url":
            if drawing is not None:
                raise _wrong("this model looks at one picture a conversation, got several", at)
            if role != "user":
                raise _wrong("a picture belongs to a user's message", at)
            drawing = _part(part, at, limits)
        else:
            raise _wrong(f"{at}.type must be text or image_url, got {_shown(part.get('type'))}", f"{at}.type")
    return Message(role, "\n".join(texts), drawing)


def _part(part: dict[str, Any], at: str, limits: Limits) -> Drawing:
    _known(part, ("type", "image_url", "markers", "tags"), f"{at}.")
    image = part.get("image_url")
    image = _object({"url": image} if isinstance(image, str) else image, f"{at}.image_url", f"{at}.image_url")
    _known(image, ("url", "detail"), f"{at}.image_url.")
    if not isinstance(image.get("url"), str):
        raise _wrong(f"{at}.image_url.url must be a data: URI", f"{at}.image_url.url")
    if image.get("detail", "auto") not in ("auto", "low", "high"):
        raise _wrong(f"{at}.image_url.detail must be auto, low or high", f"{at}.image_url.detail")
    markers = _markers(part.get("markers"), f"{at}.markers", limits)
    return Drawing(image["url"], markers, _bool(part, "tags", f"{at}."), f"{at}.image_url.url")


def _markers(value: Any, where: str, limits: Limits) -> tuple[str, ...] | None:
    """Markers in the grammar. A mask by a file's name is refused here: the server's files are nobody's business."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong(f'{where} must be a list of texts like "dog=40,30,200,180@blue"', where)
    if len(value) > limits.markers:
        raise Refusal(422, f"{where} has {len(value)}: this server draws at most {limits.markers}", param=where)
    for number, one in enumerate(value):
        if _BY_FILE.match(one) and not _BY_NUMBERS.fullmatch(one):
            raise _wrong(
                f"{where}[{number}] {quote(one)}: a server reads no mask file; give the outline: mask:x,y,x,y,x,y",
                f"{where}[{number}]",
            )
    return tuple(value)


def _json(body: bytes, limits: Limits) -> Any:
    if sum(map(body.count, (b",", b"[", b"{"))) > 2 * limits.text:  # else 32 MB of them take 1 GB of memory
        raise Refusal(400, "the body's JSON has too many parts", code="invalid_json")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"the body is no JSON: {quote(str(error), 160)}", code="invalid_json") from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > limits.depth:
            raise Refusal(400, f"the body's JSON is nested deeper than {limits.depth} times", code="invalid_json")
        inside = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [one for some in inside for one in some if isinstance(one, dict | list)]
    return value


def _object(value: Any, what: str, param: str | None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"{what} must be a JSON object, got {_shown(value)}", param)
    return value


def _known(given: dict[str, Any], known: Collection[str], prefix: str) -> None:
    for name in given:
        if name not in known:
            raise _wrong(f"there is no field {quote(prefix + name, 160)}", prefix + name, code="unknown_parameter")


def _bool(given: dict[str, Any], name: str, prefix: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise _wrong(f"{prefix}{name} must be true or false, got {_shown(value)}", f"{prefix}{name}")
    return value


def _shown(value: Any) -> str:
    return quote(orjson.dumps(value).decode())


def _wrong(message: str, param: str | None, code: str | None = None) -> Refusal:
    return Refusal(400, message, param=None if param is None else quote(param, 160), code=code)
