"""`vipcli.engine.remote`: questions to a server of OpenAI's API, and all that can go wrong on the way."""

from __future__ import annotations

import base64
import io
import json
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from engine.scripted_server import (
    Call,
    Scripted,
    asking,
    cut_short,
    delta,
    end,
    in_turn,
    refuse,
    running,
    seconds_to_close,
    silence,
    usage,
    why,
)
from PIL import Image

from vipcli import Box, ChatSession, mark, to_request
from vipcli.engine import RemoteEngine, Request, Token, open_engine, open_remote
from vipcli.engine.completions import piece
from vipcli.engine.sse import Event
from vipcli.errors import ModelError, PromptError, UsageError

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


# Finding the server


@pytest.mark.parametrize("path", ["/v1", "", "/", "/v1/", "/v1/chat/completions", "/v1/models", "/proxy/v1"])
def test_a_server_is_named_by_its_address_however_it_is_written(server, path):
    engine = open_remote(server.root + path)
    assert engine.name == "eyes-7b", "the one model that it has"
    assert [one.path for one in server.asked] == ["/proxy/v1/models" if "proxy" in path else "/v1/models"]


def test_what_is_no_version_one_keeps_its_path(server):
    open_remote(f"{server.root}/v1beta/openai")
    assert server.asked[0].path == "/v1beta/openai/models"


def test_of_several_models_one_must_be_named(server):
    server.on_models = lambda call: call.json({"data": [{"id": "org/eyes"}, {"id": "ears"}]})
    assert why(lambda: open_remote(server.url)) == (
        f"{server.url} has 2 models: name one, like {server.url}#org/eyes (org/eyes, ears)"
    )
    assert open_remote(server.url, model="ears").name == "ears"
    assert open_remote(f"{server.url}#org/eyes").name == "org/eyes"


def test_a_server_that_lists_nothing_takes_the_name_that_it_is_given(server):
    server.on_models = refuse(404)
    assert open_remote(server.url, model="eyes").name == "eyes"
    server.on_models = lambda call: call.json({"data": []})
    assert "lists no model: name the one" in why(lambda: open_remote(server.url))


def test_open_engine_takes_an_address_for_a_server(server):
    engine = open_engine(server.url, device="auto", dtype=None, device_map=None, load_in=None, concurrency=2)
    assert isinstance(engine, RemoteEngine)
    assert engine.concurrency == 2
    sentence = why(lambda: open_engine(server.url, load_in="4bit"), UsageError)
    assert sentence == "--load-in 4bit is for a model that runs here; a server has chosen for itself"


@pytest.mark.parametrize(
    "url", ["http://", "ftp://host/v1", "http://host:port/v1", "http://[::1/v1", "http://a\x1b[0m/"]
)
def test_what_is_no_address_is_wrong_usage(url):
    assert "is no address of a server; write it like http://localhost:8000/v1" in why(
        lambda: open_remote(url), UsageError
    )


LOGIN = "<!doctype html><title>Log in</title>"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (refuse(401), "wants a key: set VIP_API_KEY"),
        (refuse(403, "not you"), "refuses access: check that VIP_API_KEY may use this model (it says: not you)"),
        (refuse(404), "has nothing at this address: it should be that of an OpenAI-compatible server"),
        (refuse(418, "I'm\x1b[31m a\nteapot"), "answers 418 I'm a Teapot (it says: I'm\\x1b[31m a teapot)"),
        (lambda call: call.json({"detail": [{"msg": "no route"}]}, 405), "answers 405 Method Not Allowed (it says: no"),
        (lambda call: call.reply(500, LOGIN, "text/html"), "answers 500 Internal Server Error (tried 5 times)"),
        (lambda call: call.reply(200, LOGIN, "text/html"), "shows a web page instead of answering"),
        (lambda call: call.reply(200, "hello"), "doesn't list its models as an OpenAI-compatible server does"),
        (lambda call: call.reply(200, "[" * 10**5), "doesn't list its models"),
        (lambda call: call.json({"data": [{"name": "eyes"}]}), "doesn't list its models"),
        (lambda call: call.hang_up(), "broke off the connection"),
        (lambda call: call.wfile.write(b"\x00rubbish\r\n\r\n"), "broke off the connection"),
        (lambda call: call.reply(200, b"x" * (17 * 2**20)), "sends more than 16 MB"),
    ],
)
def test_a_server_that_cant_be_asked_is_one_sentence(server, pauses, answer, sentence):
    server.on_models = answer
    said = why(lambda: open_remote(server.url, pause=pauses))
    assert said.startswith(server.url)
    assert sentence in said


