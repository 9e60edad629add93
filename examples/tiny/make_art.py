"""Render the art of the synthetic scenes: sheets of emoji, each with a .json that names what is on it.

The shipped sheet, `vipcli/art/noto.png`, holds the `THINGS` that the model has words for and then the `STRANGERS`,
which judge whether it says that it doesn't know. It is committed, so nobody needs to run this to use the package. The
other sheets are for training and judging only: the same things in other styles, and the `TRAINING_STRANGERS`.

    mkdir -p runs/packages && cd runs/packages
    for set in noto@1.2.9 noto-v1@1.2.5 fluent-emoji-flat@1.2.6 fxemoji@1.2.2; do
        npm pack @iconify-json/$set && mkdir ${set%@*}
        tar xzf iconify-json-${set%@*}-${set#*@}.tgz -C ${set%@*} --strip-components=1
    done
    cd ../.. && pip install resvg-py==0.5.0
    python examples/tiny/make_art.py --packages runs/packages

Noto Emoji (noto, noto-v1) is Google's and FxEmojis (fxemoji) Mozilla's, both Apache-2.0; Fluent Emoji
(fluent-emoji-flat) is Microsoft's, MIT. Nothing is ever trained on fxemoji: it judges art in a style never seen.
"""

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path

import resvg_py
from PIL import Image

SHIPPED_SIDE = 160
SIDE = 128
COLUMNS = 16

# The word that the model answers with -> the icon. Chosen to look unlike each other at 25 pixels.
_SAME_NAME = """
banana grapes strawberry cherries watermelon pineapple pear carrot broccoli mushroom eggplant pizza hamburger
lemon avocado pretzel lollipop sushi taco teapot
frog panda elephant penguin owl duck turtle snail butterfly spider octopus
monkey lion tiger bear koala fox chicken parrot flamingo swan crab snake giraffe zebra kangaroo hedgehog
bicycle airplane rocket sailboat tractor bus helicopter
house tent castle fountain cactus rose sunflower
umbrella key scissors guitar drum camera chair balloon crown bread
anchor hammer magnet microscope lipstick candle bathtub toilet door backpack dress ring trophy robot trumpet bell pencil
telephone television
"""
THINGS = {
    **{name: name for name in _SAME_NAME.split()},
    "apple": "red-apple",
    "ball": "soccer-ball",
    "bee": "honeybee",
    "book": "closed-book",
    "bottle": "baby-bottle",
    "cake": "birthday-cake",
    "camel": "two-hump-camel",
    "car": "automobile",
    "cat": "cat-face",
    "cheese": "cheese-wedge",
    "clock": "alarm-clock",
    "corn": "ear-of-corn",
    "cow": "cow-face",
    "cup": "hot-beverage",
    "dinosaur": "sauropod",
    "dog": "dog-face",
    "donut": "doughnut",
    "fish": "tropical-fish",
    "gift": "wrapped-gift",
    "hat": "top-hat",
    "horse": "horse-face",
    "hourglass": "hourglass-done",
    "ladybug": "lady-beetle",
    "leaf": "maple-leaf",
    "lock": "locked",
    "pepper": "hot-pepper",
    "piano": "musical-keyboard",
    "pig": "pig-face",
    "pumpkin": "jack-o-lantern",
    "rabbit": "rabbit-face",
    "scooter": "motor-scooter",
    "sheep": "ewe",
    "shoe": "running-shoe",
    "snowman": "snowman-without-snow",
    "train": "locomotive",
    "tree": "deciduous-tree",
    "truck": "delivery-truck",
    "whale": "spouting-whale",
}

# Noto's own names, of things outside THINGS and unlike all of them.
STRANGERS = """
accordion bed bomb boomerang broom bucket canoe chipmunk cloud couch-and-lamp egg envelope feather ferris-wheel fire
fork-and-knife french-fries game-die gem-stone glasses handbag headphone hippopotamus jeans jellyfish kite kiwi-fruit
ladder laptop light-bulb onion peacock pie popcorn puzzle-piece rainbow shopping-cart skateboard socks spiral-shell
syringe t-shirt treasure-chest volcano
""".split()

