"""Training: a TOML file -> a model that has learnt to read markers. One loop that yields events and prints nothing.

`settings` is the file (`typed` makes it of TOML), `reading` makes sources of its data (`instruct` and `annotated` the
formats, `regions` and `marking` the fresh markers; `lessons` and `questions` the synthetic scenes), `samples` says in
which order they come, `drawing` makes them in processes, `encoding` tokens of them. `assembling` puts them together
with the model (`fresh`: a new one; `adapters`: LoRA). `loop` goes through the steps by way of `learner` (the pass),
`dense` (heads on the vision tower), `looking` (where words look), `comparing` (what they know of each other),
`optimizing` and `judging` (of held-out samples), and yields `events`. `runs` is the output folder with `checkpoints`,
`logs` and `plotting`; `writing` makes the model in it. `previewing` shows samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.training.assembling import Prepared as Prepared
    from vipcli.training.assembling import prepare as prepare
    from vipcli.training.events import Event as Event
    from vipcli.training.events import Finished as Finished
    from vipcli.training.events import Judged as Judged
    from vipcli.training.events import Logged as Logged
    from vipcli.training.events import Noted as Noted
    from vipcli.training.events import Saved as Saved
    from vipcli.training.events import Started as Started
    from vipcli.training.events import Stepped as Stepped
    from vipcli.training.events import Stopped as Stopped
    from vipcli.training.events import as_row as as_row
    from vipcli.training.loop import train as train
    from vipcli.training.previewing import contact_sheet as contact_sheet
    from vipcli.training.previewing import preview as preview
    from vipcli.training.runs import Run as Run
    from vipcli.training.settings import Settings as Settings
    from vipcli.training.settings import read_settings as read_settings

__getattr__, __all__ = door(
    __name__,
    {
        "assembling": ("Prepared", "prepare"),
        "events": (
            *("Event", "Finished", "Judged", "Logged", "Noted", "Saved", "Started", "Stepped", "Stopped"),
            "as_row",
        ),
        "loop": ("train",),
        "previewing": ("contact_sheet", "preview"),
        "runs": ("Run",),
        "settings": ("Settings", "read_settings"),
    },
)