def test_an_address_where_nothing_listens_is_said_at_once(pauses):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    assert why(lambda: open_remote(url, pause=pauses)) == (
        f"nothing answers at {url} (Connection refused): is the server running, and is the address right?"
    )
    assert not pauses, "at first it is rather misspelt"


def test_a_silent_server_is_given_up(server):
    server.on_models = silence
    assert "was silent for 0.2 seconds" in why(lambda: open_remote(server.url, timeout=0.2))


def test_a_server_that_is_still_loading_is_asked_again(server, pauses):
    server.on_models = in_turn(refuse(503, "Loading model"), refuse(503, "Loading model"), server.on_models)
    assert open_remote(server.url, pause=pauses).name == "eyes-7b"
    assert len(pauses) == 2


def test_https_to_a_server_that_speaks_http(server):
    url = server.url.replace("http:", "https:")
    assert "doesn't speak TLS as it should" in why(lambda: open_remote(url))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_a_certificate_that_nobody_vouches_for(server, tmp_path):
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", "-nodes", *curve, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    assert "a certificate that can't be trusted (self-signed certificate): set SSL_CERT_FILE" in why(
        lambda: open_remote(url)
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        engine = open_remote(url)
    assert engine.stream(asking()).finished().text == "aredfox"
    assert seconds_to_close(server, engine, silence) < 0.5, "an encrypted connection can be cut too"


# Keys


@pytest.mark.parametrize(
    ("environment", "token", "sent"),
    [
        ({}, None, None),
        ({"OPENAI_API_KEY": "sk-o"}, None, "Bearer sk-o"),
        ({"OPENAI_API_KEY": "sk-o", "VIP_API_KEY": "sk-v\n"}, None, "Bearer sk-v"),
        ({"VIP_API_KEY": "sk-v"}, "sk-t", "Bearer sk-t"),
    ],
)
def test_the_key_comes_from_the_argument_or_the_environment(server, monkeypatch, environment, token, sent):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    open_remote(server.url, token=token).stream(asking()).finished()
    assert [one.headers.get("authorization") for one in server.asked] == [sent, sent]


def test_credentials_in_the_address_are_sent_and_never_shown(server):
    url = server.url.replace("//", "//eve:p%40ss@")
    engine = open_remote(url)
    assert server.asked[0].headers["authorization"] == f"Basic {base64.b64encode(b'eve:p@ss').decode()}"
    server.on_ask = server.on_models = refuse(401)
    for action in (lambda: open_remote(url), lambda: engine.stream(asking()).finished()):
        sentence = why(action)
        assert sentence == f"{server.url} refuses the key: check VIP_API_KEY"
    for broken in ("http://eve:p@ss/word@host:port/v1", "http://eve:secret@host:port", "ftp://eve:secret@host"):
        assert "eve" not in why(lambda url=broken: open_remote(url), UsageError)


def test_a_key_is_never_shown(server, monkeypatch):
    monkeypatch.setenv("VIP_API_KEY", "sk-sécret")
    assert "cret" not in why(lambda: open_remote(server.url), UsageError)
    server.on_models = refuse(403)
    assert "sk-1" not in why(lambda: open_remote(server.url, token="sk-1"))
    sentence = why(lambda: open_remote(f"{server.url}?key=sk-1"), UsageError)
    assert sentence == f"{server.url}: a server's address has no ?..., and a key goes into VIP_API_KEY"


def test_a_redirect_is_not_followed_and_the_other_host_gets_nothing(server):
    with running(Scripted()) as other:
        server.on_models = lambda call: call.reply(302, "", location=f"{other.root}/login?next=secret")
        sentence = why(lambda: open_remote(server.url, token="sk-1"))
        assert f"redirects to {other.root}/login, which isn't followed: give that address if you trust it" in sentence
        assert other.asked == []