# For training "I don't know": unlike the things and unlike the STRANGERS. In Noto and, where they have them, in Noto's
# first version and in Fluent.
TRAINING_STRANGERS = """
badger bat bison bug coral eagle four-leaf-clover hyacinth lotus microbe moose mosquito oyster paw-prints phoenix
potted-plant rat seal seedling shrimp skunk sloth spider-web wing worm amphora bacon beans bento-box beverage-box
bowl-with-spoon candy canned-food chestnut chocolate-bar chopsticks cocktail-glass coconut cooked-rice cooking
cucumber custard cut-of-meat dango dumpling fortune-cookie fried-shrimp ginger-root green-salad honey-pot hot-dog ice
jar kitchen-knife leafy-green meat-on-bone olive pancakes pea-pod peanuts pickle pot-of-food potato rice-ball
root-vegetable salt soft-ice-cream spaghetti steaming-bowl takeout-box tamale waffle artist-palette badminton bowling
boxing-glove bullseye chess-pawn curling-stone diving-mask fishing-pole flag-in-hole flying-disc framed-picture
goal-net joystick knot magic-wand nesting-dolls party-popper performing-arts ping-pong ribbon sled slot-machine
sports-medal thread ticket video-game water-pistol wind-chime yarn yo-yo barber-pole brick building-construction comet
construction cyclone droplet flying-saucer fuel-pump high-voltage luggage manual-wheelchair parachute playground-slide
police-car-light ringed-planet rock roller-coaster satellite shinto-shrine star statue-of-liberty stop-sign sun
thermometer tokyo-tower tornado vertical-traffic-light water-wave wood world-map abacus adhesive-bandage alembic
balance-scale bar-chart battery bookmark bow-and-arrow calendar chains clamp clapper-board clipboard coat coffin coin
computer-mouse control-knobs credit-card crossed-swords crutch diya-lamp dna dollar-banknote drop-of-blood
electric-plug eraser file-cabinet file-folder film-frames fire-extinguisher flashlight flute folding-hand-fan gear
hair-pick harp headstone hook keyboard label level-slider linked-paperclips magnifying-glass-tilted-left maracas
megaphone microphone mirror moai money-bag mouse-trap nazar-amulet necktie net-with-handle newspaper nut-and-bolt
optical-disk paintbrush paperclip petri-dish pill placard plunger postbox prayer-beads printer pushpin radio razor
receipt red-paper-lantern roll-of-paper safety-pin safety-vest satellite-antenna scarf screwdriver scroll shield
shovel shower soap sponge stethoscope straight-ruler test-tube toolbox toothbrush window wrench x-ray 1st-place-medal
admission-tickets american-football carp-streamer club-suit confetti-ball cricket-game crystal-ball diamond-suit
field-hockey firecracker fireworks flower-playing-cards heart-suit ice-hockey ice-skate japanese-dolls joker lacrosse
mahjong-red-dragon martial-arts-uniform mirror-ball moon-viewing-ceremony pinata pine-decoration reminder-ribbon
sewing-needle skis spade-suit sparkler tennis ant beaver beetle blossom bouquet cherry-blossom cockroach crocodile
deer dodo dove dragon fly hibiscus lizard llama mouse otter raccoon rhinoceros scorpion sheaf-of-rice tulip turkey
white-flower beer-mug blueberries bubble-tea burrito butter clinking-glasses cookie croissant curry-rice falafel
fish-cake-with-swirl flatbread fondue glass-of-milk ice-cream mango mate moon-cake oden poultry-leg rice-cracker
roasted-sweet-potato sake sandwich shallow-pan-of-food shaved-ice stuffed-flatbread tropical-drink tumbler-glass
wine-glass axe ballot-box-with-ballot basket bikini black-nib bookmark-tabs briefs broken-chain card-file-box
card-index-dividers carpentry-saw chart-decreasing chart-increasing cigarette computer-disk crayon dagger elevator
film-projector floppy-disk funeral-urn gloves hamsa identification-card inbox-tray kimono loudspeaker memo
military-helmet money-with-wings musical-note musical-notes musical-score one-piece-swimsuit package pager pick
pound-banknote rescue-workers-helmet sari speaker-high-volume spiral-calendar studio-microphone telescope trackball
triangular-ruler wastebasket white-cane anatomical-heart artist astronaut baby ballet-dancer bone boy brain
bust-in-silhouette clapping-hands detective ear elf eye eyes fairy fingerprint flexed-biceps folded-hands foot
footprints genie girl guard handshake leg lungs mage man mechanical-arm mermaid mouth ninja nose ok-hand old-man
old-woman person-fencing person-juggling person-running person-surfing person-swimming pilot police-officer prince
princess raised-fist raised-hand santa-claus skier snowboarder superhero supervillain thumbs-down thumbs-up tongue
tooth troll vampire victory-hand waving-hand woman woman-dancing writing-hand zombie alien alien-monster angry-face
beating-heart black-heart blue-heart broken-heart clown-face cold-face collision cowboy-hat-face crying-face
face-with-medical-mask ghost goblin green-heart grinning-face hole hundred-points kiss-mark left-speech-bubble
money-mouth-face nerd-face ogre pile-of-poo skull skull-and-crossbones smiling-face-with-sunglasses speech-balloon
star-struck sweat-droplets thought-balloon two-hearts zany-face zzz atm-sign atom-symbol biohazard black-large-square
blue-circle check-mark copyright cross-mark eight-spoked-asterisk fleur-de-lis heavy-dollar-sign hollow-red-circle
infinity keycap-5 khanda large-blue-diamond menorah no-entry peace-symbol prohibited radioactive recycling-symbol
red-question-mark red-triangle-pointed-up right-arrow-curving-down splatter star-and-crescent star-of-david
trident-emblem up-arrow warning wheelchair-symbol yin-yang aerial-tramway bank bridge-at-night bus-stop cityscape
classical-building compass crescent-moon department-store desert-island factory ferry full-moon full-moon-face
globe-showing-americas globe-with-meridians glowing-star hospital hot-springs kaaba lighthouse milky-way mosque
motor-boat mountain-cableway new-moon-face office-building oil-drum passenger-ship railway-track ring-buoy school
snowflake stadium sun-with-face wheel wind-face black-flag chequered-flag crossed-flags pirate-flag triangular-flag
white-flag
""".split()

