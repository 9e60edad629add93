"""Pillow's settings while a picture is opened. They are the whole process's, so they are put back."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator

from PIL import Image, ImageFile

from vipcli.images.decoding import MAX_PIXELS

_pillow_lock = threading.Lock()
_pillow_users = 0
_pillow_before = contextlib.ExitStack()


@contextlib.contextmanager
def strict_pillow() -> Iterator[None]:
    """Pillow silent, with our limit of pixels, and never content with half a file.

    These are settings of the whole process: the first thread in makes them, the last one out puts back what was.
    """
    global _pillow_users
    with _pillow_lock:
        _pillow_users += 1
        if _pillow_users == 1:
            _pillow_before.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            _pillow_before.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            _pillow_before.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses from twice as many on
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            mute = logging.NullHandler()  # where nobody listens to Pillow's log, Python prints its errors
            logging.getLogger("PIL").addHandler(mute)
            _pillow_before.callback(logging.getLogger("PIL").removeHandler, mute)
            with contextlib.suppress(AttributeError, OSError):  # libtiff prints its own; Pillow stops its warnings only
                silence = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler
                silence.argtypes, silence.restype = [ctypes.c_void_p], ctypes.c_void_p
                _pillow_before.callback(silence, silence(None))
    try:
        yield
    finally:
        with _pillow_lock:
            _pillow_users -= 1
            if _pillow_users == 0:
                _pillow_before.close()