# Asking


def test_a_marked_picture_is_asked_about_as_with_any_engine(server, engine):
    marked = mark(PICTURE, [Box(4, 4, 40, 28, name="dog")])
    request = to_request(marked, "What is @dog?", engine, max_new_tokens=9, temperature=0.5, top_p=0.9, seed=3)
    answer = engine.stream(request).finished()
    assert (answer.text, answer.finish) == ("aredfox", "stop")
    assert (answer.prompt_tokens, answer.answer_tokens) == (7, 3), "as the server counts"

    (body,) = server.bodies
    url = body["messages"][0]["content"][0].pop("image_url")["url"]
    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) as seen:
        assert np.array_equal(np.array(seen), marked.picture), "to the pixel"
    assert body == {
        "model": "eyes-7b",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url"},
                    {"type": "text", "text": "What is the dog within the blue rectangle?"},
                ],
            }
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
    }


def test_the_prompt_is_the_messages_as_text(engine):
    request = to_request(mark(PICTURE), "Où?", engine, system="Be brief.")
    assert json.loads(request.prompt) == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Où?"}]},
    ]
    assert "Où?" in request.prompt


def test_what_isnt_set_isnt_sent(server, engine):
    engine.stream(asking()).finished()
    engine.stream(asking(stop=("###", "END"))).finished()
    assert not {"seed", "stop"} & set(server.bodies[0])
    assert server.bodies[1]["stop"] == ["###", "END"]


@pytest.mark.parametrize(
    "prompt", ["###Human: <image>\nWhat?###Assistant:", "[]", "{}", '"text"', "[1]", '[{"content": "?"}]', "[" * 10**5]
)
def test_a_prompt_in_another_style_is_wrong_usage(server, engine, prompt):
    for action in (engine.stream, engine.room):
        assert "with one, leave --prompt-style at auto or chat-template" in why(
            lambda action=action: action(Request(None, prompt)), PromptError
        )
    assert server.bodies == []


def test_a_picture_needs_its_place_and_a_place_its_picture(engine):
    place = json.dumps([{"role": "user", "content": [{"type": "image"}]}])
    assert "a place for 1 pictures, and there are 0" in why(lambda: engine.stream(Request(None, place)), PromptError)
    request = Request(PICTURE, asking().prompt)
    assert "a place for 0 pictures, and there are 1" in why(lambda: engine.stream(request), PromptError)


def test_more_stop_texts_than_the_api_takes(engine):
    request = asking(stop=tuple("abcde"))
    assert why(lambda: engine.stream(request), UsageError) == "a server takes 4 stop texts at most, got 5"


def test_nothing_is_sent_before_the_first_token_is_taken(server, engine):
    engine.stream(asking()).close()
    assert server.bodies == []


def test_text_streams_as_it_comes(server, engine):
    more = threading.Event()

    def answer(call: Call) -> None:
        call.stream(delta(" one"))
        assert more.wait(5)
        call.send(delta(" two"), end(), usage(5, 2), "[DONE]")

    server.on_ask = answer
    generation = engine.stream(asking())
    assert next(generation) == Token(None, "one", (0, 1))
    more.set()
    assert list(generation) == [Token(None, " two", (0, 2)), Token(None, "", (5, 2))]
    assert generation.answer.text == "one two"


def test_a_conversation_counts_the_servers_tokens(engine):
    session = ChatSession(engine)
    session.show(PICTURE, "noise")
    answer = session.ask("What is this?").finished()
    assert (answer.prompt_tokens, answer.answer_tokens) == (7, 3)


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("max_tokens", "length"), ("eos_token", "stop")]
)
def test_why_an_answer_ended(server, engine, reason, finish):
    server.on_ask = lambda call: call.say("a", finish=reason)
    assert engine.stream(asking()).finished().finish == finish


def test_an_empty_reason_ends_no_answer():
    data = {"choices": [{"delta": {"content": "a"}, "finish_reason": ""}]}
    assert piece(Event("message", json.dumps(data)), "it").finish is None


