"""The page in a real browser, as a user has it: pictures chosen, markers drawn by mouse and finger, answers read."""

from __future__ import annotations

import base64
import io
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vipcli.markers import Marker, parse

EXAMPLES = Path(__file__).parents[2] / "examples"
MEADOW = EXAMPLES / "meadow.png"
MUSHROOM = (440, 118), (520, 200), (598, 283)
XY = tuple[float, float]


class Page:
    """The page at `url`. A user's clock is 10 s: what isn't there by then fails the test."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser, self.url = browser, url
        self.size = (0, 0)
        self.view()
        browser.get_log("browser")
        browser.get(url)
        # What is sent is noted. `answers`: what the server is made to say instead, event by event.
        self.js(
            """(() => { const really = window.fetch; window.sent = []; window.answers = null;
            window.fetch = (address, options) => {
              window.sent.push([address, options?.body ?? null]);
              if (!window.answers || address !== "/v1/chat/completions") return really(address, options);
              const parts = window.answers, lines = new ReadableStream({
                start(to) {
                  for (const part of parts) to.enqueue(new TextEncoder().encode("data: " + part + "\\n\\n"));
                  if (parts.at(-1) === "[DONE]") to.close();
                  options.signal.addEventListener("abort", () => to.error(new DOMException("gone", "AbortError")));
                } });
              return Promise.resolve(new Response(lines));
            } })()"""
        )

    def view(self, width: int = 1200, height: int = 860, *, dense: float = 1, phone: bool = False, dark: bool = False):
        """The window, in pixels of CSS."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": dense, "mobile": phone}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": phone})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def close(self) -> None:
        """Leave the browser as it was."""
        self.browser.get("about:blank")
        self.view()
        self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "default"})

    def js(self, code: str, *arguments: Any) -> Any:
        """The value of an expression, once the page has drawn what was asked for before."""
        value, error = self.browser.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "const drawn = (then) => requestAnimationFrame(() => setTimeout(then));"
            f"drawn(async () => {{ try {{ done([await ({code}), null]) }}"
            " catch (error) { done([null, `${error}`]) } })",
            *arguments,
        )
        assert error is None, f"{code}: {error}"
        return value

    def until(self, code: str) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, 10, 0.05).until(lambda _: self.js(code))

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def click(self, selector: str, nth: int = 0) -> None:
        self.js("void document.querySelectorAll(arguments[0])[arguments[1]].click()", selector, nth)

    def text(self, selector: str) -> str:
        return self.js("document.querySelector(arguments[0]).textContent", selector)

    def texts(self, selector: str) -> list[str]:
        return self.js("[...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector)

    def open(self, picture: Path) -> None:
        """Choose a picture."""
        self.find("#file").send_keys(str(picture))
        self.shows(picture.name)

    def shows(self, name: str) -> None:
        self.until(f"document.querySelector('#canvas').getAttribute('aria-label')?.startsWith({json.dumps(name)})")
        self.size = tuple(
            self.js("(({naturalWidth: w, naturalHeight: h}) => [w, h])(document.querySelector('#frame img'))")
        )

    # Drawing

    def frame(self) -> tuple[float, float, float, float]:
        """Where the picture lies in the window."""
        box = self.js("document.querySelector('#canvas').getBoundingClientRect().toJSON()")
        return box["left"], box["top"], box["width"], box["height"]

    def spots(self, *points: XY) -> list[tuple[int, int]]:
        """Pixels of the picture as whole pixels of the window."""
        left, top, width, height = self.frame()
        return [(round(left + x * width / self.size[0]), round(top + y * height / self.size[1])) for x, y in points]

    def tool(self, name: str) -> None:
        self.click(f"[name=tool][value={name}]")

    def drag(self, *points: XY, pointer: str = "mouse") -> None:
        """Drag over the picture, by its pixels; one point is a click."""
        self.drag_window(*self.spots(*points), pointer=pointer)

    def drag_window(self, *points: tuple[int, int], pointer: str = "mouse") -> None:
        from selenium.webdriver.common.actions.action_builder import ActionBuilder
        from selenium.webdriver.common.actions.pointer_input import PointerInput

        actions = ActionBuilder(self.browser, mouse=PointerInput(pointer, pointer), duration=0)
        actions.pointer_action.move_to_location(*points[0]).pointer_down()
        for point in points[1:]:
            actions.pointer_action.move_to_location(*point)
        actions.pointer_action.pointer_up()
        actions.perform()

    def draw(self, tool: str, *points: XY) -> None:
        self.tool(tool)
        self.drag(*points)

    def keys(self, *keys: str, shift: bool = False, alt: bool = False, control: bool = False) -> None:
        """Press keys, by their names in selenium or as letters."""
        from selenium.webdriver import ActionChains, Keys

        held = [key for key, is_held in ((Keys.SHIFT, shift), (Keys.ALT, alt), (Keys.CONTROL, control)) if is_held]
        chain = ActionChains(self.browser, duration=0)
        for key in held:
            chain.key_down(key)
        for key in keys:
            chain.send_keys(getattr(Keys, key, key))
        for key in held:
            chain.key_up(key)
        chain.perform()
        self.js("0")

    # What is there

    def command(self) -> list[str]:
        """The words of the command that is shown, as a shell reads them."""
        return shlex.split(self.text("#command"))

    def markers(self) -> list[Marker]:
        """The markers of the command, as vip reads them."""
        words = self.command()
        flags = [
            (word[2:], words[i + 1]) for i, word in enumerate(words) if word.startswith("--") and i + 1 < len(words)
        ]
        return [parse(text, self.size, kind=kind) for kind, text in flags if kind not in ("model", "question")]

    def ask(self, question: str) -> str:
        """Ask, and wait for the answer."""
        self.find("#question").send_keys(f"{question}\n")
        self.until("document.querySelector('#log').getAttribute('aria-busy') === 'false'")
        return self.texts(".turn")[-1].removeprefix(question)

    def sent(self, address: str = "/v1/chat/completions") -> list[dict[str, Any]]:
        """The bodies that went to an address."""
        return [json.loads(body) for to, body in self.js("window.sent") if to == address]

    def answers(self, *pieces: str, end: Sequence[dict[str, Any]] | None = ()) -> None:
        """What the server is made to answer from here on; end None: it never ends."""
        events = [json.dumps({"choices": [{"delta": {"content": piece}}]}) for piece in pieces]
        if end is not None:
            events += [*map(json.dumps, end), "[DONE]"]
        self.js("void (window.answers = arguments[0])", events)

    def screenshot(self) -> np.ndarray:
        """The window as it is shown, (height, width, 3)."""
        self.js("0")
        return np.asarray(Image.open(io.BytesIO(self.browser.get_screenshot_as_png())).convert("RGB"))


def sent_picture(message: dict[str, Any]) -> tuple[str, bytes, list[str]]:
    """The type, the bytes and the markers of the picture in a message."""
    (part,) = [part for part in message["content"] if part["type"] == "image_url"]
    head, data = part["image_url"]["url"].split(",", 1)
    return head.removeprefix("data:").removesuffix(";base64"), base64.b64decode(data), part["markers"]


def all_kinds(page: Page) -> None:
    """Draw one of each kind on the meadow."""
    page.draw("box", (440, 118), (500, 160), (598, 283))
    page.draw("ellipse", (60, 50), (100, 90), (260, 210))
    page.draw("arrow", (330, 60), (300, 100), (250, 130))
    page.draw("point", (140, 350))
    page.draw("triangle", (300, 300), (350, 350), (380, 380))
    page.draw("contour", (60, 290), (150, 285), (230, 365), (215, 455), (70, 455), (60, 300))
    page.draw("mask", (440, 400), (500, 430), (560, 400))
    page.draw("scribble", (300, 240), (330, 220), (350, 260), (380, 230), (420, 270))
