"""Drawing on the page of `vip serve`, with a real browser on the real server and the embedded model behind it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from server.page_driver import MEADOW, MUSHROOM, all_kinds, sent_picture

from vipcli.images import open_picture
from vipcli.markers import Mask, assign, draw, parse, render

SQUARE = (255, 0, 90)  # a colour that is nowhere else in the window


def corners(markers):
    return [tuple(map(round, marker.bounds)) for marker in markers]


def test_a_thing_is_boxed_with_the_mouse_and_the_right_answer_is_read(meadow):
    assert meadow.text("#model") == "tiny"
    meadow.draw("box", *MUSHROOM)
    assert meadow.ask("What is this?") == "a mushroom"
    assert meadow.ask("What is @1?") == "a mushroom"
    first, second = meadow.sent()
    assert first["stream"] is True
    assert first["model"] == "tiny"
    kind, data, markers = sent_picture(first["messages"][0])
    assert (kind, data) == ("image/png", MEADOW.read_bytes()), "sent as it is"
    (box,) = [parse(text, (640, 480)) for text in markers]
    assert np.abs(np.subtract(box.bounds, (440, 118, 598, 283))).max() <= 1
    # The follow-up keeps the picture, where it was, and what was said.
    assert second["messages"][0] == first["messages"][0]
    assert second["messages"][1:] == [
        {"role": "assistant", "content": "a mushroom"},
        {"role": "user", "content": [{"type": "text", "text": "What is @1?"}]},
    ]


def square_picture(path: Path, size: tuple[int, int], box: tuple[int, int, int, int], turned: bool = False) -> Path:
    """A grey picture with one square on it, `box` in the upright picture; `turned`: stored as a phone does, EXIF 6."""
    image = Image.new("RGB", size, (90, 120, 110))
    image.paste(SQUARE, box)
    if not turned:
        image.save(path, quality=95)
        return path
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize(
    ("size", "box", "turned", "dense"),
    [
        ((4000, 3000), (2500, 1800, 3000, 2400), False, 1),
        ((600, 900), (320, 60, 500, 300), True, 1),
        ((640, 480), (400, 250, 520, 400), False, 2),
    ],
    ids=["larger than the window", "rotated by EXIF", "two pixels to one of CSS"],
)
def test_what_is_drawn_around_is_what_is_sent(page, tmp_path, size, box, turned, dense):
    page.view(dense=dense)
    page.open(square_picture(tmp_path / "square.jpg", size, box, turned))
    assert page.size == size, "upright"
    left, top, width, height = (round(edge * dense) for edge in page.frame())
    shown = np.abs(page.screenshot().astype(int) - SQUARE).max(axis=2) < 40
    shown[:top], shown[:, :left], shown[top + height :], shown[:, left + width :] = False, False, False, False
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    ends = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / dense
    x1, y1, x2, y2 = map(round, ends)
    page.tool("box")
    page.drag_window((x1, y1), (x1 + 20, y1 + 5), (x2, y2))
    page.ask("What is this?")
    _, data, (marker,) = sent_picture(page.sent()[0]["messages"][0])
    picture = open_picture(io.BytesIO(data))
    assert picture.shape[1::-1] == size
    pixel = size[0] / page.frame()[2]  # of the window, in pixels of the picture
    drawn = np.array(parse(marker, size).bounds)
    assert np.abs(drawn - box).max() <= 1.5 * pixel + 1
    middle = picture[round(drawn[[1, 3]].mean()), round(drawn[[0, 2]].mean())]
    assert np.abs(middle.astype(int) - SQUARE).max() < 12, "and there it lies, for the server"


def test_every_tool_makes_its_marker_in_the_colour_that_vip_would_choose(meadow):
    all_kinds(meadow)
    markers = meadow.markers()
    kinds = "box ellipse arrow point triangle contour mask scribble".split()
    assert [marker.kind for marker in markers] == kinds
    near = dict(zip(kinds, corners(markers), strict=True))
    for kind, wanted, off in [
        ("box", (440, 118, 598, 283), 1),
        ("ellipse", (60, 50, 260, 210), 1),
        ("arrow", (250, 60, 330, 130), 1),
        ("point", (140, 350, 140, 350), 1),
        ("triangle", (300, 300, 380, 380), 1),
        ("contour", (60, 285, 230, 455), 2),
        ("mask", (425, 385, 575, 445), 5),
        ("scribble", (300, 220, 420, 270), 1),
    ]:
        assert np.abs(np.subtract(near[kind], wanted)).max() <= off, kind
    assert markers[2].anchor[0] < 260, "the tip is where the mouse let go"
    assert len(markers[7].points) == 5
    plain = [parse(f"{render(marker).split('@')[0]}", (640, 480)) for marker in markers]
    chosen = [marker.color.name for marker in assign(open_picture(MEADOW), plain)]
    assert [marker.color.name for marker in markers] == chosen
    assert meadow.texts(".choose .name") == [f"@{number}" for number in range(1, 9)]


def test_markers_look_as_vip_draws_them(meadow):
    texts = [
        "box:440,118,598,283@blue",
        "ellipse:60,50,260,210@red,width=5",
        "arrow:330,60,250,130@purple",
        "point:140,350@lime",
        "triangle:340,300,380,380,300,380@fuchsia",
        "contour:60,290,150,285,230,365,215,455,70,455@aqua",
        "mask:440,400,560,380,600,460,470,440@orange",
        "scribble:300,240,330,220,350,260,380,230,420,270@gold",
    ]
    markers = [parse(text, (640, 480)) for text in texts]
    plain = [
        {"kind": m.kind, "points": [list(p) for p in m.points], "color": m.color.name, "width": m.width}
        for m in markers
    ]
    data = meadow.js(
        """import("/static/drawing.js").then(({paint}) => {
          const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
          [canvas.width, canvas.height] = [640, 480];
          context.drawImage(document.querySelector("#frame img"), 0, 0);
          for (const one of MARKERS) paint(context, one, [640, 480]);
          return canvas.toDataURL().split(",")[1]; })""".replace("MARKERS", json.dumps(plain))
    )
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)
    off = np.abs(shown - draw(open_picture(MEADOW), markers)).max(axis=2)

    assert off.mean() < 0.3
    assert np.mean(off > 40) < 0.001, "but for the smoothing of edges"


def test_markers_are_moved_resized_deleted_and_brought_back(meadow):
    meadow.draw("box", (100, 100), (150, 120), (200, 180))
    meadow.draw("arrow", (300, 300), (320, 320), (400, 300))
    meadow.tool("select")
    meadow.drag((150, 140), (170, 160), (190, 170))  # by its inside
    assert corners(meadow.markers())[0] == pytest.approx((140, 130, 240, 210), abs=1)
    meadow.drag((240, 210), (260, 230), (300, 250))  # by a corner
    assert corners(meadow.markers())[0] == pytest.approx((140, 130, 300, 250), abs=1)
    meadow.drag((140, 190), (350, 200), (350, 210))  # an edge over the other: it turns inside out
    assert corners(meadow.markers())[0] == pytest.approx((300, 130, 350, 250), abs=1)
    meadow.drag((340, 301), (340, 301))  # the arrow is selected,
    meadow.drag((400, 300), (420, 350), (450, 400))  # and its tip dragged
    assert meadow.markers()[1].anchor == pytest.approx((450, 400), abs=1)
    meadow.drag((320, 180), (640, 60), (655, 5))  # no further than the edge, and no smaller
    assert corners(meadow.markers())[0] == pytest.approx((590, 0, 640, 120), abs=1)
    meadow.keys("DELETE")
    assert [one.kind for one in meadow.markers()] == ["arrow"]
    meadow.keys("z", control=True)
    assert len(meadow.markers()) == 2
    for _ in range(7):
        meadow.click("#undo")
    assert meadow.markers() == []
    assert meadow.js("document.querySelector('#undo').disabled")
    for _ in range(7):
        meadow.keys("Z", control=True, shift=True)
    assert corners(meadow.markers())[0] == pytest.approx((590, 0, 640, 120), abs=1)
    meadow.click(".choose", 1)
    meadow.click("#markers .quiet", 1)
    assert [one.kind for one in meadow.markers()] == ["box"]
    meadow.draw("ellipse", (50, 400), (51, 400))
    meadow.draw("point", (630, 470))
    meadow.draw("box", (600, 400), (700, 600))
    assert corners(meadow.markers())[2][2:] == (640, 480), "drawn over the edge, it ends there"


def test_colour_width_and_name_are_said_of_the_selected_marker_and_of_the_next(meadow):
    from selenium.webdriver import Keys

    meadow.click("[name=color][value=orange]")
    meadow.draw("box", *MUSHROOM)
    meadow.draw("box", (60, 290), (100, 300), (230, 455))
    meadow.click("[name=color][value=lime]")
    meadow.js("((e) => { e.value = 6; e.oninput() })(document.querySelector('#width'))")
    name = meadow.find("#name")
    name.send_keys("my house")
    assert "Use letters, digits" in meadow.text("#wrong")
    name.clear()
    name.send_keys("house")
    one, two = meadow.markers()
    assert (one.color.name, one.width, one.name) == ("orange", None, None)
    assert (two.color.name, two.width, two.name) == ("lime", 6, "house")
    assert meadow.texts(".choose .name") == ["@1", "@house"]
    meadow.click("#usual")
    meadow.click("[name=color][value='']")
    assert meadow.markers()[1].width is None
    assert meadow.markers()[1].color.name != "orange"
    numbers = meadow.find("#numbers")
    numbers.clear()
    numbers.send_keys("10%,10,50%\n")
    assert meadow.text("#wrong") == "Box: 4 numbers, with commas."
    numbers.clear()
    numbers.send_keys("10%,10,50%,100\n")
    assert corners(meadow.markers())[1] == (64, 10, 320, 100)
    numbers.clear()
    numbers.send_keys("1,2,3,4" + Keys.ESCAPE)
    assert corners(meadow.markers())[1] == (64, 10, 320, 100), "Escape drops what was typed"
    before = corners(meadow.markers())
    meadow.click("#undo")
    assert corners(meadow.markers()) != before, "and Enter was one change"


def test_a_mask_is_painted_in_several_strokes_and_erased(meadow):
    def area():
        (mask,) = meadow.markers()
        assert isinstance(mask, Mask)
        x, y = np.array(mask.points).T
        return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2

    meadow.draw("mask", (100, 200), (200, 200), (300, 200))
    one = area()
    assert one == pytest.approx(200 * 30.5 + np.pi * 15.2**2, rel=0.05)
    meadow.drag((200, 200), (200, 300))  # a T
    assert area() == pytest.approx(one + 100 * 30.5, rel=0.06)
    meadow.click("#erase")
    meadow.drag((130, 260), (130, 140))
    meadow.js("0")
    (mask,) = meadow.markers()
    assert corners([mask])[0] == pytest.approx((145, 185, 315, 315), abs=3), "the larger part stays"
    meadow.click("#erase")
    meadow.drag((500, 400), (520, 400))
    assert len(meadow.markers()) == 2, "elsewhere another begins"


def test_everything_goes_by_keyboard(meadow):
    from selenium.webdriver import Keys

    meadow.js("document.querySelector('#canvas').focus()")
    meadow.keys("e", "ENTER")
    assert corners(meadow.markers()) == [(213, 160, 427, 320)]
    meadow.keys("ARROW_RIGHT", "ARROW_DOWN", "ARROW_DOWN")
    meadow.keys("ARROW_LEFT", shift=True)
    meadow.keys("ARROW_RIGHT", "ARROW_UP", alt=True)
    assert corners(meadow.markers()) == [(204, 162, 419, 321)]
    meadow.keys("F2")
    meadow.keys("b", "e", "e", "ENTER")
    assert meadow.markers()[0].name == "bee"
    focus = "document.activeElement.textContent"
    assert "@bee" in meadow.js(focus), "back in the list"
    meadow.keys("ARROW_LEFT")
    assert corners(meadow.markers()) == [(203, 162, 418, 321)]
    meadow.js("document.querySelector('#canvas').focus()")
    meadow.keys("p", " ")
    assert [one.kind for one in meadow.markers()] == ["ellipse", "point"]
    meadow.keys("ESCAPE")
    for _ in range(12):
        if "@bee" in meadow.js(focus):
            break
        meadow.keys("TAB")
    meadow.keys("DELETE")
    assert [one.kind for one in meadow.markers()] == ["point"]
    assert "@1" in meadow.js(focus), "on the one that is left"
    meadow.keys("z", control=True)
    stops = []
    for _ in range(20):
        meadow.keys("TAB")
        stops.append(meadow.js("document.activeElement.id || document.activeElement.className"))
        outlined = meadow.js(
            "(({outlineStyle: o}, f) => o !== 'none' || f)(getComputedStyle(document.activeElement),"
            " Boolean(document.activeElement.closest('.field')))"
        )
        assert outlined, f"{stops[-1]} shows its focus"
        if stops[-1] == "question":
            break
    assert stops[-1] == "question"
    meadow.browser.switch_to.active_element.send_keys("What is @bee?", Keys.ENTER)
    meadow.until("document.querySelector('#log').getAttribute('aria-busy') === 'false'")
    assert meadow.texts(".answer")[0]


def test_on_a_phone_nothing_sticks_out_and_a_finger_hits(meadow):
    meadow.draw("box", *MUSHROOM)
    meadow.ask("What is this?")
    for width in (390, 320):
        meadow.view(width, 780, dense=2, phone=True)
        meadow.until(f"innerWidth === {width} && document.querySelector('#canvas').clientWidth <= {width}")
        assert meadow.js("document.documentElement.scrollWidth") <= width
    meadow.view(390, 780, dense=2, phone=True)
    small = meadow.js(
        """[...document.querySelectorAll("button, #tools label, #markers li, input[type=text], textarea")]
        .filter(e => e.offsetParent && !e.matches(".hidden"))
        .map(e => [e.id || e.className || e.textContent, e.getBoundingClientRect()])
        .filter(([, {width, height}]) => width < 44 || height < 44)
        .map(([name, {width, height}]) => [name, width, height])"""
    )
    assert small == []
    meadow.js("scrollTo(0, 0)")
    meadow.tool("ellipse")
    meadow.drag((60, 50), (150, 120), (260, 210), pointer="touch")
    assert corners(meadow.markers())[1] == pytest.approx((60, 50, 260, 210), abs=2)


def test_every_control_has_a_name_for_those_who_cannot_see_it(meadow):
    meadow.draw("box", *MUSHROOM)
    nameless = meadow.js(
        """[...document.querySelectorAll("button, input, textarea, canvas[tabindex], [role]")].filter(e =>
        !(e.ariaLabel || e.getAttribute("aria-labelledby") || e.labels?.[0]?.textContent.trim() || e.textContent.trim()
          || ["list", "status", "alert"].includes(e.role) || e.id === "file")).map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert meadow.js("document.querySelector('#canvas').ariaLabel") == "meadow.png. Markers: 1, blue box."
    assert meadow.text("#said") == "Box drawn, blue"