def test_an_answer_may_be_empty(server, engine):
    server.on_ask = lambda call: call.stream(end(), "[DONE]")
    assert engine.stream(asking()).finished().text == ""


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_wont_count_is_asked_without(server, engine, status):
    def answer(call: Call) -> None:
        if "stream_options" in call.body:
            call.json({"detail": "Extra inputs are not permitted"}, status)
        else:
            call.stream(delta("a"), delta(" fox"), end(), "[DONE]")

    server.on_ask = answer
    answers = [engine.stream(asking()).finished() for _ in range(2)]
    assert [one.text for one in answers] == ["a fox", "a fox"]
    assert [one.answer_tokens for one in answers] == [2, 2], "its pieces count as tokens"
    assert ["stream_options" in body for body in server.bodies] == [True, False, False], "it isn't asked for again"


def test_a_server_that_doesnt_stream_answers_in_one_piece(server, engine):
    choice = {"message": {"role": "assistant", "content": "a fox"}, "finish_reason": "length"}
    server.on_ask = lambda call: call.json({"choices": [choice], "usage": usage(4, 2)["usage"]})
    answer = engine.stream(asking()).finished()
    assert (answer.text, answer.finish, answer.prompt_tokens, answer.answer_tokens) == ("a fox", "length", 4, 2)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([delta("fox"), end(), "[DONE]"], id="no usage"),
        pytest.param([delta("fox"), end()], id="no DONE"),
        pytest.param([delta("fox"), "[DONE]"], id="no reason"),
        pytest.param([{"choices": [{"delta": {"content": "fox"}, "finish_reason": "stop"}]}], id="all in one"),
        pytest.param(
            [{"choices": [{"delta": {"role": "assistant", "content": None}}]}, delta("fox"), end()], id="null"
        ),
        pytest.param([{"choices": [{"delta": {"reasoning_content": "hm"}}]}, delta("fox"), end()], id="reasoning"),
        pytest.param([{}, "", {"choices": []}, [], {"choices": [1]}, delta("fox"), end()], id="empty events"),
        pytest.param([delta("fox"), end(), {"usage": {"prompt_tokens": "?"}}, "[DONE]"], id="usage without numbers"),
        pytest.param([delta("fox"), end(), "no JSON"], id="rubbish behind the end"),
    ],
)
def test_what_servers_leave_out_or_add_does_no_harm(server, engine, sent):
    server.on_ask = lambda call: call.stream(*sent)
    assert engine.stream(asking()).finished().text == "fox"


def test_a_connection_that_breaks_behind_the_end_does_no_harm(server, engine):
    def answer(call: Call) -> None:
        call.start(content_length=9999)
        call.send(delta("fox"), end())
        call.hang_up()

    server.on_ask = answer
    assert engine.stream(asking()).finished().text == "fox"


def then(*events: object) -> Callable[[Call], None]:
    return lambda call: call.stream(delta("a fox"), *events)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (then(), "ended before the answer was complete"),
        (cut_short, "broke off the connection"),
        (then({"error": {"message": "CUDA\x07 OOM", "code": 500}}), "couldn't answer: CUDA\\x07 OOM"),
        (then({"error": "worker died"}), "couldn't answer: worker died"),
        (then({"object": "error", "message": "no"}), "couldn't answer: no"),
        (then('{"error": "un"escaped"}'), 'sends what is no JSON: \'{"error": "un"escaped"}\''),
        (then(end("content_filter")), "ended the answer before it was complete (content_filter)"),
        (then("x" * 2**21), "sends more than 1024 kB in one event"),
    ],
)
def test_an_answer_that_breaks_off_keeps_what_came_and_isnt_asked_for_again(server, engine, pauses, answer, sentence):
    server.on_ask = answer
    generation = engine.stream(asking())
    assert sentence in why(generation.finished)
    assert (generation.answer.text, generation.answer.finish) == ("a fox", "interrupted")
    assert (len(server.bodies), len(pauses)) == (1, 0)


def test_the_error_of_an_older_llama_cpp_is_understood(server, engine):
    def answer(call: Call) -> None:
        call.start()
        call.wfile.write(b'error: {"code":400,"message":"exceeds the context size"}\n\ndata: [DONE]\n\n')

    server.on_ask = answer
    assert "couldn't answer: exceeds the context size" in why(engine.stream(asking()).finished)


