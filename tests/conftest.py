"""What tests share, made once a session: checkpoints to load (see `engine/checkpoints.py`), a browser.

And what holds of every run: it leaves no process behind, and it ends.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import open_browser, why_no_browser
from engine.checkpoints import random_model, write_published, write_saved
from leftovers import end_leftovers, mark

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ  # one of the processes that run tests; see pyproject.toml
_SECONDS = 600  # that the setup, the call or the teardown of a test may take
_LAST_SECONDS = 60  # that Python may take to end once all is said
_LONGEST = ("test_bench.py", "test_chat_terminal.py", "test_fleet.py", "test_loop.py", "test_readme.py")
_STDERR = pytest.StashKey[int]()
_LEFTOVERS = pytest.StashKey[list[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STDERR] = os.dup(2)  # which is another file while a test runs
    # What is held equal here is so on a CPU, in float32. With the first GPU: VIP_TEST_GPU=0 pytest ...
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("VIP_TEST_GPU", "")
    if IS_WORKER:  # `popen-gw0` makes paths so long that sentences leave out their middle
        own = Path(config.option.basetemp)
        config.option.basetemp = own.with_name(own.name.removeprefix("popen-gw"))
    else:
        mark()
        if getattr(config.option, "numprocesses", None):  # each with a thread for every core would wait for the others
            os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process has one of them left when the other has nothing more to do."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with _limited(item):
        return (yield)


@contextmanager
def _limited(item: pytest.Item) -> Iterator[None]:
    """End this process with a traceback where it takes too long; another one runs the other tests.

    pytest's own `faulthandler_timeout` holds no longer for the teardown of a test that has failed.
    """
    faulthandler.dump_traceback_later(_SECONDS, file=item.config.stash[_STDERR], exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that has outlived the tests is a fault."""
    if IS_WORKER:
        return
    session.config.stash[_LEFTOVERS] = left = end_leftovers()
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for one in terminalreporter.config.stash.get(_LEFTOVERS, []):
        terminalreporter.write_line(f"ERROR: this outlived the tests and was killed: {one}", red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """A thread or a process that Python waits for must not keep it from ending."""
    faulthandler.dump_traceback_later(_LAST_SECONDS, file=config.stash[_STDERR], exit=True)


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
