"""`vipcli.batch.report`: the page in a real browser, and the file whole or not at all."""

from __future__ import annotations

import json
import re
import resource
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import HOSTILE, Report, jpeg

from vipcli.batch.report import Entry, write_report
from vipcli.errors import VipError, plain


def entry(number: int, **row: Any) -> Entry:
    usual = {
        "id": f"row-{number}",
        "image": f"photos/{number}.jpg",
        "markers": [f"box:it=1,2,3{number},40@red"],
        "question": "What is @it?",
        "prompt": "###Human: <image>\nWhat is it?###Assistant:",
        "answer": f"answer {number}",
        "finish": "stop",
        "model": "tiny",
        "prompt_tokens": 600,
        "answer_tokens": 4,
        "seconds": 0.25,
    }
    return Entry({**usual, **row}, jpeg(number))


@pytest.fixture
def report(browser, tmp_path):
    """Write a report of some entries and open it."""

    def written(entries: Iterable[Entry], title: str = "A report", **about: str) -> Report:
        write_report(tmp_path / "report.html", entries, title=title, about=about)
        return Report(browser, tmp_path / "report.html")

    return written


def mixed() -> Iterator[Entry]:
    """Thirty rows: every fifth failed, every seventh with a warning."""
    for n in range(30):
        if n % 5 == 4:
            yield Entry({"id": f"row-{n}", "image": f"photos/{n}.jpg", "error": f"photos/{n}.jpg: no such file"})
        else:
            warnings = ["the box is clipped"] if n % 7 == 0 else []
            answer = ["a cat", "an owl", "Übung"][n % 3]
            yield entry(n, answer=answer, warnings=warnings, seconds=n / 10, fields={"split": "val", "n": [n, None]})


def test_it_shows_the_job_and_a_row_for_each_answer(report):
    page = report(mixed(), title="Cats & owls", Model="tiny", Question="What is @it?")
    assert page.browser.title == "Cats & owls"
    assert page.js("document.querySelector('h1').textContent") == "Cats & owls"
    about = page.js("[...document.querySelectorAll('.about div')].map(e => e.innerText)")
    assert about == ["Model\ntiny", "Question\nWhat is @it?"]
    assert page.count() == "30 of 30 shown"
    assert page.shown()[:5] == ["row-0", "row-1", "row-2", "row-3", "row-4"]
    assert page.shown(".answer")[:3] == ["a cat", "an owl", "Übung"]
    assert page.shown(".error")[0] == "Failed photos/4.jpg: no such file"
    assert page.shown(".doubt")[0] == "Warning: the box is clipped"
    assert page.shown(".figures")[1] == "0.1 s600 + 4 tokens"
    page.until("document.querySelector('.row img')?.naturalWidth === 32")
    assert page.shown(".picture")[4] == "no picture"


def test_a_row_opens_on_all_there_is_to_say(report):
    page = report(mixed())
    below = page.js("document.querySelectorAll('.row')[1].getBoundingClientRect().top")
    page.click(".more")
    page.until(
        "document.querySelectorAll('.row')[1].getBoundingClientRect().top > arguments[0] + 100".replace(
            "arguments[0]", str(below)
        )
    )
    text = page.js("document.querySelector('.details').innerText")
    for part in (
        "box:it=1,2,30,40@red",
        "the box is clipped",
        "###Human: <image>",
        "tiny",
        "600 in the prompt",
        "[0, null]",
        "val",
    ):
        assert part in text
    page.click(".more")
    assert page.shown(".details") == []
    assert page.js("document.querySelectorAll('.row')[1].getBoundingClientRect().top") == below


def test_typing_narrows_to_rows_that_have_every_word_anywhere(report):
    page = report(mixed())
    for typed, count in [
        ("OWL", 8),
        ("owl row-1 val", 4),
        ("no such", 6),
        ("photos/29", 1),
        ("u\u0308bung", 8),
        ("zebra", 0),
    ]:
        page.type(typed)
        assert page.count() == f"{count} of 30 shown", typed
    assert page.js("document.querySelector('#nothing').innerText").startswith("Nothing matches.")
    page.click("#clear")
    assert page.count() == "30 of 30 shown"
    page.type("cat")
    assert set(page.shown("mark")) == {"cat"}


