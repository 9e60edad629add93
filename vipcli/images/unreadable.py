"""What a file is that Pillow won't open, told by its first bytes."""

from __future__ import annotations

import re

from vipcli.images.reasons import CONVERT

_KNOWN_BYTES = (  # the first of these that its first bytes match
    (
        rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{12}|RIFF.{4}WEBP|II\*\0|MM\0\*|8BPS|.{4}ftypavi[fs]",
        "the file is damaged or cut off",
    ),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"is PostScript (EPS), which has to be run like a program; {CONVERT}"),
    (rb"\s*%PDF", f"is a PDF, which Pillow can't read; {CONVERT}"),
    (rb".{4}ftyp(hei[cxms]|hev[cm]|mif1|msf1)", f"is HEIC, which Pillow can't read; {CONVERT}"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", f"is JPEG XL, which Pillow can't read; {CONVERT}"),
    (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI |\0\0\x01[\xb3\xba]", "is a video; extract the frame you mean first"),
    (rb"\s*<(!doctype html|html|head|body)", "is a web page (HTML), not a picture"),
    (rb"\s*<.*svg", f"is an SVG drawing, which Pillow can't read; {CONVERT}"),
    (rb"version https://git-lfs", "is a Git LFS pointer; get the picture itself with: git lfs pull"),
    (rb"[\t\n\r\x20-\x7e\x80-\xff]+\Z", "is a text file, not a picture"),
    (rb"", f"isn't a picture that Pillow can read safely; {CONVERT}"),
)


def what_it_is(data: bytes) -> str:
    """What the refused `data` is, as the end of a sentence: with what to do about it, where something can be done."""
    return next(what for start, what in _KNOWN_BYTES if re.match(start, data[:512], re.DOTALL | re.IGNORECASE))
