"""A server around the embedded model, and an engine that a test holds back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from server.page_driver import MEADOW, Page
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


@pytest.fixture(scope="session")
def server():
    """`vip serve` with tiny, as a process of its own: its address."""
    pytest.importorskip("fastapi", reason="needs the server: pip install '.[serve]'")
    vip = [sys.executable, "-m", "vipcli", "serve", "--model", "tiny", "--port", "0"]
    with subprocess.Popen(vip, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = process.stderr.readline()
            assert " answers at http://127.0.0.1:" in said, said
            yield said.split(" answers at ")[1].split()[0]
        finally:
            process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def page(browser, server):
    """The page, freshly opened. Whatever a test does, nothing may be refused by the policy, nothing may come from
    elsewhere, and no text may have become code."""
    browser.get_log("performance")
    page = Page(browser, server)
    yield page
    assert page.js("window.hacked === undefined")
    assert [entry for entry in browser.get_log("browser") if "status of 4" not in entry["message"]] == []
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith((server, "data:", f"blob:{server}"))} == set()
    page.close()


@pytest.fixture
def meadow(page):
    """The page with the meadow on it."""
    page.open(MEADOW)
    return page
