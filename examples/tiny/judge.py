"""Examine the embedded model and write the figures into its card.

python examples/tiny/judge.py            # the exam as far as the repository goes: some 8,000 questions, six minutes
python examples/tiny/judge.py --photographs FOLDER --other-art runs/art/fxemoji.json --write
    # all of it: put the table into vipcli/models/tiny/README.md, and draw the curve

Photographs and art in another style aren't in the repository. Debian's gnome-backgrounds has photographs
(apt-get download gnome-backgrounds; dpkg -x ...; its .webp files); make_art.py renders the other art.
"""

import argparse
import random
import re
import shutil
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from vipcli import VipWarning, open_engine
from vipcli.evaluation.exam import Material, exam
from vipcli.evaluation.scoring import scores, sit, table
from vipcli.images import PICTURE_SUFFIXES
from vipcli.scenes import read_art
from vipcli.training.logs import read_log
from vipcli.training.plotting import plot

HERE = Path(__file__).parent
CARD = Path(__file__).parents[2] / "vipcli" / "models" / "tiny" / "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(description="Examine a model on scenes that training never drew.")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--share", type=float, default=1.0, help="ask a part of the questions only")
    parser.add_argument("--first", type=int, default=0, help="another number asks other questions")
    parser.add_argument("--photographs", type=Path, help="folder of pictures to put behind the things")
    parser.add_argument("--other-art", type=Path, help="sheet (.json) of the things in another style")
    parser.add_argument("--wrong", type=int, default=12, help="so many wrong answers are shown")
    parser.add_argument("--write", action="store_true", help="put the table into the model card")
    options = parser.parse_args()
    warnings.simplefilter("ignore", VipWarning)
    began = time.monotonic()
    material = Material(
        _pictures(options.photographs) if options.photographs else (),
        read_art([options.other_art], [], shipped=False) if options.other_art else None,
    )
    asked = list(sit(open_engine(options.model), exam(options.share, options.first, material)))
    shown = table(scores(asked))
    print(shown)
    wrong = [one for one in asked if not one.right]
    print("\nwrong, for instance:")
    for one in random.Random(0).sample(wrong, min(options.wrong, len(wrong))):
        print(f"  [{one.question.row}] {one.question.text} {one.question.truth!r}, answered {one.answer!r}")
    things = Counter(one.question.thing for one in wrong if one.question.thing)
    print("things most often missed:", ", ".join(f"{name} {count}" for name, count in things.most_common(12)))
    print(f"{len(asked)} questions in {time.monotonic() - began:.0f} s")
    if options.write:
        text = CARD.read_text(encoding="utf-8")
        begin, end = "<!-- figures -->", "<!-- end of figures -->"
        assert begin in text, "the card has no place for the figures"
        CARD.write_text(re.sub(f"{begin}.*{end}", f"{begin}\n{shown}\n{end}", text, flags=re.S), encoding="utf-8")
        _draw_curve()


def _draw_curve() -> None:
    """The accuracy of all stages, one after the other, from their logs; those of the tower alone leave gaps."""
    rows, before = [], 0
    for log in sorted(HERE.glob("*.jsonl"), key=lambda file: int(file.stem.split("-")[0])):
        its = read_log(log)
        rows += [{**row, "step": before + row["step"]} for row in its]
        before += max(row["step"] for row in its)
    with tempfile.TemporaryDirectory() as folder:
        plot(rows, Path(folder))
        shutil.copy(Path(folder) / "accuracy.png", HERE)


def _pictures(folder: Path) -> list[np.ndarray]:
    pictures = []
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in PICTURE_SUFFIXES:
            with Image.open(file) as opened:
                opened.thumbnail((1200, 1200))
                pictures.append(np.asarray(opened.convert("RGB")))
    return pictures


if __name__ == "__main__":
    main()
