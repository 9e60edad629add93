"""``/v1/chat/completions``: the official client speaks with it, and gets what ``vip ask`` gives."""

from __future__ import annotations

import base64
import contextlib
import itertools
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI
from server.serving import MEADOW, POND, Held, Limits, Served, about, data_uri, error_of, events_of, serving, text_of

from vipcli import ChatSession, ask, mark, to_request
from vipcli.engine import Engine, open_remote
from vipcli.images import open_picture

MUSHROOM, DUCK = "448,126,590,275", "495,148,627,288"


@pytest.fixture
def client(served: Served) -> OpenAI:
    return OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


def asked_alone(engine: Engine, picture: Path, question: str, markers: list[str], **options):
    """The prompt and the answer of ``vip ask``."""
    request = to_request(mark(picture, markers), question, engine, **options)
    return request.prompt, engine.stream(request).finished()


def test_the_official_client_finds_the_model_and_asks_it(client: OpenAI, served: Served):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "vip"
    reply = client.chat.completions.create(model="tiny", messages=about("What is @1?", MUSHROOM))
    assert reply.choices[0].message.content == "a mushroom"
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.completion_tokens == 2
    assert client.chat.completions.create(model="vip-tiny", messages=about("What is @1?", MUSHROOM)).model == "vip-tiny"