def test_the_buttons_show_a_kind_and_count_it(report):
    page = report(mixed())
    assert (
        page.js("document.querySelector('.kinds').innerText").split()
        == "All 30 Answered 24 Failed 6 Warnings 4".split()
    )
    page.click("[data-show=failed]")
    assert page.count() == "6 of 30 shown"
    assert page.shown() == [f"row-{n}" for n in range(4, 30, 5)]
    assert len(page.shown(".error")) == 6
    page.click("[data-show=warned]")
    assert page.shown() == ["row-0", "row-7", "row-21", "row-28"]
    page.type("photos/2")
    assert (
        page.js("document.querySelector('.kinds').innerText").split() == "All 11 Answered 9 Failed 2 Warnings 2".split()
    )


def test_it_sorts_by_id_answer_and_seconds_with_what_is_missing_last(report):
    rows = [("b10", "pear", 3.0), ("b9", "Apple", 20.0), ("a1", None, None), ("c", "zoo", 0.5)]
    page = report(entry(n, id=id, answer=answer, seconds=s) for n, (id, answer, s) in enumerate(rows))
    orders = {"id": "a1 b9 b10 c", "answer": "b9 b10 c a1", "seconds": "b9 b10 c a1", "source": "b10 b9 a1 c"}
    for name, order in orders.items():
        page.js(
            "(document.querySelector('#sort').value = arguments[0], document.querySelector('#sort').onchange())", name
        )
        assert page.shown() == order.split(), name


def test_what_is_shown_stands_in_the_address_and_comes_back_with_it(report):
    page = report(mixed())
    page.type("photos such")
    page.click("[data-show=failed]")
    page.until("location.hash === '#words=photos+such&show=failed'")
    page.open("#words=owl&sort=seconds&show=nonsense")
    assert page.js("document.querySelector('#words').value") == "owl"
    assert page.shown()[:2] == ["row-28", "row-25"]
    page.js("location.hash = ''")
    page.until("document.querySelector('#count').textContent === '30 of 30 shown'")


def test_ten_thousand_rows_are_there_but_only_those_in_view_are_in_the_document(report):
    page = report(entry(n) for n in range(10_000))
    assert page.count() == "10,000 of 10,000 shown"
    nodes = "document.getElementsByTagName('*').length"
    assert page.js(nodes) < 600
    page.js("scrollTo(0, document.documentElement.scrollHeight)")
    page.until("document.querySelector('.row:last-child b').textContent === 'row-9999'")
    page.until("document.querySelector('.row:last-child img')?.naturalWidth === 32")
    box = page.js("document.querySelector('.row:last-child').getBoundingClientRect().toJSON()")
    assert 0 < box["top"] < box["bottom"] <= page.js("innerHeight")
    assert page.js(nodes) < 600
    page.js("scrollTo(0, document.documentElement.scrollHeight / 2)")
    assert "row-5000" in page.shown()
    page.type("answer 777")
    assert page.count() == "19 of 10,000 shown"
    assert page.shown()[0] == "row-777"
    assert page.js(nodes) < 600


def test_rows_and_pictures_stay_together_across_blocks(report):
    page = report(Entry({"id": n}, None if n % 3 else jpeg(n % 256)) for n in range(200))
    for number in (63, 66, 126, 129, 192, 198):
        page.type(f"{number}")
        page.until("document.querySelector('.row img')?.complete")
        color = page.js(
            "(() => { const c = document.createElement('canvas').getContext('2d');"
            "c.drawImage(document.querySelector('.row img'), 0, 0); return [...c.getImageData(9, 9, 1, 1).data]; })()"
        )
        assert abs(color[0] - number) <= 3, number


