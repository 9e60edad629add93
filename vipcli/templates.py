"""Templates with ``{name}`` places, as a batch's questions and a training's have them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

__all__ = ["fill_places"]


def fill_places(template: str, value_of: Callable[[str], Any]) -> str:
    """Put ``value_of(name)`` into every ``{name}``; ``{{`` and ``}}`` are braces. What is no text becomes JSON."""

    def value(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        found = value_of(match[1].strip())
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return re.sub(r"\{\{|\}\}|\{([^{}]*)\}", value, template)