# FxEmojis has names of its own, and fewer things. None: its icon is a square scene around the thing.
_FX_NAMES = {
    "apple": "redapple",
    "backpack": "schoolsatchel",
    "ball": "soccerball",
    "bee": "honeybee",
    "book": "closedbook",
    "bottle": "babybottle",
    "cake": "birthdaycake",
    "camel": "bactriancamel",
    "car": "automobile",
    "castle": "europeancastle",
    "clock": "alarmclock",
    "corn": "earofmaize",
    "cow": "cowface",
    "cup": "hotbeverage",
    "donut": "doughnut",
    "eggplant": "aubergine",
    "fish": "tropicalfish",
    "fountain": None,
    "fox": "foxgrin",
    "gift": "present",
    "hat": "tophat",
    "horse": "horseface",
    "house": "housebuilding",
    "ladybug": "ladybeetle",
    "leaf": "mapleleaf",
    "panda": "pandaface",
    "pepper": "chilipepper",
    "piano": "musicalkeyboard",
    "pizza": "sliceofpizza",
    "pumpkin": "jackolantern",
    "rabbit": "bunny",
    "sailboat": None,
    "scissors": "blackscissors",
    "shoe": "mensrunner",
    "snowman": "snowmanwithoutsnow",
    "telephone": "blacktelephone",
    "tent": None,
    "tiger": "tigerside",
    "train": "steamlocomotive",
    "tree": "deciduoustree",
    "truck": "deliverytruck",
    "umbrella": "umbrellawithraindrops",
    "whale": "spurtingwhale",
}


