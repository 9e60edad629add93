"""`vipcli.engine.sse`: server-sent events, wherever their stream is cut."""

from __future__ import annotations

import itertools

import pytest

from vipcli.engine.retrying import ServerError
from vipcli.engine.sse import Event, events

STREAM = 'data: {"a":\ndata: "ü"}\n\n: ping\n\nevent: error\ndata:no blank\n\nid: 1\nretry: 5\ndata\n\ndata: last'
EVENTS = [Event("message", '{"a":\n"ü"}'), Event("error", "no blank"), Event("message", ""), Event("message", "last")]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_events_are_the_same_wherever_the_stream_is_cut(line_end):
    whole = b"\xef\xbb\xbf" + STREAM.replace("\n", line_end).encode()
    assert list(events([whole], 99, "it")) == EVENTS
    assert list(events([whole[at : at + 1] for at in range(len(whole))], 99, "it")) == EVENTS
    for first, second in itertools.combinations(range(len(whole)), 2):
        assert list(events([whole[:first], whole[first:second], b"", whole[second:]], 99, "it")) == EVENTS


@pytest.mark.parametrize("chunk", [b"x" * 10, b"data: 1\n"])
def test_an_event_without_end_is_refused(chunk):
    with pytest.raises(ServerError, match="it sends more than 1 kB in one event"):
        list(events(itertools.repeat(chunk), 1024, "it"))
