"""`vipcli.evaluation.report`: the page in a real browser."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from evaluation.hand import CAPABILITIES, failed, line, task
from pages import HOSTILE, Report, jpeg
from PIL import Image

from vipcli.errors import VipError, plain
from vipcli.evaluation.lines import Line
from vipcli.evaluation.plots import summary
from vipcli.evaluation.report import write_report
from vipcli.evaluation.results import results_of
from vipcli.evaluation.styles import all_styles

BENCHMARK = task(published={"7b": 48.4, "13b": 48.3}, source="arXiv 2312.00784", chance=0.25)


def questions() -> list[Line]:
    """Thirty questions, of every outcome."""
    made = []
    for n in range(30):
        groups = {"capability": (CAPABILITIES[n % 6], CAPABILITIES[(n + 1) % 6]), "size": (("small", "large")[n % 2],)}
        if n % 10 == 9:
            made.append(failed(n, groups=groups))
        else:
            outcome = {4: "refused", 6: "unparsable"}.get(n % 10)
            score = 0.0 if outcome else (1.0, 0.6, 0.0)[n % 3]
            made.append(
                line(n, score, groups=groups, markers=("box:1,2,3,4@red",), **({"outcome": outcome} if outcome else {}))
            )
    return made


def variants() -> list[Line]:
    return [
        *questions(),
        *(line(n, float(n < 8), "removed") for n in range(30)),
        *(
            line(n, float((n + number) % 5 > 1), style.name)
            for (number, style), n in product(enumerate(all_styles()), range(5))
        ),
    ]


@pytest.fixture
def report(browser, tmp_path):
    """Write the page of some lines and open it."""

    def written(lines: Iterable[Line], /, title: str = "An evaluation", **about: str) -> Report:
        lines = list(lines)
        entries = ((one, None if one.answer is None else jpeg(n)) for n, one in enumerate(lines))
        write_report(tmp_path / "eval.html", entries, results_of(lines, BENCHMARK), title=title, about=about)
        return Report(browser, tmp_path / "eval.html")

    return written


def choose(page: Report, key: str, value: str) -> None:
    page.js(
        "Object.assign(document.getElementsByName(arguments[0])[0], { value: arguments[1] }).onchange()", key, value
    )


def test_it_shows_the_figures_and_a_row_for_each_question(report):
    page = report(questions(), title="vip-bench · tiny", Model="tiny", Command="vip eval vip-bench")
    assert page.browser.title == "vip-bench · tiny"
    assert page.js("[...document.querySelectorAll('.about div')].map(e => e.innerText)") == [
        "Model\ntiny",
        "Command\nvip eval vip-bench",
    ]
    rows = page.js(
        "[...document.querySelectorAll('.scores tbody tr:not(.heading)')].map(e => e.innerText.split(/\\s+/))"
    )
    overall = results_of(questions(), BENCHMARK).overall
    assert rows[0][:5] == ["All", "27", "of", "30", "scored"]
    assert rows[0][5] == f"{overall.score:.1f}"
    assert [row[0] for row in rows] == ["All", *CAPABILITIES, "small", "large"]
    assert page.js("document.querySelector('.partial').textContent").startswith("3 of 30 questions have no score")
    assert "published: 7b 48.4, 13b 48.3 (arXiv 2312.00784)" in page.js("document.querySelector('.legend').textContent")
    # The plots are as wide as the figures say.
    bar, tick = (
        page.js(f"document.querySelector('.whole {part}').getBoundingClientRect().toJSON()")
        for part in (".value", ".tick")
    )
    rail = page.js("document.querySelector('.whole .rail').getBoundingClientRect().toJSON()")
    assert 100 * bar["width"] / rail["width"] == pytest.approx(overall.score, abs=0.5)
    assert 100 * (tick["x"] - rail["x"]) / rail["width"] == pytest.approx(48.4, abs=1)

    assert page.count() == "30 of 30 shown"
    assert page.shown(".outcome")[:6] == ["right", "partly", "wrong", "right", "refused", "wrong"]
    assert page.shown(".truth")[0] == "Reference a cat"
    assert page.shown(".figures")[1] == "partly0.60"
    page.click(".more")
    text = page.js("document.querySelector('.details').innerText")
    for part in ("a cat", "1 (right)", "box:1,2,3,4@red", "Rec, OCR", "small"):
        assert part in text
    page.until("document.querySelector('.row img')?.naturalWidth === 32")


def test_a_high_picture_is_shown_whole(browser, tmp_path):
    data = io.BytesIO()
    Image.new("RGB", (24, 320)).save(data, "JPEG")
    write_report(
        tmp_path / "eval.html", [(line(1), data.getvalue())], results_of([line(1)], task()), title="", about={}
    )
    page = Report(browser, tmp_path / "eval.html")
    page.until("document.querySelector('.row img')?.naturalHeight === 320")
    assert page.js("(e => e.clientHeight <= e.parentElement.clientHeight)(document.querySelector('.row img'))")


def test_rows_are_filtered_by_outcome_by_words_and_by_every_heading(report):
    page = report(questions())
    kinds = page.js("[...document.querySelectorAll('.kinds button')].filter(b => !b.hidden).map(b => b.textContent)")
    assert kinds == ["All 30", "Right 7", "Partly 7", "Wrong 7", "Refused 3", "Unparsable 3", "Failed 3"]
    for kind in kinds[1:]:
        name, count = kind.lower().split()
        page.click(f"[data-show={name}]")
        assert page.count() == f"{count} of 30 shown"
        assert set(page.shown(".outcome")) == {name}
    page.click("[data-show=all]")
    assert page.js("[...document.querySelectorAll('.choices select')].map(b => b.name)") == ["by capability", "by size"]
    choose(page, "by capability", "OCR")
    assert page.count() == "10 of 30 shown"
    choose(page, "by size", "small")
    assert page.shown() == [f"q-{n}" for n in range(0, 30, 6)]
    page.click("[data-show=right]")
    page.type("q-1")
    assert page.shown() == ["q-12", "q-18"]
    page.until("location.hash === '#words=q-1&show=right&by+capability=OCR&by+size=small'")
    page.open("#by+capability=OCR&by+size=nonsense")
    assert page.count() == "10 of 30 shown"
    page.type("zebra")
    page.click("#clear")
    assert page.count() == "30 of 30 shown"
    assert page.js("document.getElementsByName('by capability')[0].value") == ""
    page.js("(document.querySelector('#sort').value = 'score', document.querySelector('#sort').onchange())")
    assert page.shown(".outcome")[0] in ("wrong", "refused", "unparsable")


def test_variants_are_a_choice_and_the_styles_a_heat_map(report):
    page = report(variants())
    assert page.count() == "30 of 490 shown", "at first as the task asks"
    choose(page, "variant", "marker removed")
    assert page.shown(".variant")[:2] == ["marker removed"] * 2
    page.until("location.hash === '#variant=marker+removed'")
    choose(page, "variant", "")
    assert page.count() == "490 of 490 shown"
    assert page.js("document.querySelectorAll('.heat').length") == 2
    heads = page.js(
        "[...document.querySelectorAll('.heat')].map(t => [...t.querySelectorAll('th')].map(e => e.textContent))"
    )
    assert heads[0][:3] == ["red", "lime", "blue"]
    assert heads[0][9:] == "box ellipse point arrow triangle contour mask scribble".split()
    assert heads[1][:3] == ["× 0.5", "× 1", "× 2"]
    shown = page.js("document.querySelectorAll('.heat tbody tr')[1].children[3].textContent")
    styles = results_of(variants(), BENCHMARK).styles
    assert shown == f"{styles.by_color()['ellipse']['blue'].row.score:.1f}"
    best = page.js("[...document.querySelectorAll('.heat .best')].map(e => e.title.split(':')[0])")
    assert set(best) == {styles.best.name}, "it may stand in both"
    assert page.js("document.querySelectorAll('.plain tbody tr').length") == 86
    assert "without the marker" in page.js("document.querySelector('.said').textContent")


def test_a_long_heading_is_folded_away(report):
    page = report(line(n, groups={"mix": (f"mix {n}",)}) for n in range(40))
    assert page.js("document.querySelector('.summary summary').textContent") == "mix (40)"
    assert page.js("document.querySelectorAll('.summary details tbody tr').length") == 40


def test_every_shade_of_the_heat_map_can_be_read_in_light_and_dark(report):
    page = report(variants())
    contrast = """(() => {
      const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
      const light = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(linear);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const cell = document.querySelector('.heat td[class^=h]');
      return Array.from({ length: 11 }, (_, step) => {
        cell.className = `h${step}`;
        const { color, backgroundColor } = getComputedStyle(cell);
        const [low, high] = [light(color), light(backgroundColor)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
      });
    })()"""
    try:
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            found = page.js(contrast)
            assert min(found) >= 4.5, (scheme, found)
    finally:
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_fits_a_phone(report):
    page = report(variants(), Command="vip eval " + "a/very/long/folder/" * 10)
    cdp = page.browser.execute_cdp_cmd
    try:
        cdp("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True})
        page.open()
        page.click(".more")
        assert page.js("document.documentElement.scrollWidth") == 390
        assert page.js("document.querySelector('.bar').offsetHeight") < 844 / 4
        lone = "[...document.querySelectorAll('.heat tbody th')].every(e => e.offsetHeight < 40)"
        assert page.js(lone), "no name is broken"
    finally:
        cdp("Emulation.clearDeviceMetricsOverride", {})


def test_ten_thousand_questions_are_there_but_only_those_in_view_are_in_the_document(report):
    page = report(line(n, float(n % 3 == 0), groups={"capability": (CAPABILITIES[n % 6],)}) for n in range(10_000))
    assert page.count() == "10,000 of 10,000 shown"
    nodes = "document.getElementsByTagName('*').length"
    assert page.js(nodes) < 900
    choose(page, "by capability", "Lang")
    page.click("[data-show=wrong]")
    assert page.count() == "1,666 of 10,000 shown"
    page.js("scrollTo(0, document.documentElement.scrollHeight)")
    page.until("document.querySelector('.row:last-child b').textContent === 'q-9995'")
    page.until("document.querySelector('.row:last-child img')?.naturalWidth === 32")
    page.type("q-77")
    assert page.shown()[0] == "q-77"
    assert page.js(nodes) < 900


def test_hostile_text_is_text_wherever_it_stands(report):
    lines = [
        Line(
            id=f"{name} {text}",
            picture=text,
            question=text,
            truth=text,
            answer=None if n % 3 == 2 else text,
            error=text if n % 3 == 2 else None,
            score=None if n % 3 == 2 else 1.0,
            outcome="failed" if n % 3 == 2 else "right",
            variant=text if n % 3 == 1 else "",
            groups={text: (text, name), "capability": (text,)},
            markers=(text,),
            read=text,
        )
        for n, (name, text) in enumerate(HOSTILE.items())
    ]
    page = report(lines, title=HOSTILE["end of script"], **HOSTILE)
    assert page.browser.title == HOSTILE["end of script"]
    for name, text in HOSTILE.items():
        page.js("location.hash = arguments[0]", f"variant=&words={name}")
        page.until(f"document.querySelector('#words').value === '{name}'")
        where = next(k for k, id in enumerate(page.shown()) if id.startswith(name))
        page.click(".more", where)
        if text:
            assert page.js("document.querySelector('.details .truth').textContent") == plain(text, keep_newlines=True)
    named = page.js("[...document.querySelectorAll('.scores tbody th bdi')].map(e => e.textContent)")
    assert plain(HOSTILE["script"], keep_newlines=True) in named
    assert page.js("typeof window.hacked") == "undefined"
    assert page.js("document.querySelectorAll('script:not([type])').length") == 1
    assert page.js("document.querySelectorAll('iframe, img[src=x], svg[onload]').length") == 0
    assert page.js("document.documentElement.scrollWidth") <= page.js("innerWidth")


def test_nothing_is_fetched_and_the_policy_is_kept(report):
    page = report(variants())
    page.browser.get_log("performance")  # what the browser's own start page asked for
    page.browser.get_log("browser")
    page.open()
    page.until("document.querySelector('.row img')?.naturalWidth === 32")
    events = [json.loads(one["message"])["message"] for one in page.browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert page.path.as_uri() in asked
    assert all(url.startswith(("file:", "data:", "about:")) for url in asked)
    assert not page.browser.get_log("browser"), "nothing of its own is refused"


def test_nothing_asked_and_nothing_answered_are_pages_too(report):
    assert report([]).count() == "0 of 0 shown"
    page = report([failed(1)])
    assert page.shown(".error") == ["Failed the server is gone"]
    assert page.js("document.querySelector('.whole .score').textContent") == "–"


def test_a_picture_within_the_data_is_no_name(report):
    page = report([line(1, picture="data:image/png;base64," + "A" * 1000)])
    assert page.shown(".name") == ["q-1"]


def test_an_error_among_the_entries_leaves_the_old_page(tmp_path):
    target = tmp_path / "eval.html"
    target.write_text("old")

    def entries():
        yield line(1), None
        raise VipError("scored.jsonl, line 2: is no line of vip eval")

    with pytest.raises(VipError, match="line 2"):
        write_report(target, entries(), results_of([], BENCHMARK), title="An evaluation", about={})
    assert target.read_text() == "old"
    assert [Path(path).name for path in tmp_path.iterdir()] == ["eval.html"]


def test_bars_and_heat_maps_reach_as_far_as_figures_that_have_no_bound() -> None:
    """CIDEr of captions: the axis ends at the next fifty, and everything lies on it."""
    found = results_of(variants(), BENCHMARK)
    assert found.styles is not None
    rows = tuple(replace(row, row=replace(row.row, score=105.0 + n % 27)) for n, row in enumerate(found.styles.rows))
    whole = replace(found.overall, score=120.0, interval=(110.0, 131.0))
    page = summary(replace(found, rows=(whole,), styles=replace(found.styles, rows=rows)))
    assert "<i>0</i><i>75</i><i>150</i>" in page
    assert 'x="0.00%" y="4" width="80.00%"' in page
    assert max(float(share) for share in re.findall(r'x2?="([\d.]+)%"', page)) < 100
    assert {int(step) for step in re.findall(r'class="h(\d+)', page)} <= set(range(11))
