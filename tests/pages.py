"""What tests of pages of rows share: texts that mean harm, a small picture, and a page as its reader has it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "end of script": "</script><img src=x onerror='window.hacked = 1'>",
    "comment": "<!-- <script> -->",
    "cdata": "]]><svg onload=window.hacked=1>",
    "attribute": '" onmouseover="window.hacked=1" x=\'',
    "entity": "&lt;b&gt; &amp; &#x41;",
    "template": "{{rows}} {{script}} ${window.hacked = 1} \\u003cb\\u003e \\1 \\g<0>",
    "line separators": "one\u2028two\u2029three",
    "bidi": "safe\u202egpj.exe\u202c \u2066isolated\u2069",
    "nul": "a\0b\x1b[31m\x7f",
    "lone surrogates": "\ud800 \udcff \udfff",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 é e\u0301 日本語 עברית",
    "long": "a long answer " * 715,
    "unbroken": "x" * 10_000,
    "empty": "",
    "prototype": "__proto__",
    "lines": "first\n  second\r\n\tthird",
}


def jpeg(shade: int = 0) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (32, 24), (shade % 256, 120, 60)).save(data, "JPEG")
    return data.getvalue()


class Report:
    """A page that is open in the browser: what a reader sees of it and does with it."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.browser, self.path = browser, path
        self.open()

    def open(self, hash: str = "") -> None:
        self.browser.get("about:blank")
        self.browser.get(self.path.as_uri() + hash)

    def js(self, code: str, *arguments: Any) -> Any:
        """The value of an expression, once the page has drawn what was asked for before."""
        value, error = self.browser.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "const drawn = (then) => requestAnimationFrame(() => setTimeout(then));"
            f"drawn(() => {{ try {{ done([({code}), null]) }} catch (error) {{ done([null, String(error)]) }} }})",
            *arguments,
        )
        assert error is None, f"{code}: {error}"
        return value

    def shown(self, selector: str = ".name b") -> list[str]:
        """The texts in the rows that are in the document, in the order of the page."""
        return self.js("[...document.querySelectorAll('.row ' + arguments[0])].map(e => e.textContent)", selector)

    def count(self) -> str:
        return self.js("document.querySelector('#count').textContent")

    def click(self, selector: str, nth: int = 0) -> None:
        self.js("document.querySelectorAll(arguments[0])[arguments[1]].click()", selector, nth)

    def type(self, text: str) -> None:
        box = self.browser.find_element("css selector", "#words")
        box.clear()
        box.send_keys(text)

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains, Keys

        for key in keys:
            ActionChains(self.browser).send_keys(getattr(Keys, key, key)).perform()
            self.js("0")

    def focus(self) -> str:
        return self.js("document.activeElement.ariaLabel ?? document.activeElement.textContent")

    def until(self, code: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, 10).until(lambda _: self.js(code))
