"""Thousands of damaged pictures, opened in one process: each ends in a picture or in one printable sentence.

``python tests/images/test_fuzz.py [COUNT] [SEED]`` runs more of them and prints what came of them.
"""

from __future__ import annotations

import io
import json
import random
import resource
import subprocess
import sys
import time
from collections import Counter

COUNT = 3000
SEED = 0
SECONDS = 60  # a hang; 3000 take about 6 s on a free machine
MEGABYTES = 700

FORMATS = {  # format -> modes of the small pictures that are damaged
    "AVIF": ("RGB",),
    "BMP": ("1", "P", "RGB"),
    "DDS": ("RGBA",),
    "GIF": ("P", "L"),
    "ICNS": ("RGBA",),
    "ICO": ("RGBA",),
    "IM": ("RGB",),
    "JPEG": ("L", "RGB", "CMYK"),
    "JPEG2000": ("RGB",),
    "MSP": ("1",),
    "PCX": ("1", "P", "RGB"),
    "PNG": ("1", "P", "LA", "RGBA", "I;16"),
    "PPM": ("1", "L", "RGB"),
    "QOI": ("RGBA",),
    "SGI": ("RGB",),
    "SPIDER": ("F",),
    "TGA": ("P", "RGBA"),
    "TIFF": ("1", "RGB", "CMYK", "LAB", "F", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "XBM": ("1",),
}
EXTREMES = (b"\0\0", b"\xff\xff", b"\x7f\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\xff\xff")


def seeds() -> list[bytes]:
    """A small picture of every format and mode, some with EXIF, a colour profile, or another compression."""
    import numpy as np
    from PIL import Image

    y, x = np.mgrid[:20, :24]
    photo = Image.fromarray(np.stack([x * 10, y * 12, (x * y) % 256], axis=2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    made = []
    for form, modes in FORMATS.items():
        for mode in modes:
            image = Image.new("LAB", photo.size, (99, 140, 140)) if mode == "LAB" else None
            image = image or (photo.convert("I") if mode == "I;16" else photo).convert(mode)
            variants: list[dict[str, object]] = [{}]
            if form in ("JPEG", "PNG", "WEBP", "TIFF"):
                variants.append({"exif": exif, "icc_profile": b"profile" * 20})
            if form == "TIFF" and mode in ("RGB", "1"):
                variants += [{"compression": name} for name in ("tiff_lzw", "tiff_deflate", "packbits")]
            if form == "JPEG" and mode == "RGB":
                variants.append({"progressive": True})
            for options in variants:
                data = io.BytesIO()
                image.save(data, form, **options)
                made.append(data.getvalue())
    return made


def damaged(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """`data` with one to three things done to it."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.randrange(7)
        at = rng.randrange(len(out) or 1)
        if kind == 0:  # bits turned over
            for _ in range(rng.choice((1, 2, 8, 40))):
                place = rng.randrange(len(out) or 1)
                out[place : place + 1] = bytes([(out[place] if out else 0) ^ 1 << rng.randrange(8)])
        elif kind == 1:  # cut off
            del out[at:]
        elif kind == 2:  # the start of this, the end of another
            out[at:] = other[rng.randrange(len(other)) :]
        elif kind == 3:  # a field of the header set to an extreme
            place = rng.randrange(min(len(out), 64) or 1)
            value = rng.choice(EXTREMES)
            out[place : place + len(value)] = value
        elif kind == 4:  # a byte of the header set to anything
            place = rng.randrange(min(len(out), 64) or 1)
            out[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 5:  # a piece taken out
            del out[at : at + rng.choice((1, 2, 4, 30))]
        else:  # a piece put in twice
            out[at:at] = out[at : at + rng.choice((1, 4, 100))]
    return bytes(out)


def main(count: int, seed: int) -> dict[str, object]:
    """Open `count` damaged pictures; return how many opened, were refused, and what it cost."""
    from vipcli.errors import PictureError
    from vipcli.images import open_picture

    rng = random.Random(seed)
    originals = seeds()
    for original in originals:
        open_picture(io.BytesIO(original))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    slowest = 0.0
    causes: Counter[str] = Counter()
    refused = 0
    for index in range(count):
        data = damaged(rng, originals[index % len(originals)], rng.choice(originals))
        began = time.perf_counter()
        try:
            picture = open_picture(io.BytesIO(data))
            assert (picture.ndim, picture.shape[2], picture.dtype) == (3, 3, "uint8")
            assert picture.size
            assert picture.flags.c_contiguous
        except PictureError as error:
            sentence = str(error)
            assert sentence.startswith("the stream: "), sentence
            assert sentence.isprintable(), sentence
            assert len(sentence) < 250, sentence
            causes[type(error.__cause__).__name__] += 1
            refused += 1
        slowest = max(slowest, time.perf_counter() - began)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    seconds = round(time.perf_counter() - start, 1)
    return {
        "opened": count - refused,
        "refused": refused,
        "seconds": seconds,
        "slowest": round(slowest, 2),
        "megabytes": grown,
        "causes": dict(causes),
    }


def test_three_thousand_damaged_pictures_end_in_a_picture_or_a_sentence():
    from processes import WITH_ITS_OWN_PEAK  # this file is a script too, which has no such neighbour

    command = [sys.executable, __file__, str(COUNT), str(SEED)]
    ran = subprocess.run([*WITH_ITS_OWN_PEAK, *command], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]  # a negative one is a crash of a decoder
    assert ran.stderr == ""  # decoders print nothing either
    came = json.loads(ran.stdout)
    assert came["opened"] + came["refused"] == COUNT
    assert min(came["opened"], came["refused"]) > COUNT // 10  # else the damage is too small or too great to tell
    assert came["megabytes"] < MEGABYTES


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]]
    print(json.dumps(main(*(numbers + [COUNT, SEED][len(numbers) :]))))
