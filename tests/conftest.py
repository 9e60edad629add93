"""Checkpoints that tests load, built once a session (see `engine/checkpoints.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine.checkpoints import random_model, write_published, write_saved


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ViP-LLaVA as published from 2023 to 2025."""
    return write_published(tmp_path_factory.mktemp("published") / "vip", random_model())


@pytest.fixture(scope="session")
def saved_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ViP-LLaVA as transformers 5 writes it."""
    return write_saved(tmp_path_factory.mktemp("saved") / "vip", random_model(seed=1))


@pytest.fixture(scope="session")
def mistral_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ViP-LLaVA on a Mistral."""
    return write_saved(tmp_path_factory.mktemp("mistral") / "vip", random_model(seed=2, text="Mistral"))


@pytest.fixture(scope="session")
def llava_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LLaVA-1.5, for the auto class."""
    return write_saved(tmp_path_factory.mktemp("llava") / "llava", random_model(seed=3, family="Llava"))
