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
        ours = {name for name in set(sys.modules) - before if name.startswith("vipcli")}
        print(*sorted(ours), "|", *sorted(set(sys.modules) - before - ours))
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours, others = (part.split() for part in ran.stdout.split("|"))
    assert set(ours).isdisjoint(f"vipcli.images.{name}" for name in ("downloading", "strictness", "unreadable"))
    few = {"copy", "dataclasses", "unicodedata"}
    assert set(others) <= few
