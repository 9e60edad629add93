"""What is talked about, and the embedded model to talk with."""

from __future__ import annotations

import pytest
from chat.scripted import EXAMPLES

from vipcli.chat import ChatSession
from vipcli.engine import open_engine
from vipcli.images import open_picture


@pytest.fixture(scope="session")
def tiny():
    """The embedded model, loaded once."""
    return open_engine("tiny")


@pytest.fixture
def meadow():
    """A mushroom, a house and cheese, on 640 x 480."""
    return open_picture(EXAMPLES / "meadow.png")


@pytest.fixture
def about_meadow(meadow):
    """``about_meadow(engine, marker, ...)`` -> ChatSession that looks at the meadow."""

    def session(engine, *markers):
        session = ChatSession(engine, prompt_style="chat-template")
        session.show(meadow, "meadow.png", markers)
        return session

    return session