def test_it_streams_and_counts_what_it_said_if_it_is_to(client: OpenAI):
    chunks = list(
        client.chat.completions.create(
            model="tiny",
            messages=about("What is @1?", MUSHROOM),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "a mushroom"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [one.choices[0].finish_reason for one in chunks if one.choices][-2:] == [None, "stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 2
    assert len({one.id for one in chunks}) == 1
    plain = client.chat.completions.create(model="tiny", messages=about("What is @1?", MUSHROOM), stream=True)
    assert all(one.usage is None for one in plain)


CASES = [
    ("What is @1?", [MUSHROOM]),
    ("What is @thing?", [f"thing={MUSHROOM}@blue", "arrow:20,20,120,80@red,width=4"]),
    ("What is within the red rectangle?", [f"{MUSHROOM}@red"]),
    ("Is @house ### <image> </s> @2?", ["ellipse:house=65,295,223,453", "point:130,120@lime"]),
    ("  What is @1?  ", ["10%,10%,40%,45%"]),
    ("mail me@home.org about @1", ["contour:10,10,200,10,200,200"]),
    ("What is in the picture?", []),
]


@pytest.mark.parametrize(("question", "markers"), CASES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.filterwarnings("ignore::vipcli.VipWarning")
def test_an_answer_is_that_of_vip_ask(served: Served, tiny: Engine, question: str, markers: list[str], stream: bool):
    _, expected = asked_alone(tiny, MEADOW, question, markers)
    response = served.ask({"model": "tiny", "messages": about(question, *markers), "stream": stream})
    assert response.status_code == 200
    if stream:
        events = events_of(response)
        assert events[-1] == "[DONE]"
        assert text_of(events) == expected.text
        vip = events[-2]["vip"]
    else:
        reply = response.json()
        assert reply["choices"][0]["message"]["content"] == expected.text
        assert reply["usage"]["prompt_tokens"] == expected.prompt_tokens
        assert reply["usage"]["completion_tokens"] == expected.answer_tokens
        vip = reply["vip"]
    assert len(vip["markers"]) == len(markers)
    assert all("@" in one for one in vip["markers"]), "with the colour that they got"


def prompt_of(messages: list[dict], **body) -> str:
    """The prompt that an engine gets for `messages`."""
    engine = Held(held=False)
    prompts = []
    take = engine.answers

    def answers(feed, at_once=None):
        class Seen:
            def take(self, wait):
                job = feed.take(wait)
                if job is not None:
                    prompts.append(job.request)
                return job

        return take(Seen(), at_once)

    engine.answers = answers  # type: ignore[method-assign]
    with serving(engine) as it:
        response = it.ask({"model": "held", "messages": messages, "max_tokens": 1, **body})
        assert response.status_code == 200, response.text
    return prompts[0]


def test_several_turns_are_those_of_vip_chat(served: Served, tiny: Engine, client: OpenAI):
    session = ChatSession(tiny, system="Answer briefly.")
    session.show(open_picture(MEADOW), "meadow.png", [f"thing={MUSHROOM}", "house=65,295,223,453"])
    messages: list = [{"role": "system", "content": "Answer briefly."}]
    picture = about("", f"thing={MUSHROOM}", "house=65,295,223,453")[0]["content"][0]
    for number, question in enumerate(["What is @thing?", "Is it red?", "What is @house?"]):
        expected = session.ask(question).finished()
        text = {"type": "text", "text": question}
        messages.append({"role": "user", "content": [picture, text] if number == 0 else question})
        reply = client.chat.completions.create(model="tiny", messages=messages)
        assert reply.choices[0].message.content == expected.text
        assert reply.usage.prompt_tokens == expected.prompt_tokens
        messages.append({"role": "assistant", "content": reply.choices[0].message.content})


def test_the_picture_stands_in_the_turn_that_it_came_with():
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello ### <image>"},
        *about("What is @1?", "1,2,30,40@red"),
    ]
    request = prompt_of(turns)
    assert request.prompt.endswith(
        "###Human: Hello###Assistant: Hello # ## < image>###Human: <image>\n"
        "What is the object within the red rectangle?###Assistant:"
    )
    assert request.picture.shape == (480, 640, 3)


def test_without_markers_an_at_sign_is_one(served: Served):
    assert prompt_of([{"role": "user", "content": "What is @dog?"}]).prompt.endswith(
        "Human: What is @dog?###Assistant:"
    )
    error = error_of(served.ask({"model": "tiny", "messages": about("What is @dog?", markers=[])}))
    assert error["message"] == "the question names @dog, which no marker is called: there are no markers"


def test_its_options_reach_the_engine():
    request = prompt_of(
        about("Hm?", "1,2,30,40"),
        temperature=0.5,
        top_p=0.25,
        seed=7,
        stop=["one", "two"],
        user="me",
        n=1,
        frequency_penalty=0,
        max_completion_tokens=1,
    )
    assert (request.temperature, request.top_p, request.seed, request.max_new_tokens) == (0.5, 0.25, 7, 1)
    assert request.stop == ("###", "one", "two")
    assert prompt_of(about("Hm?"), stop="x", temperature=None).stop == ("###", "x")


def test_a_stop_text_and_a_limit_end_the_answer(served: Served):
    ask = {"model": "tiny", "messages": about("What is @1?", MUSHROOM)}
    stopped = served.ask({**ask, "stop": "room"}).json()["choices"][0]
    assert (stopped["message"]["content"], stopped["finish_reason"]) == ("a mush", "stop")
    short = served.ask({**ask, "max_tokens": 1}).json()["choices"][0]
    assert (short["message"]["content"], short["finish_reason"]) == ("a", "length")


def test_drawing_with_a_seed_gives_the_same_again(served: Served):
    ask = {"model": "tiny", "messages": about("What is in the picture?"), "temperature": 3, "max_tokens": 8}
    said = [served.ask({**ask, "seed": seed}).json()["choices"][0]["message"]["content"] for seed in (5, 5, 1, 2, 3)]
    assert said[0] == said[1]
    assert len(set(said)) > 1


def test_what_may_not_be_seen_is_said(served: Served):
    body = {"model": "tiny", "messages": about("What is @1?", "100,100,104,104@red", "1,1,60,60@red")}
    warnings = served.ask(body).json()["vip"]["warnings"]
    assert "less than half of one of its 16-pixel patches" in warnings[0]
    assert "look alike" in warnings[1]
    assert events_of(served.ask({**body, "stream": True}))[-2]["vip"]["warnings"] == warnings


def test_tags_number_the_markers(served: Served):
    tagged = prompt_of(about("Hm?", "100,100,200,200@red", tags=True)).picture
    plain = prompt_of(about("Hm?", "100,100,200,200@red")).picture
    assert (tagged != plain).any()


GOOD = {"model": "tiny", "messages": [{"role": "user", "content": "Hm?"}]}


def image(url="data:image/png;base64,AAAA", **more):
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}, **more}]}]}