def test_hostile_text_is_text_wherever_it_stands(report):
    entries = [
        Entry(
            {
                "id": f"{name} {text}",
                **dict.fromkeys(("image", "question", "prompt", "answer", "finish", "model"), text),
                **{key: [text] for key in ("markers", "warnings")},
                "error": text if n % 2 else None,
                "fields": {text: text, "nested": {"text": [text]}},
            },
            text.encode("utf-8", "replace"),  # not a JPEG at all
        )
        for n, (name, text) in enumerate(HOSTILE.items())
    ]
    page = report(entries, title=HOSTILE["end of script"], **HOSTILE)
    assert page.browser.title == HOSTILE["end of script"]
    about = page.js("[...document.querySelectorAll('.about dd')].map(e => e.textContent)")
    as_parsed = {name: plain(text, keep_newlines=True) for name, text in HOSTILE.items()}
    assert about == list(as_parsed.values())
    for n, (name, text) in enumerate(as_parsed.items()):
        page.open(f"#words={name}")
        where = next(k for k, id in enumerate(page.shown()) if id.startswith(name))
        page.click(".more", where)
        assert page.js("document.querySelector('.details dd').textContent") == text, name
        said = page.js(f"document.querySelector('.open .{'error' if n % 2 else 'answer'}').textContent")
        assert said == (f"Failed {text}" if n % 2 else text or "An empty answer"), name
    assert page.js("typeof window.hacked") == "undefined"
    assert page.js("document.querySelectorAll('script:not([type])').length") == 1
    assert page.js("document.querySelectorAll('svg, iframe, img[src=x]').length") == 0
    assert page.js("document.documentElement.scrollWidth") <= page.js("innerWidth")


