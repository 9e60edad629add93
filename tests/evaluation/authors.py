"""Small data in exactly the formats of the authors, for the tests of the tasks that read them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from vipcli.batch import Facts, Item, prepare
from vipcli.batch.preparing import Prepared
from vipcli.evaluation.cases import Case

SIZE = (200, 100)


def picture(size: tuple[int, int] = SIZE) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "gray").save(data, "JPEG")
    return data.getvalue()


def lay(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write `files` below `folder`: bytes as they are, all else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def prepared(case: Case) -> Prepared:
    """A case as `vip batch` makes it ready for a model that takes pictures of any shape."""
    return prepare(Item(case.id, case.image, case.question, case.markers, case.size), Facts())


def texts(case: Case) -> list[str]:
    return [marker.text for marker in case.markers]
