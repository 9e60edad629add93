"""What a picture's file name ends in."""

from __future__ import annotations

PICTURE_SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .heif .jfif .jpeg .jpg .mpo .pfm .png .ppm .tif .tiff .webp".split()
)
"""In lower case; what can't be opened among them (HEIC) is said of each. A camera's raw file (DNG) isn't: what Pillow
opens of it is the small picture beside the pixels."""
