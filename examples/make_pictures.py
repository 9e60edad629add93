"""Make every picture of the README and of this folder: `make docs`, or python examples/make_pictures.py.

The scenes are drawn from seeds. The answers in `readme.png` are the embedded model's own, given while it is made.
"""

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vipcli import VipWarning, ask, mark, open_engine
from vipcli.images import save_picture
from vipcli.scenes import compose

HERE = Path(__file__).parent
# The things that scenes had when these pictures were first drawn: a seed picks by number.
THINGS = """
airplane ball balloon banana bee bicycle book bread broccoli bus butterfly cactus cake camera car carrot cat
chair cheese cherries clock cow crown dog donut drum duck eggplant elephant fish frog grapes guitar hamburger
horse house key ladybug mushroom octopus owl panda pear penguin pig pineapple pizza rabbit rocket rose sailboat
scissors shoe snail spider strawberry sunflower tractor train tree truck turtle umbrella watermelon
""".split()
SCENES = {"meadow.png": 111, "pond.png": 107, "party.jpg": 112, "lost.png": 115}

# Two questions about one picture, as they are typed.
README_PICTURE = "party.jpg"
README_MARKERS = ["box:50,10,225,185", "arrow:food=520,250,430,115", "scribble:190,400,225,370,260,405,300,370,330,400"]
README_QUESTIONS = ["What is @1?", "What is @food?", "What is @3?"]

ALL_KINDS = [
    "box:12,225,185,385@red",
    "ellipse:280,108,428,262@blue",
    "arrow:590,330,545,250@yellow",
    "mask:278,330,300,305,380,330,420,370,395,420,320,425,285,380@purple",
    "contour:290,130,405,115,415,200,330,255@aqua,width=3",
    "point:60,290@lime",
    "triangle:480,230,600,215,560,275@fuchsia",
    "scribble:40,340,75,360,100,335,130,360@orange",
    "tag:A=350,372@gold",
]

HOUSE = [
    (148, 286),
    (232, 370),
    (212, 385),
    (215, 455),
    (66, 450),
    (72, 385),
    (58, 370),
    (80, 345),
    (80, 298),
    (146, 287),
]


def main() -> None:
    warnings.simplefilter("ignore", VipWarning)
    for name, seed in SCENES.items():
        save_picture(compose(np.random.default_rng(seed), (640, 480), 4, THINGS).picture, HERE / name)
    mark(HERE / "lost.png", ALL_KINDS).save(HERE / "markers.png")
    readme_picture().save(HERE / "readme.png")


def report_picture(to: Path) -> None:
    """The report of a batch, as Debian's Chromium shows it; the picture stays as it is where that isn't there."""
    browser = shutil.which("chromium")
    if browser is None:
        print(f"{to.name}: needs Chromium: apt-get install chromium")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vip = [sys.executable, "-m", "vipcli", "batch", "things.json", "-q", "What is @1?", "--quiet", "-m", "tiny"]
        subprocess.run([*vip, "-o", f"{folder}/a.jsonl", "--html", f"{folder}/report.html"], check=True, cwd=HERE)
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}"]
        page = [
            f"--screenshot={to}",
            "--window-size=1100,760",
            "--virtual-time-budget=3000",
            f"file://{folder}/report.html",
        ]
        subprocess.run([browser, *flags, *page], check=True, capture_output=True)


def eval_picture(to: Path) -> None:
    """The page of an evaluation of tiny, with its control."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from browser import open_browser, why_no_browser

    if missing := why_no_browser():
        print(f"{to.name}: {missing}")
        return
    with tempfile.TemporaryDirectory() as name:
        results = Path(name) / "results"
        vip = [sys.executable, "-m", "vipcli", "eval", "synthetic", "--limit", "400", "--control", "--model", "tiny"]
        subprocess.run([*vip, "--quiet", "-o", "results"], check=True, stdout=subprocess.DEVNULL, cwd=name)
        with open_browser(Path(name)) as browser:
            browser.set_window_size(1280, 1300)
            browser.get((results / "report.html").as_uri())
            browser.save_screenshot(str(to))


def page_picture(to: Path) -> None:
    """The page of `vip serve` with markers drawn by mouse and the embedded model's answers, by the tests' own hands."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from browser import open_browser, why_no_browser
    from server.page_driver import Page

    if missing := why_no_browser():
        print(f"{to.name}: {missing}")
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    vip = [sys.executable, "-m", "vipcli", "serve", "--model", "tiny", "--port", str(port), "--quiet"]
    with tempfile.TemporaryDirectory() as name, subprocess.Popen(vip) as server:
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            with open_browser(Path(name)) as browser:
                page = Page(browser, f"http://127.0.0.1:{port}/")
                page.view(1280, 800)
                page.open(HERE / "meadow.png")
                page.draw("box", (440, 118), (520, 200), (598, 283))
                page.ask("What is @1?")
                page.draw("contour", *HOUSE)
                page.draw("arrow", (345, 45), (300, 70), (215, 120))
                page.find("#name").send_keys("food")
                for question in ("What is @food?", "And what is @2?"):
                    page.ask(question)
                page.tool("select")
                browser.save_screenshot(str(to))
        finally:
            server.terminate()


def readme_picture() -> Image.Image:
    """The marked picture with the command and its answers beside it, as a terminal shows them."""
    engine = open_engine("tiny")
    picture = HERE / README_PICTURE
    marked = mark(picture, README_MARKERS).image
    lines = [f'$ vip ask {README_PICTURE} MARKERS "{question}"' for question in README_QUESTIONS]
    answers = [ask(picture, question, README_MARKERS, model=engine).text for question in README_QUESTIONS]
    font = ImageFont.load_default(19)
    sheet = Image.new("RGB", (marked.width + 560, marked.height), (24, 26, 32))
    sheet.paste(marked, (0, 0))
    draw = ImageDraw.Draw(sheet)
    x, y = marked.width + 28, 30
    draw.text((x, y), "MARKERS:", (140, 150, 170), font)
    for text in README_MARKERS:
        y += 28
        shown = f"--{text.replace(':', ' ', 1)}"
        draw.text((x, y), shown if len(shown) < 52 else f"{shown[:49]}...", (140, 150, 170), font)
    y += 30
    for line, answer in zip(lines, answers, strict=True):
        y += 36
        draw.text((x, y), line, (235, 238, 245), font)
        y += 32
        draw.text((x, y), answer, (120, 220, 140), font)
        y += 12
    return sheet


if __name__ == "__main__":
    main()
    report_picture(HERE / "report.png")  # it shows seconds, so it is another picture each time
    page_picture(HERE / "page.png")
    eval_picture(HERE / "eval.png")
