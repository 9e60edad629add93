"""Measure the embedded model and write the figures into its card.

python examples/tiny/judge.py            # 504 scenes with one marker, 504 with two or three; about four minutes
python examples/tiny/judge.py --write    # the same, and put the table into vipcli/models/tiny/README.md
"""

import argparse
import re
import time
import warnings
from pathlib import Path

from vipcli import VipWarning, open_engine
from vipcli.evaluation.scenes import items, judge, table

CARD = Path(__file__).parents[2] / "vipcli" / "models" / "tiny" / "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a model on scenes that training never drew.")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--scenes", type=int, default=504, help="a multiple of 8 asks each kind of marker as often")
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    parser.add_argument("--write", action="store_true", help="put the table into the model card")
    options = parser.parse_args()
    warnings.simplefilter("ignore", VipWarning)
    began = time.monotonic()
    asked = list(items(open_engine(options.model), options.scenes, options.first))
    scores = table(judge(asked))
    print(scores)
    wrong = [item for item in asked if not item.right]
    print("\nfor instance:", "; ".join(f"{item.kind} on {item.truth}: {item.answer}" for item in wrong[:12]))
    print(f"{len(asked)} questions in {time.monotonic() - began:.0f} s")
    if options.write:
        text = CARD.read_text(encoding="utf-8")
        begin, end = "<!-- figures -->", "<!-- end of figures -->"
        assert begin in text, "the card has no place for the figures"
        CARD.write_text(re.sub(f"{begin}.*{end}", f"{begin}\n{scores}\n{end}", text, flags=re.S), encoding="utf-8")


if __name__ == "__main__":
    main()
