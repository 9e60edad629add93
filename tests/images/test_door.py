"""The door of `vipcli.images`: every name is there, and what only some need isn't loaded for all."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vipcli import images


def test_it_opens_on_every_name_it_lists():
    assert all(getattr(images, name) is not None for name in images.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'close_picture'"):
        images.close_picture  # noqa: B018


def test_importing_it_loads_little_beside_numpy_and_one_module_of_pillow():
    code = """if True:
        import sys, numpy, PIL.Image
        before = set(sys.modules)
        from vipcli.images import CLIP_MEAN, Fit, Fitted, Source, fit, name_of, open_picture, save_picture
        print(*sorted(set(sys.modules) - before))
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert not loaded & {"ctypes", "httpx", "logging", "pathlib", "queue", "secrets", "threading"}
    assert not loaded & {f"vipcli.images.{name}" for name in ("downloading", "strictness", "unreadable")}
    assert not {name for name in loaded if name.startswith(("PIL", "cv2", "torch"))}
