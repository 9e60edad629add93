"""Many items: a folder, a list or annotations go in, a journal of answers comes out. Nothing here prints.

`sources` reads items (`manifests`, `requests`, and the formats of `vipcli.markers`), each asked as `asking` says, their
files in their `places`; those are `unanswered` that the journal lacks, and of a long manifest `recall` knows most by
their lines. `preparing` makes pictures and questions ready in the processes of `workers`, `feeding` hands them to the
engine, `runner` takes what it answers, and `recording` writes it into the `journal`. `fleet` is an engine of several
processes; `on_ray` runs the whole on a cluster. `outputs` makes `tables`, annotated copies and the `report` of that,
which is one of `pages`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.batch.asking import Asking as Asking
    from vipcli.batch.feeding import request_of as request_of
    from vipcli.batch.fleet import Fleet as Fleet
    from vipcli.batch.items import BadItem as BadItem
    from vipcli.batch.items import Item as Item
    from vipcli.batch.items import MarkerText as MarkerText
    from vipcli.batch.journal import Journal as Journal
    from vipcli.batch.journal import read_rows as read_rows
    from vipcli.batch.on_ray import Work as Work
    from vipcli.batch.on_ray import run_on_ray as run_on_ray
    from vipcli.batch.outputs import annotate as annotate
    from vipcli.batch.outputs import can_annotate as can_annotate
    from vipcli.batch.outputs import to_report as to_report
    from vipcli.batch.outputs import to_table as to_table
    from vipcli.batch.pages import Page as Page
    from vipcli.batch.pages import escaped as escaped
    from vipcli.batch.pages import shown_text as shown_text
    from vipcli.batch.pages import write_page as write_page
    from vipcli.batch.preparing import Facts as Facts
    from vipcli.batch.preparing import marked_picture as marked_picture
    from vipcli.batch.preparing import prepare as prepare
    from vipcli.batch.recording import Event as Event
    from vipcli.batch.runner import run as run
    from vipcli.batch.sources import Source as Source
    from vipcli.batch.sources import check_not_empty as check_not_empty
    from vipcli.batch.sources import open_source as open_source
    from vipcli.batch.tables import need_pyarrow as need_pyarrow
    from vipcli.batch.workers import Workers as Workers
    from vipcli.batch.workers import cores as cores

__getattr__, __all__ = door(
    __name__,
    {
        "asking": ("Asking",),
        "feeding": ("request_of",),
        "fleet": ("Fleet",),
        "items": ("BadItem", "Item", "MarkerText"),
        "journal": ("Journal", "read_rows"),
        "on_ray": ("Work", "run_on_ray"),
        "outputs": ("annotate", "can_annotate", "to_report", "to_table"),
        "pages": ("Page", "escaped", "shown_text", "write_page"),
        "preparing": ("Facts", "marked_picture", "prepare"),
        "recording": ("Event",),
        "runner": ("run",),
        "sources": ("Source", "check_not_empty", "open_source"),
        "tables": ("need_pyarrow",),
        "workers": ("Workers", "cores"),
    },
)
