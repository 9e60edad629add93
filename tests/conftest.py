"""What tests share, made once a session: checkpoints to load (see `engine/checkpoints.py`), a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import open_browser, why_no_browser
from engine.checkpoints import random_model, write_published, write_saved

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture(scope="session", autouse=True)
def _no_servers_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No ``vip ask`` of a test goes by way of a server that runs on this machine, and no test stops one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        patch.delenv("VIP_ENGINE", raising=False)
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ViP-LLaVA as published from 2023 to 2025."""
    return write_published(tmp_path_factory.mktemp("published") / "vip", random_model())


@pytest.fixture(scope="session")
def saved_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ViP-LLaVA as transformers 5 writes it."""
    return write_saved(tmp_path_factory.mktemp("saved") / "vip", random_model(seed=1))


@pytest.fixture(scope="session")
def mistral_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ViP-LLaVA on a Mistral."""
    return write_saved(tmp_path_factory.mktemp("mistral") / "vip", random_model(seed=2, text="Mistral"))


@pytest.fixture(scope="session")
def llava_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LLaVA-1.5, for the auto class."""
    return write_saved(tmp_path_factory.mktemp("llava") / "llava", random_model(seed=3, family="Llava"))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Headless Chromium, one for all tests (see `browser.py`): open a page of your own in it."""
    if missing := why_no_browser():
        pytest.skip(missing)
    with open_browser(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver
