"""What answering costs here, beside the plain transformers script and beside what the machine allows.

`models` gives both sides the same weights, `floors` measures the machine, `rows` the steps, `serving` a server.
torch loads with the first of them.
"""

from __future__ import annotations

from vipcli.doors import door

__getattr__, __all__ = door(
    __name__,
    {"models": ("sides_of_config", "sides_of_model"), "rows": ("Row", "measure"), "serving": ("measure_server",)},
)
