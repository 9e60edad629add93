"""Render the art of the synthetic scenes: 64 Noto Emoji as one sheet, `vipcli/art/noto.png`, and `noto.json` beside it.

Art for making data only; the sheet is committed, so nobody needs to run this. Noto Emoji is Google's, Apache-2.0.

    npm pack @iconify-json/noto@1.2.9 && tar xzf iconify-json-noto-1.2.9.tgz
    pip install resvg-py
    python examples/tiny/make_art.py package/icons.json
"""

import io
import json
import sys
from pathlib import Path

import resvg_py
from PIL import Image

SIDE = 160
COLUMNS = 8

# The word that the model answers with -> the icon. Chosen to look unlike each other at 20 pixels.
_SAME_NAME = """
banana grapes strawberry cherries watermelon pineapple pear carrot broccoli mushroom eggplant pizza hamburger
frog panda elephant penguin owl duck turtle snail butterfly spider octopus
bicycle airplane rocket sailboat tractor bus
house cactus rose sunflower umbrella key scissors guitar drum camera chair balloon crown bread
"""
THINGS = {
    **{name: name for name in _SAME_NAME.split()},
    "donut": "doughnut",
    "cake": "birthday-cake",
    "cheese": "cheese-wedge",
    "cat": "cat-face",
    "dog": "dog-face",
    "horse": "horse-face",
    "cow": "cow-face",
    "pig": "pig-face",
    "rabbit": "rabbit-face",
    "fish": "tropical-fish",
    "bee": "honeybee",
    "ladybug": "lady-beetle",
    "car": "automobile",
    "truck": "delivery-truck",
    "train": "locomotive",
    "tree": "deciduous-tree",
    "clock": "alarm-clock",
    "book": "closed-book",
    "ball": "soccer-ball",
    "shoe": "running-shoe",
}


def main() -> None:
    icon_set = json.loads(Path(sys.argv[1]).read_text())
    icons, aliases = icon_set["icons"], icon_set.get("aliases", {})
    names = sorted(THINGS)
    rows = -(-len(names) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * SIDE, rows * SIDE))
    for index, name in enumerate(names):
        key = THINGS[name]
        while key not in icons:
            key = aliases[key]["parent"]
        icon = icons[key]
        width, height = icon.get("width", icon_set["width"]), icon.get("height", icon_set["height"])
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height}" width="{SIDE}" height="{SIDE}">{icon["body"]}</svg>'
        )
        picture = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg))))
        sheet.paste(picture.convert("RGBA"), (index % COLUMNS * SIDE, index // COLUMNS * SIDE))
    folder = Path(__file__).parents[2] / "vipcli" / "art"
    sheet.save(folder / "noto.png", optimize=True)
    (folder / "noto.json").write_text(json.dumps({"side": SIDE, "columns": COLUMNS, "names": names}) + "\n")
    print(f"{len(names)} things in {folder / 'noto.png'}")


if __name__ == "__main__":
    main()
