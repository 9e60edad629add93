"""A server, and an engine that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from engine.scripted_server import Pauses, Scripted, running

from vipcli.engine import RemoteEngine, open_remote


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    for name in ("VIP_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running(Scripted()) as it:
        yield it


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def engine(server: Scripted, pauses: Pauses) -> Iterator[RemoteEngine]:
    with closing(open_remote(server.url, timeout=5.0, pause=pauses)) as it:
        yield it
