"""A server around the embedded model, and an engine that a test holds back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server.serving import HELPERS, Held, Served, serving

from vipcli import open_engine
from vipcli.engine import Engine


@pytest.fixture(scope="session", autouse=True)
def helpers() -> Iterator[None]:
    """The processes of all servers here end with the tests."""
    yield
    HELPERS.end()


@pytest.fixture(scope="session")
def tiny() -> Engine:
    """The embedded model, by itself: not for a server."""
    return open_engine("tiny")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server of the embedded model."""
    with serving(open_engine("tiny"), aliases=("vip-tiny",)) as it:
        yield it


@pytest.fixture
def held() -> Iterator[Held]:
    """An engine for `serving`; what it still holds back is let go in the end."""
    engine = Held()
    yield engine
    engine.release()
