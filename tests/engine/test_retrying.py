"""`vipcli.engine.retrying`: when to ask a server again. That it happens is tested in `test_remote`."""

from __future__ import annotations

import email.utils
import threading
import time

import pytest

from vipcli.engine.retrying import ServerError, retried, retry_after

NOW = "Wed, 25 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "3600"}, 60),
        ({"retry-after": "-1"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Wed, 25 Nov 2026 10:00:09 GMT", "date": NOW}, 9),
        ({"retry-after": "Wed, 25 Nov 2026 09:00:00 GMT", "date": NOW}, 0),
        ({"retry-after": "Wed, 25 Nov 2026 10:00:09", "date": "never"}, None),
    ],
)
def test_how_long_a_server_asks_to_wait(headers, seconds):
    assert retry_after(headers) == seconds


def test_a_date_without_the_servers_clock_counts_from_ours():
    assert retry_after({"retry-after": email.utils.formatdate(time.time() + 30, usegmt=True)}) == pytest.approx(
        30, abs=2
    )


def test_nobody_waits_for_what_nobody_wants():
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()

    def fail() -> None:
        raise ServerError("no", status=503, after=60.0)

    began = time.monotonic()
    with pytest.raises(ServerError, match="no"):
        retried(fail, stopped, threading.Event.wait)
    assert time.monotonic() - began < 1