def test_an_answer_without_end_is_cut_off(server, engine):
    def answer(call: Call) -> None:
        call.start()
        while True:
            call.send(delta("x" * 500_000))

    server.on_ask = answer
    assert "gives an answer of more than 16 MB" in why(engine.stream(asking()).finished)


def test_whatever_a_server_sends_ends_in_an_answer_or_in_one_sentence(server, engine):
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    for event in (delta("a"), delta(" fox"), end(), usage(7, 3)):
        whole += f"data: {json.dumps(event)}\n\n".encode()
    rubbish = [b"", b"\0", b"\n", b"[", b'"', b"{}", b"null", b"\xff", b"1e999"]
    chance = random.Random(0)

    def mutated(call: Call) -> None:
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data))
            data[at : at + chance.choice([0, 1, 1, 20])] = chance.choice(rubbish)
        call.wfile.write(data)
        call.close_connection = True

    server.on_ask = mutated
    sentences = []
    for _ in range(400):
        try:
            engine.stream(asking()).finished()
        except ModelError as error:
            sentences.append(str(error))
    assert 50 < len(sentences) < 350, "some do no harm"
    assert all(sentence.isprintable() for sentence in sentences)


def test_closing_a_generation_disconnects(server, engine):
    gone = threading.Event()

    def answer(call: Call) -> None:
        call.stream(delta("a fox"))
        if call.left():
            gone.set()

    server.on_ask = answer
    generation = engine.stream(asking())
    next(generation)
    generation.close()
    assert gone.wait(2), "so the server can stop"
    assert generation.answer.text == "a fox"


# Asking again


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(server, engine, pauses, status):
    server.on_ask = in_turn(refuse(status), lambda call: call.hang_up(), server.on_ask)
    assert engine.stream(asking()).finished().text == "aredfox"
    assert len(pauses) == 2
    assert 0 <= pauses[0] <= 1
    assert 0 <= pauses[1] <= 2


def test_after_five_tries_it_has_failed(server, engine, pauses):
    server.on_ask = refuse(500, "oh no")
    assert why(engine.stream(asking()).finished).endswith("(it says: oh no) (tried 5 times)")
    assert (len(server.bodies), len(pauses)) == (5, 4)


def test_an_answer_that_broke_off_before_its_first_token_is_asked_for_again(server, engine):
    server.on_ask = in_turn(lambda call: call.stream(delta("")), server.on_ask)
    assert engine.stream(asking()).finished().text == "aredfox"


def test_a_silent_server_isnt_asked_again(server, pauses):
    engine = open_remote(server.url, timeout=0.2, pause=pauses)
    server.on_ask = silence
    assert "was silent for 0.2 seconds" in why(engine.stream(asking()).finished)
    assert (len(server.bodies), len(pauses)) == (1, 0), "it may still be working on it"


def test_what_wont_pass_is_said_in_the_servers_words(server, engine, pauses):
    engine.stream(asking()).finished()  # from here on it is known to count
    long = "This model's maximum context length is 4096 tokens, and you asked for 5000"
    for status, sentence in [(400, f"answers 400 Bad Request (it says: {long})"), (413, "use a smaller picture")]:
        server.on_ask = refuse(status, long)
        assert sentence in why(engine.stream(asking()).finished)
    assert (len(server.bodies), len(pauses)) == (3, 0)


def test_the_server_is_left_alone_as_long_as_it_asks(server, engine, pauses):
    server.on_ask = in_turn(refuse(429, retry_after=17), server.on_ask)
    engine.stream(asking()).finished()
    assert pauses == [17]


# What isn't needed isn't loaded


def test_asking_a_server_loads_no_torch_and_importing_the_engine_no_httpx(server):
    script = (
        "import sys\n"
        "from vipcli.engine.remote import open_remote\n"
        "assert not {'httpx', 'numpy', 'cv2'} & set(sys.modules)\n"
        "from vipcli import Box, ask\n"
        "print(ask('examples/pond.png', 'What is @1?', [Box(58, 49, 259, 237)], model=sys.argv[1]).text)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, server.url], capture_output=True, text=True, check=True)
    assert done.stdout == "aredfox\n"