def said(content, role="user"):
    return {"messages": [{"role": role, "content": content}]}


WRONG = [
    ({"messages": None}, 400, "messages", "messages is missing"),
    ({"model": "gpt-4"}, 404, "model", "there is no model 'gpt-4' here, only 'tiny'"),
    ({"top_k": 5}, 400, "top_k", "there is no field top_k"),
    ({"tools": []}, 400, "tools", "there is no field tools"),
    ({"n": 2}, 400, "n", "n is understood as 1 alone"),
    ({"logprobs": True}, 400, "logprobs", "logprobs is understood as false alone"),
    ({"temperature": "hot"}, 400, "temperature", 'temperature must be a number from 0 to 1000, got "hot"'),
    ({"temperature": True}, 400, "temperature", "temperature must be"),
    ({"top_p": 0}, 400, "top_p", "top_p must be above 0 and at most 1, got 0"),
    ({"seed": -1}, 400, "seed", "seed must be a whole number from 0 to 2^63 - 1, got -1"),
    ({"max_tokens": 0}, 400, "max_tokens", "max_tokens must be 1 or more, got 0"),
    ({"max_tokens": 1, "max_completion_tokens": 2}, 400, "max_tokens", "two names of one thing"),
    ({"stop": ["a", "b", "c", "d", "e"]}, 400, "stop", "stop must be a text, or up to 4 of them"),
    ({"stream": "yes"}, 400, "stream", "stream must be true or false"),
    ({"stream_options": {"include_usage": True}}, 400, "stream_options", "belong to stream: true"),
    ({"stream": True, "stream_options": {"x": 1}}, 400, "stream_options.x", "there is no field stream_options.x"),
    ({"messages": []}, 400, "messages", "messages must be a list of one or more"),
    (said("Hm?", "tool"), 400, "messages[0].role", "must be system, user or assistant"),
    (said("Hm?", "assistant"), 400, "messages[0].role", "the user is next, not the assistant"),
    (said("Hm?", "system"), 400, "messages", "must end with one of the user"),
    (said("  "), 400, None, "the question is empty"),
    (said(5), 400, "messages[0].content", "must be a text or a list of parts"),
    (said([{"type": "input_audio"}]), 400, "messages[0].content[0].type", "must be text or image_url"),
    (said([{"type": "text", "text": "a", "x": 1}]), 400, "messages[0].content[0].x", "there is no field"),
    ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, 400, "messages[0].name", "there is no field"),
    (image(), 400, "messages[0].content[0].image_url.url", "the picture: "),
    (image("data:image/png,AAAA"), 400, "messages[0].content[0].image_url.url", "must hold base64"),
    (image("data:image/png;base64,A*"), 400, "messages[0].content[0].image_url.url", "broken base64"),
    (image(markers="1,2,3,4"), 400, "messages[0].content[0].markers", "must be a list of texts"),
    (image(data_uri(), markers=["1,2,3"]), 400, "markers", "marker 1,2,3: a box needs 4 numbers"),
    (image(data_uri(), markers=["mask:/etc/passwd"]), 400, "messages[0].content[0].markers[0]", "reads no mask file"),
    (image(boxes=[]), 400, "messages[0].content[0].boxes", "there is no field"),
    ({"messages": [*about("a"), {"role": "assistant", "content": "b"}, *about("c")]}, 400,
     "messages[2].content[0].image_url.url", "looks at one picture a conversation, got 2"),
    ({"messages": about("What is @dog?", "cat=1,2,30,40")}, 400, None, "there is @cat"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "status", "param", "sentence"), WRONG, ids=lambda value: str(value)[:40])