class Style:
    """One unpacked icon package."""

    def __init__(self, folder: Path) -> None:
        self._set = json.loads((folder / "icons.json").read_text())

    def _icon(self, key: str) -> dict:
        while key not in self._set["icons"]:
            key = self._set["aliases"][key]["parent"]
        return self._set["icons"][key]

    def __contains__(self, key: str | None) -> bool:
        return key in self._set["icons"] or key in self._set.get("aliases", {})

    def draw(self, key: str, side: int) -> Image.Image:
        """The icon as a square RGBA picture; one that leaves much of the square empty is enlarged and centred."""
        icon = self._icon(key)
        width, height = icon.get("width", self._set.get("width", 16)), icon.get("height", self._set.get("height", 16))
        left, top = icon.get("left", 0), icon.get("top", 0)

        def render(view: tuple[float, float, float, float]) -> Image.Image:
            svg = (
                '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'viewBox="{" ".join(f"{value:g}" for value in view)}" width="{side}" height="{side}">'
                f"{icon['body']}</svg>"
            )
            return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA")

        picture = render((left, top, width, height))
        box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 8)).getbbox()
        if box is None:
            raise SystemExit(f"{key} is blank")
        longest = max(box[2] - box[0], box[3] - box[1])
        if longest >= 0.85 * side:
            return picture
        scale = max(width, height) / side
        middle_x = left + width / 2 + ((box[0] + box[2]) / 2 - side / 2) * scale
        middle_y = top + height / 2 + ((box[1] + box[3]) / 2 - side / 2) * scale
        reach = longest * scale / 0.92
        return render((middle_x - reach / 2, middle_y - reach / 2, reach, reach))


def save(path: Path, pictures: Sequence[Image.Image], info: dict) -> None:
    """Write the pictures, all alike in size, as one sheet, and `info` beside it."""
    side = pictures[0].width
    sheet = Image.new("RGBA", (COLUMNS * side, -(-len(pictures) // COLUMNS) * side))
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % COLUMNS * side, index // COLUMNS * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)
    path.with_suffix(".json").write_text(json.dumps({"side": side, "columns": COLUMNS, **info}) + "\n")
    print(f"{len(pictures)} pictures, {path.stat().st_size / 1e6:.2f} MB: {path}")


def main() -> None:
    root = Path(__file__).parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder of the four unpacked packages")
    parser.add_argument("--shipped", type=Path, default=root / "vipcli" / "art", help="folder for the shipped sheet")
    parser.add_argument("--to", type=Path, default=root / "runs" / "art", help="folder for the other sheets")
    args = parser.parse_args()

    noto, noto_v1, fluent, fx = (
        Style(args.packages / name) for name in ("noto", "noto-v1", "fluent-emoji-flat", "fxemoji")
    )
    names = sorted(THINGS)
    keys = [*(THINGS[name] for name in names), *STRANGERS]
    save(
        args.shipped / "noto.png",
        [noto.draw(key, SHIPPED_SIDE) for key in keys],
        {"names": names, "strangers": STRANGERS},
    )

    fx_keys = {name: _FX_NAMES.get(name, name) for name in names}
    styles = {"noto-v1": (noto_v1, THINGS), "fluent": (fluent, THINGS), "fxemoji": (fx, fx_keys)}
    for label, (style, style_keys) in styles.items():
        there = [name for name in names if style_keys[name] in style]
        save(args.to / f"{label}.png", [style.draw(style_keys[name], SIDE) for name in there], {"names": there})
        print(f"  {label} lacks {' '.join(name for name in names if name not in there) or 'nothing'}")

    # As sharp as the things of the same style, else the sharp ones of Noto would all be known.
    for label, style, side in (("noto", noto, SHIPPED_SIDE), ("v1", noto_v1, SIDE), ("fluent", fluent, SIDE)):
        there = [key for key in TRAINING_STRANGERS if key in style]
        save(args.to / f"strangers-{label}.png", [style.draw(key, side) for key in there], {"names": there})


if __name__ == "__main__":
    main()
