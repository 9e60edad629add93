"""The picture that the tests of this folder open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo() -> np.ndarray:
    """24 x 16, every pixel another colour, nothing symmetrical."""
    y, x = np.mgrid[:16, :24]
    return np.stack([x * 10, y * 15, 255 - x * 5 - y * 5], axis=2).astype(np.uint8)


@pytest.fixture
def png(photo: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    return path