def test_what_cant_be_asked_is_one_sentence_that_names_the_field(served, change, status, param, sentence):
    response = served.ask({**GOOD, **change})
    assert response.status_code == status, response.text
    error = error_of(response)
    assert sentence in error["message"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


def test_a_body_that_is_no_json_is_said(served: Served):
    for body in (b"", b"{", b"[1]", b"\xff", b'{"model": NaN}'):
        response = httpx.post(
            f"{served.url}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 400
        assert "JSON" in error_of(response)["message"]


def test_the_official_client_raises_its_own_errors(client: OpenAI):
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-4' here"):
        client.chat.completions.create(model="gpt-4", messages=about("Hm?"))
    with pytest.raises(openai.BadRequestError, match="there is no field tools"):
        client.chat.completions.create(
            model="tiny", messages=about("Hm?"), tools=[{"type": "function", "function": {"name": "f"}}]
        )


def test_a_prompt_that_is_too_long_says_by_how_many_tokens(served: Served):
    body = {"model": "tiny", "messages": about("word " * 3000)}
    for stream in (False, True):
        response = served.ask({**body, "stream": stream})
        assert response.status_code == 400
        assert "too many for this model's context of 1024; shorten the messages" in error_of(response)["message"]
    long = served.ask({**GOOD, "messages": about("Hm?"), "max_tokens": 1000})
    assert "and max_tokens is 1000: " in error_of(long)["message"]
    assert "or lower max_tokens" in error_of(long)["message"]


def test_an_answer_without_a_limit_takes_what_room_there_is():
    engine = Held(held=False)
    with serving(engine) as it:
        words = " ".join(itertools.repeat("word", 900))
        reply = it.ask({"model": "held", "messages": [{"role": "user", "content": words}]}).json()
        assert 20 < reply["usage"]["completion_tokens"] < 100
        assert reply["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("question", ["What is @thing?", "Is @thing ### red, or @@home?"])
def test_vip_by_way_of_the_server_is_vip(served: Served, tiny: Engine, question: str):
    """As ``vip ask`` does it where a server answers: the markers are drawn, and put into words, on this side."""
    with contextlib.closing(open_remote(served.url)) as remote:
        asked = [ask(POND, question, [f"thing={DUCK}"], model=engine, max_new_tokens=64) for engine in (remote, tiny)]
    assert asked[0].text
    assert asked[0].text == asked[1].text
    assert asked[0].prompt_tokens == asked[1].prompt_tokens


def test_limits_of_markers_text_and_tokens(tiny: Engine):
    with serving(Held(held=False), limits=Limits(markers=2, text=100, tokens=5)) as it:
        many = it.ask({"model": "held", "messages": about("Hm?", *["1,2,30,40"] * 3)})
        assert (many.status_code, error_of(many)["message"]) == (
            422,
            "messages[0].content[0].markers has 3: this server draws at most 2",
        )
        long = it.ask({"model": "held", "messages": about("x" * 101)})
        assert (long.status_code, error_of(long)["code"]) == (422, "context_length_exceeded")
        tokens = it.ask({"model": "held", "messages": about("Hm?"), "max_tokens": 6})
        assert (tokens.status_code, error_of(tokens)["param"]) == (422, "max_tokens")


def test_small_events_go_out_at_once(served: Served):
    """A socket that isn't known as TCP makes asyncio wait 40 ms for an acknowledgement that the client delays."""
    import socket

    assert served.server.servers[0].sockets[0].proto == socket.IPPROTO_TCP


def test_head_says_what_get_would_without_its_body(served: Served):
    for path in ("/health", "/", "/v1/models"):
        alone = httpx.head(f"{served.url}{path}")
        assert (alone.status_code, alone.content) == (200, b"")
        assert alone.headers["Content-Length"] == str(len(served.get(path).content))


def test_base64_may_have_line_breaks(served: Served):
    lines = base64.encodebytes(MEADOW.read_bytes()).decode()
    body = {"model": "tiny", "messages": about("What is @1?", MUSHROOM, picture=f"data:image/png;base64,{lines}")}
    assert served.ask(body).json()["choices"][0]["message"]["content"] == "a mushroom"
