"""OpenAI's batch files: what is read of a request, and the responses, held against OpenAI's reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from markers.formats.samples import write

from vipcli.batch.asking import Asking
from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.batch.requests import is_request_file, response
from vipcli.batch.sources import Source, open_source
from vipcli.errors import UsageError
from vipcli.prompt import Turn

# The two of https://platform.openai.com/docs/guides/batch, "Preparing your batch file".
OFFICIAL = """\
{"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-3.5-turbo-0125", \
"messages": [{"role": "system", "content": "You are a helpful assistant."},{"role": "user", "content": "Hello world!"}]\
,"max_tokens": 1000}}
{"custom_id": "request-2", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-3.5-turbo-0125", \
"messages": [{"role": "system", "content": "You are an unhelpful assistant."},{"role": "user", "content": \
"Hello world!"}],"max_tokens": 1000}}
"""


def part(url: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}, **more}


def user(*content: Any) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "text", "text": one} if isinstance(one, str) else one for one in content],
    }


def opened(folder: Path, *lines: Any, asking: Asking | None = None, **more: Any) -> Source:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path = write(folder, {"requests.jsonl": "\n".join(texts)}) / "requests.jsonl"
    return open_source([str(path)], asking or Asking(), **more)


def one(folder: Path, messages: Any, asking: Asking | None = None, **body: Any) -> Item | BadItem:
    (item,) = opened(folder, {"custom_id": "r", "body": {"messages": messages, **body}}, asking=asking).items()
    return item


def test_the_official_example_is_read(tmp_path):
    source = opened(tmp_path, OFFICIAL)
    assert source.requests
    first, second = source.items()
    assert (first.id, first.question, first.system) == ("request-1", "Hello world!", "You are a helpful assistant.")
    assert (first.image, first.picture, first.turns, first.options) == (None, None, (), {"max_new_tokens": 1000})
    assert (second.id, second.system) == ("request-2", "You are an unhelpful assistant.")


@pytest.mark.parametrize(
    ("url", "image"),
    [
        ("https://example.org/a.jpg", "https://example.org/a.jpg"),
        ("data:image/png;base64,iVBORw0KGgo=", "data:image/png;base64,iVBORw0KGgo="),
        ("sub/a.jpg", "{folder}/sub/a.jpg"),
        ("/a.jpg", "/a.jpg"),
        ("-", "{folder}/-"),
    ],
)
def test_a_picture_is_an_address_a_data_uri_or_a_path_beside_the_file(tmp_path, url, image):
    item = one(tmp_path, [user("What is", part(url), "this?")])
    assert item.image == image.format(folder=tmp_path)
    assert (item.question, item.picture) == ("What is\nthis?", 0)


def test_several_turns_keep_the_picture_where_it_stands(tmp_path):
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        user("And this?", part("a.jpg")),
        {"role": "assistant", "content": [{"type": "text", "text": "A cat"}]},
        {"role": "user", "content": "Sure?", "name": "Zoë"},
    ]
    item = one(tmp_path, messages)
    assert item.system == "Be brief.\nBe kind."
    assert item.turns == (Turn("Hi", "Hello"), Turn("And this?", "A cat"))
    assert (item.question, item.picture) == ("Sure?", 1)


def test_options_are_those_of_the_request(tmp_path):
    body = {"temperature": 0.5, "top_p": 1, "seed": 3, "max_completion_tokens": 7, "max_tokens": None, "n": 1}
    body |= {
        "stream": False,
        "response_format": {"type": "text"},
        "logit_bias": {},
        "model": "x",
        "metadata": {"a": "b"},
    }
    item = one(tmp_path, [user("?")], **body)
    assert item.options == {"temperature": 0.5, "top_p": 1, "seed": 3, "max_new_tokens": 7}


def test_markers_are_an_extension_and_an_at_sign_is_a_name_only_with_them(tmp_path):
    extra = MarkerText("1,2", "point")
    asking = Asking(markers=(extra,), coords="relative")
    item = one(tmp_path, [user("Is @1 @2?", part("a.jpg", markers=["0,0,1,1"]))], asking)
    assert item.markers == (MarkerText("0,0,1,1", None, "relative"), extra)
    assert item.question == "Is @1 @2?"
    assert one(tmp_path, [user("Ask @bob", part("a.jpg"))]).question == "Ask @@bob"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"tools": [{"type": "function"}]}, "tools isn't known here; leave it out"),
        ({"response_format": {"type": "json_object"}}, "response_format isn't known here; leave it out"),
        ({"n": 2}, "n isn't known here; leave it out"),
        ({"stream": True}, "stream isn't known here; leave it out"),
        ({"x\x1b[31m": 1}, "x\\x1b[31m isn't known here; leave it out"),
        ({"max_tokens": 5.5}, "max_tokens must be a whole number, got 5.5"),
        ({"seed": "3"}, 'seed must be a whole number, got "3"'),
        ({"temperature": True}, "temperature must be a number, got true"),
        ({"temperature": float("nan")}, 'temperature must be a number, got "NaN"'),
        ({"messages": []}, "its messages are no list of objects"),
        ({"messages": None}, "its messages are no list of objects"),
        ({"messages": ["Hi"]}, "its messages are no list of objects"),
        ({"messages": [user("a"), user("b")]}, "a message of 'user' can't stand there: user and assistant take turns"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "a message of 'tool' can't stand there"),
        ({"messages": [{"role": "user"}]}, "a message has no content"),
        ({"messages": [{"role": "system", "content": "x"}]}, "its last message isn't a user's"),
        ({"messages": [user("a"), {"role": "assistant", "content": "b"}]}, "its last message isn't a user's"),
        ({"messages": [user(part("a.jpg"), part("b.jpg"))]}, "it has two pictures, and the model sees one"),
        ({"messages": [{**user(part("a.jpg")), "role": "system"}]}, "only a user's message can have a picture"),
        ({"messages": [user({"type": "input_audio"})]}, "is neither text nor an image_url, but input_audio"),
        ({"messages": [user(5)]}, "is neither text nor an image_url, but None"),
        ({"messages": [user({"type": ["text"]})]}, "is neither text nor an image_url, but ['text']"),
        ({"messages": [user({"type": "text"})]}, "the text of a message's part is no text"),
        (
            {"messages": [user({"type": "image_url", "image_url": "a"})]},
            'must be an object like {"url": "https://..."}',
        ),
        ({"messages": [user(part(None))]}, 'an image_url must be an object like {"url": "https://..."}'),
        ({"messages": [user(part("a.jpg", markers=[1]))]}, "its markers are no list of texts"),
    ],
)
def test_what_cant_be_done_is_refused_by_name_and_the_rest_goes_on(tmp_path, body, sentence):
    line = {"custom_id": "r", "body": {"messages": [user("?")], **body}}
    first, second, third = opened(tmp_path, OFFICIAL, line).items()
    assert isinstance(first, Item)
    assert isinstance(second, Item)
    assert (third.id, third.where) == ("r", "requests.jsonl, line 4")
    assert sentence in third.sentence


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("no", "it is no JSON object"),
        ("[" * 3000, "it is no JSON object"),
        ({"body": {}}, "it is no request with a custom_id"),
        ({"custom_id": 5, "body": {}}, "it is no request with a custom_id"),
        ({"custom_id": "", "body": {}}, "it is no request with a custom_id"),
        ({"custom_id": "x"}, "its body is no JSON object"),
        ({"custom_id": "x", "method": "GET", "body": {}}, "can be answered, not GET /v1/chat/completions"),
        ({"custom_id": "x", "url": "/v1/embeddings", "body": {}}, "can be answered, not POST /v1/embeddings"),
    ],
)
def test_a_line_that_is_no_request_is_said(tmp_path, line, sentence):
    *_, last = opened(tmp_path, OFFICIAL, "", line).items()
    assert isinstance(last, BadItem)
    assert last.where == "requests.jsonl, line 5"
    assert sentence in last.sentence


def test_requests_have_their_own_questions(tmp_path):
    for asking in (Asking("What?"), Asking(each=True)):
        with pytest.raises(UsageError, match="has the questions of its requests: leave -q and --each out"):
            opened(tmp_path, OFFICIAL, asking=asking)


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (OFFICIAL, True),
        ("\ufeff\r\n" + OFFICIAL, True),
        ('{"image": "a.jpg"}\n', False),
        ("", False),
        ("[" * 3000, False),
        ('["custom_id", "body"]', False),
    ],
)
def test_a_request_file_is_known_by_its_first_line(tmp_path, content, is_one):
    path = write(tmp_path, {"a.jsonl": content, "a.txt": content}) / "a.jsonl"
    assert is_request_file(path) is is_one
    assert not is_request_file(tmp_path / "a.txt")
    assert not is_request_file(tmp_path / "none.jsonl")


# What is written back

_ROW = {
    "id": "request-1",
    "input": "00ff",
    "answer": "A cat",
    "finish": "stop",
    "model": "tiny",
    "prompt_tokens": 9,
    "answer_tokens": 2,
    "error": None,
    "time": "2026-01-02T03:04:05+00:00",
}


def test_an_answer_is_a_chat_completion():
    """Its fields are what `openai.types.chat.ChatCompletion` requires; that validates it strictly."""
    line = response(_ROW)
    assert list(line) == ["id", "custom_id", "response", "error"]
    assert (line["custom_id"], line["error"], line["response"]["status_code"]) == ("request-1", None, 200)
    body = line["response"]["body"]
    assert body == {
        "id": body["id"],
        "object": "chat.completion",
        "created": 1767323045,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A cat", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }


def test_an_answer_that_was_cut_off_says_so():
    assert response({**_ROW, "finish": "length"})["response"]["body"]["choices"][0]["finish_reason"] == "length"
    assert response({**_ROW, "finish": "context"})["response"]["body"]["choices"][0]["finish_reason"] == "stop"


def test_a_failure_has_an_error_and_no_response():
    row = {"id": "x", "input": "0", "answer": None, "error": "requests.jsonl, line 2: it is no JSON object"}
    line = response(row)
    assert line["response"] is None
    assert line["error"] == {"code": "failed", "message": row["error"]}


def test_every_response_has_an_id_of_its_own():
    rows = [{**_ROW, "id": "\ud800"}, {**_ROW, "id": "b"}, {"id": "c", "input": "0", "answer": None, "error": "x"}]
    assert len({response(row)["id"] for row in rows}) == 3
    assert response(rows[0])["id"] == response(rows[0])["id"]
