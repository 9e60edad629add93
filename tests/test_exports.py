"""What ``import vipcli`` offers."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import vipcli


@pytest.mark.parametrize("name", [name for name in vipcli.__all__ if name != "__version__"])
def test_every_name_is_there_and_says_what_it_is_for(name):
    thing = getattr(vipcli, name)
    assert thing.__doc__
    assert not thing.__doc__.startswith(f"{name}("), "a dataclass needs words, not its signature"


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Circle'"):
        vipcli.Circle  # noqa: B018


@pytest.mark.parametrize("room", ["engine", "images", "markers"])
def test_a_rooms_door_opens_on_every_name_it_lists(room):
    module = importlib.import_module(f"vipcli.{room}")
    assert all(getattr(module, name) is not None for name in module.__all__)


def test_importing_the_package_loads_nothing_heavy():
    script = "import sys, vipcli; assert not {'torch', 'cv2', 'numpy', 'PIL', 'typer'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_package_is_typed():
    assert (Path(vipcli.__file__).parent / "py.typed").exists()
