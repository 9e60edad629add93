"""What the C library does with memory that is freed; glibc's alone can be told, and all others are left alone."""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["give_back", "keep"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_KEPT = 256_000_000  # bytes at the end of a heap
_OWN_PAGES = 2**25  # bytes from which memory is mapped and unmapped by itself; glibc takes no more here


def give_back() -> None:
    """Give freed memory back: the holes that weights leave are too small for the same ones packed."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library, or none to be found
        ctypes.CDLL(None).malloc_trim(0)


def keep() -> None:
    """Keep freed memory for what comes next: the next pass of a small model, the next picture.

    Left to itself glibc gives back after every product or picture what the next one takes again, page by page, each
    filled with zeros: `tiny` takes 5 ms so to look at a picture among 16, and 2.7 ms otherwise.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _OWN_PAGES)
