"""A real browser for tests of pages: Debian's Chromium without a window, driven by selenium."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1200,900"
)


def why_no_browser() -> str | None:
    """A sentence that says what is missing and how to get it; None where all is here."""
    if importlib.util.find_spec("selenium") is None:
        return "needs selenium: pip install selenium"
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        return "needs Chromium: apt-get install chromium chromium-driver"
    return None


@contextlib.contextmanager
def open_browser(profile: Path) -> Iterator[Chrome]:
    """Chromium with its settings in `profile`, a new folder, and its requests in ``get_log("performance")``."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
