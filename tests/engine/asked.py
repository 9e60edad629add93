"""What the tests of engines ask, and how that ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vipcli.engine import Model, Request
from vipcli.engine.loading import load
from vipcli.engine.local import LocalEngine
from vipcli.errors import ModelError, VipError

PROMPT = "###Human: <image>\nWhat is this?###Assistant:"
PICTURE = np.full((30, 50, 3), 200, np.uint8)


def noise(seed: int) -> np.ndarray:
    """A picture that no other seed gives."""
    return np.random.default_rng(seed).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def why(folder: Path, error: type[VipError] = ModelError, **options: Any) -> str:
    """The sentence that loading `folder` as a model called ``it`` ends in: one printable line."""
    with pytest.raises(error) as caught:
        load(Model("it", folder=folder), **options)
    assert type(caught.value) is error
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 400
    return sentence


def answer(engine: LocalEngine, **options: Any) -> str:
    return engine.stream(Request(PICTURE, PROMPT, max_new_tokens=8, **options)).finished().text