def test_nothing_is_fetched_and_nothing_foreign_would_run(report):
    page = report(mixed())
    page.browser.get_log("performance")  # what the browser's own start page asked for
    page.open()
    page.until("document.querySelector('.row img')?.naturalWidth === 32")
    page.click(".picture")
    events = [json.loads(line["message"])["message"] for line in page.browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert page.path.as_uri() in asked
    outside = [url for url in asked if not url.startswith(("file:", "data:", "about:"))]
    assert not outside
    page.js(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked = 1'}),"
        "Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:9/x.png', className: 'foreign'}))"
    )
    page.until("document.querySelector('.foreign').complete")
    assert page.js("typeof window.hacked") == "undefined"
    assert page.js("fetch('http://127.0.0.1:9/').then(() => 'fetched', () => 'refused').then(s => window.s = s) && 1")
    page.until("window.s === 'refused'")
    said = " ".join(line["message"] for line in page.browser.get_log("browser"))
    assert said.count("Content Security Policy") >= 3


def test_everything_can_be_done_from_the_keyboard(report):
    page = report(mixed())
    page.press("/", "o", "w", "l")
    assert page.count() == "8 of 30 shown"
    page.press("ESCAPE", "TAB", "TAB", "TAB", "ENTER")
    assert page.count() == "6 of 30 shown"
    page.press(*["TAB"] * 3)
    assert page.focus() == "Details of row-4", "a row without a picture has nothing to enlarge"
    assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("ENTER")
    assert page.js("document.activeElement.ariaExpanded") == "true"
    page.press("ARROW_DOWN", "ARROW_DOWN", "ARROW_UP")
    assert page.focus() == "Details of row-9"
    page.press("/", "ESCAPE")
    page.click("[data-show=all]")
    page.js("document.querySelector('.picture').focus()")
    page.press("ENTER", "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_LEFT")
    assert page.js("document.querySelector('dialog').open") is True
    assert page.js("document.querySelector('dialog .name').textContent").startswith("row-1")
    page.press("ESCAPE")
    assert page.js("document.querySelector('dialog').open") is False
    assert page.focus() == "Enlarge the picture of row-1"
    page.press(*["ARROW_DOWN"] * 3)
    assert page.focus() == "Details of row-4", "it has no picture"


def test_the_focus_is_never_lost_and_always_in_view(report):
    page = report(entry(n) for n in range(100))
    page.js("document.querySelector('.more').focus()")
    seen = []
    for key in ["TAB"] * 12 + ["ARROW_DOWN"] * 12:
        page.press(key)
        seen.append(page.focus())
        box = page.js("document.activeElement.getBoundingClientRect().toJSON()")
        assert page.js("document.querySelector('.bar').getBoundingClientRect().bottom") <= box["top"] + 1, seen
        assert box["bottom"] <= page.js("innerHeight"), seen
    assert seen[-1] == "Details of row-18"
    page.js("scrollTo(0, document.documentElement.scrollHeight)")
    assert "row-99" in page.shown()
    assert page.focus() == "Details of row-18", "a row in focus stays when it is out of view"


def test_it_fits_a_phone_and_follows_the_dark(report):
    page = report(mixed(), Source="a/very/long/folder/" * 10)
    cdp = page.browser.execute_cdp_cmd
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    paper = "getComputedStyle(document.body).backgroundColor"
    try:
        light = page.js(paper)
        cdp("Emulation.setEmulatedMedia", {"features": dark})
        cdp("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True})
        page.open()
        assert page.js(paper) != light
        page.click(".more")
        assert page.js("document.documentElement.scrollWidth") == 390
        sides = page.js("[...document.querySelectorAll('.row button')].flatMap(b => [b.offsetWidth, b.offsetHeight])")
        assert min(sides) >= 44, "a finger needs as much"
    finally:
        cdp("Emulation.clearDeviceMetricsOverride", {})
        cdp("Emulation.setEmulatedMedia", {"features": []})


def test_printing_takes_the_rows_from_the_view_on(report):
    page = report(entry(n) for n in range(10_000))
    page.js("scrollTo(0, document.documentElement.scrollHeight / 2)")
    page.js("dispatchEvent(new Event('beforeprint'))")
    printed = page.shown()
    assert len(printed) == 200
    assert 4_980 < int(printed[0].removeprefix("row-")) <= 5_000
    page.js("dispatchEvent(new Event('afterprint'))")
    assert len(page.shown()) < 30


def test_without_javascript_it_says_so(browser, tmp_path):
    write_report(tmp_path / "report.html", mixed(), title="A report", about={"Model": "tiny"})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((tmp_path / "report.html").as_uri())
        text = browser.find_element("css selector", "body").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "The rows of this report are listed by its own JavaScript" in text
    assert "tiny" in text
    assert "Filter" not in text


# The file


def test_an_empty_batch_is_a_report_too(report):
    page = report([])
    assert page.count() == "0 of 0 shown"


def test_a_row_may_lack_everything_but_its_id_and_hold_any_number(tmp_path, report):
    odd = {
        "id": 7,
        "answer": "x",
        "seconds": float("nan"),
        "prompt_tokens": float("inf"),
        "fields": {"n": float("nan")},
    }
    page = report([Entry({"id": "bare"}), Entry(odd), Entry({**odd, "seconds": None, "markers": None, "fields": None})])
    assert page.shown() == ["bare", "7", "7"]
    assert page.shown(".answer") == ["No answer", "x", "x"]


def test_the_memory_it_takes_doesnt_grow_with_the_rows(tmp_path):
    many = (Entry(entry(n).row, bytes(10_000)) for n in range(3_000))
    tracemalloc.start()
    write_report(tmp_path / "report.html", many, title="A report", about={})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "report.html").stat().st_size > 40e6
    assert peak < 8e6


def why_unwritten(path: Path, entries: Iterable[Entry]) -> str:
    with pytest.raises(VipError) as caught:
        write_report(path, entries, title="A report", about={})
    return str(caught.value)


def test_where_it_cant_be_written_is_said_and_nothing_is_left_behind(tmp_path):
    (tmp_path / "old.html").write_text("old")
    assert "is a directory" in why_unwritten(tmp_path, mixed())
    assert "its folder doesn't exist" in why_unwritten(tmp_path / "none" / "r.html", mixed())
    assert "can't be written (Not a directory)" in why_unwritten(tmp_path / "old.html" / "r.html", mixed())
    assert "a device or a pipe" in why_unwritten(Path("/dev/null"), mixed())
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]


def test_a_full_disk_or_an_error_among_the_entries_leaves_the_old_file_whole(tmp_path):
    target = tmp_path / "r.html"
    target.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        assert "can't be written (File too large)" in why_unwritten(target, (entry(n) for n in range(500)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def failing() -> Iterator[Entry]:
        yield from mixed()
        raise VipError("answers.jsonl: line 31 isn't JSON")

    assert why_unwritten(target, failing()) == "answers.jsonl: line 31 isn't JSON"
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_the_file_names_no_place_outside_itself(tmp_path):
    write_report(tmp_path / "report.html", [], title="A report", about={})
    page = (tmp_path / "report.html").read_text("utf-8")
    assert not re.findall(
        r"https?:|//\w+\.|@import|url\(|\bsrc=|<link(?! rel=\"icon\" href=\"data:,\")", page.replace("src = ", "")
    )
    assert "default-src 'none'" in page
    assert "{{" not in page
