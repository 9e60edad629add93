"""Asking on the page of `vip serve`: conversations, what goes wrong in them, and what can be taken away from there."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import time
import warnings

import numpy as np
from PIL import Image
from server.page_driver import EXAMPLES, MEADOW, MUSHROOM, Page, all_kinds, sent_picture
from server.serving import serving, wait_for

from vipcli import VipWarning, mark
from vipcli.images import open_picture
from vipcli.markers import named, parse, render
from vipcli.prompt import expand

GIVE = """(({data, name, type, drop}) => {
  const files = new DataTransfer(), options = {bubbles: true, cancelable: true};
  files.items.add(new File([new Uint8Array(data)], name, {type}));
  document.body.dispatchEvent(drop ? new DragEvent("drop", {dataTransfer: files, ...options})
    : new ClipboardEvent("paste", {clipboardData: files, ...options}));
})(GIVEN)"""
HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


def test_changed_markers_begin_a_new_picture_and_old_turns_stay_as_they_were_asked(meadow):
    meadow.answers("an <answer> @1", end=[{"choices": [{"delta": {}, "finish_reason": "stop"}]}])
    meadow.draw("box", *MUSHROOM)
    meadow.ask("What is @1? Mail a@b or @@x")
    old = meadow.markers()
    meadow.draw("point", (140, 350))
    meadow.ask("And @2?")
    meadow.ask("Sure?")
    last = meadow.sent()[-1]["messages"]
    texts = [m["content"] if m["role"] == "assistant" else m["content"][-1]["text"] for m in last]
    asked = expand("What is @1? Mail a@b or @@x", named(old))
    assert texts == [
        asked.replace("@", "@@"),
        "an <answer> @1",
        "The markers in the picture have changed.\nAnd @2?",
        "an <answer> @1",
        "Sure?",
    ]
    assert expand(texts[0], {}) == asked
    assert [len(m["content"]) for m in last if m["role"] == "user"] == [1, 2, 1]
    assert len(sent_picture(last[2])[2]) == 2
    assert meadow.texts(".changed") == ["The markers changed"]
    meadow.open(EXAMPLES / "pond.png")
    meadow.ask("What now?")
    assert meadow.sent()[-1]["messages"][-1]["content"][1]["text"] == "This is another picture.\nWhat now?"
    meadow.click("#forget")
    meadow.ask("And now?")
    assert len(meadow.sent()[-1]["messages"]) == 1


def test_the_real_server_takes_a_conversation_whose_markers_changed(meadow):
    meadow.draw("box", *MUSHROOM)
    assert meadow.ask("What is @1?") == "a mushroom"
    meadow.click("#markers .quiet")
    meadow.draw("box", (57, 287), (100, 300), (231, 461))
    assert meadow.ask("What is @1?") == "a house"
    # A name that is no marker's: said, and the question stays to be mended.
    assert "@nobody" in meadow.ask("What is @nobody?")
    assert meadow.js("document.querySelector('#question').value") == "What is @nobody?"
    assert len(meadow.texts(".error")) == 1
    meadow.find("#question").clear()
    assert meadow.ask("What is @1?") == "a house", "and the conversation goes on without it"


def test_an_answer_streams_and_can_be_stopped(meadow):
    meadow.answers("so ", "far", end=None)
    meadow.find("#question").send_keys("What is this?\n")
    meadow.until("document.querySelector('.answer')?.textContent === 'so far'")
    assert meadow.js("document.querySelector('#log').getAttribute('aria-busy')") == "true"
    assert meadow.js("document.querySelector('#send').hidden && !document.querySelector('#stop').hidden")
    meadow.click("#stop")
    meadow.until("document.querySelector('#log').getAttribute('aria-busy') === 'false'")
    assert meadow.texts(".turn > *") == ["What is this?", "so far", "Stopped"]
    meadow.answers("more", end=[{"error": {"message": "the model fell over"}}])
    assert meadow.ask("Go on") == "morethe model fell over"
    meadow.answers(
        "a", end=[{"choices": [{"delta": {}, "finish_reason": "length"}], "vip": {"warnings": ["thin box"]}}]
    )
    meadow.find("#question").clear()
    meadow.ask("Again")
    assert meadow.texts(".doubt") == ["thin box", "The answer was cut off at its longest."]


def test_an_answer_that_is_forgotten_in_the_middle_stays_forgotten(meadow):
    meadow.answers("a fox", end=[])
    meadow.ask("What is this?")
    meadow.answers("so ", "far", end=None)
    meadow.find("#question").clear()
    meadow.find("#question").send_keys("And this?\n")
    meadow.until("document.querySelectorAll('.answer')[1]?.textContent === 'so far'")
    meadow.click("#forget")
    meadow.until("document.querySelector('#stop').hidden")
    assert meadow.texts(".turn") == []
    assert meadow.js("document.querySelector('#question').value") == ""
    assert meadow.js("document.querySelector('#forget').disabled"), "nothing is left to forget"
    meadow.answers("a hen", end=[])
    assert meadow.ask("Anew?") == "a hen"
    assert meadow.texts(".turn > *") == ["Anew?", "a hen"]


def test_a_server_that_dies_in_the_middle_of_an_answer_is_said_and_the_question_is_kept(browser, held):
    with serving(held) as it:
        page = Page(browser, it.url)
        page.open(MEADOW)
        page.find("#question").send_keys("What is this?\n")
        wait_for(lambda: held.began)
        held.step()
        page.until("document.querySelector('.answer')?.textContent === 'word0'")
        for one in list(it.server.server_state.connections):
            one.loop.call_soon_threadsafe(one.transport.abort)
        page.until("document.querySelector('.error')")
        assert page.text(".error") == "The server broke off in the middle of its answer. Is vip still running?"
        assert page.text(".answer") == "word0"
        assert page.js("document.querySelector('#question').value") == "What is this?"
        assert page.js("document.querySelector('#status').className") == "asking well"
        held.release()
    page.find("#question").send_keys("\n")
    page.until("document.querySelectorAll('.error').length === 2")
    assert page.texts(".error")[1] == "The server doesn't answer. Is vip still running?"
    assert page.js("document.querySelector('#status').className") == "asking ill"
    page.close()


def test_hostile_names_questions_and_answers_stay_text(page, tmp_path):
    name = f"{HOSTILE.replace('/', '')}' \"$(touch x)`y`\u202egnp.png"
    (tmp_path / name).write_bytes(MEADOW.read_bytes())
    page.find("#file").send_keys(str(tmp_path / name))
    page.until("!document.querySelector('#frame').hidden")
    page.size = (640, 480)
    page.answers(HOSTILE, end=[{"choices": [], "vip": {"warnings": [HOSTILE], "markers": []}}])
    assert page.ask(HOSTILE) == HOSTILE * 2
    words = page.command()
    assert words == ["vip", "ask", name, HOSTILE, "--model", "tiny"]
    assert page.js("document.querySelectorAll('main img').length") == 1
    assert HOSTILE in page.texts(".asked")


def test_the_copied_command_reads_as_what_is_sent(page, tmp_path):
    name = 'it\'s a $HOME; "photo".png'
    (tmp_path / name).write_bytes(MEADOW.read_bytes())
    page.open(tmp_path / name)
    all_kinds(page)
    page.find("#name").send_keys("naïve_Ünder")
    page.js("void (navigator.clipboard.writeText = (text) => (window.copied = text, Promise.resolve()))")
    page.find("#question").send_keys("What's @1, and `what` is @naïve_Ünder?")
    page.click("#copy")
    page.until("document.querySelector('#copy').textContent.trim() === 'Copied'")
    copied = page.js("window.copied")
    shown = subprocess.run(["sh", "-c", f"printf '%s\\0' {copied}"], capture_output=True, check=True).stdout.decode()
    words = shown.split("\0")[:-1]
    assert words == shlex.split(copied)
    assert words[:3] == ["vip", "ask", name]
    assert words[-3:] == ["What's @1, and `what` is @naïve_Ünder?", "--model", "tiny"]
    page.answers("yes", end=[{"choices": []}])
    page.find("#question").send_keys("\n")
    page.until("document.querySelector('#log').getAttribute('aria-busy') === 'false'")
    _, _, texts = sent_picture(page.sent()[-1]["messages"][0])
    flags = list(zip(words[3:-3:2], words[4:-3:2], strict=True))
    assert [parse(text, page.size, kind=flag[2:]) for flag, text in flags] == [parse(t, page.size) for t in texts]
    assert len(texts) == 8


def test_what_the_model_sees_the_marked_picture_and_the_transcript_can_be_had(meadow, tmp_path):
    meadow.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    meadow.draw("box", *MUSHROOM)
    meadow.click("#see")
    meadow.until("document.querySelector('#seen').open")
    side = meadow.js("document.querySelector('#seen img').naturalWidth")
    assert meadow.text("#seen-size") == f"{side} × {side} pixels"
    meadow.keys("ESCAPE")
    assert not meadow.js("document.querySelector('#seen').open")
    meadow.ask("What is @1?")
    meadow.click("#save")
    meadow.click("#write")

    def saved(name):
        for _ in range(200):
            if (tmp_path / name).exists():
                return tmp_path / name
            time.sleep(0.05)
        raise AssertionError(f"{name} in {list(tmp_path.iterdir())}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VipWarning)
        assert np.array_equal(open_picture(saved("meadow-marked.png")), mark(MEADOW, meadow.markers()).picture)
    text = saved("meadow-chat.md").read_text()
    assert "Model: tiny" in text
    assert f"- `{render(meadow.markers()[0])}`" in text
    assert "**What is @1?**\n\na mushroom\n" in text


def test_pictures_come_by_paste_and_drop_and_go_as_they_are_or_as_they_are_shown(page, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = Image.new("RGB", (60, 40), (200, 30, 30))
    tall.paste((0, 0, 255), (0, 0, 30, 40))
    files: dict[str, tuple[bytes, str, tuple[int, int]]] = {}
    for name, options, kind, size in [
        ("plain.webp", {"lossless": True}, "image/webp", (60, 40)),
        ("turned.png", {"exif": exif}, "image/png", None),
        ("turned.jpg", {"exif": exif}, "image/jpeg", (40, 60)),
        ("plain.bmp", {}, "image/png", (60, 40)),
        ("moving.gif", {"save_all": True, "append_images": [Image.new("RGB", (60, 40))]}, "image/png", (60, 40)),
    ]:
        tall.save(tmp_path / name, **options)
        files[name] = ((tmp_path / name).read_bytes(), kind, size)
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="50" height="20"><rect width="50" height="20"/></svg>'
    files["drawn.svg"] = (svg, "image/png", (50, 20))
    types = {"svg": "image/svg+xml", "jpg": "image/jpeg"}
    page.answers("yes", end=[{"choices": []}])
    for number, (name, (data, kind, size)) in enumerate(files.items()):
        suffix = name.split(".")[1]
        given = {
            "data": list(data),
            "name": name,
            "type": types.get(suffix, f"image/{suffix}"),
            "drop": number % 2 == 0,
        }
        page.js(GIVE.replace("GIVEN", json.dumps(given)))
        page.shows(name)
        page.ask("What is this?")
        sent_kind, sent, _ = sent_picture(page.sent()[-1]["messages"][-1])
        assert sent_kind == kind, name
        assert open_picture(io.BytesIO(sent)).shape[1::-1] == page.size, f"{name}: the server's pixels are those shown"
        assert size is None or page.size == size, name
        assert (sent == data) == (name in ("plain.webp", "turned.jpg")), name
    (tmp_path / "text.png").write_text("no picture")
    page.find("#file").send_keys(str(tmp_path / "text.png"))
    page.until("!document.querySelector('#trouble').hidden")
    assert page.text("#trouble p") == "text.png is not a picture that this browser can show."
