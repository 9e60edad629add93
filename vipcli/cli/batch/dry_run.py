"""``vip batch --dry-run``: the first items as they would be asked."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from vipcli.cli import console
from vipcli.cli.inputs import temporary_picture
from vipcli.errors import UsageError, VipError, quote

if TYPE_CHECKING:
    from vipcli.batch import Facts, Item, Source

__all__ = ["dry_run"]

_SHOWN = 3  # items


def dry_run(
    source: Source,
    sample: int | None,
    name: str,
    style: dict[str, Any],
    options: dict[str, Any],
    *,
    tags: bool,
    strict: bool,
) -> int:
    """The first items as they would be asked; no weights are loaded, and only temporary files are written."""
    from vipcli.batch import BadItem, Facts, prepare, request_of
    from vipcli.engine import is_address, outline, resolve

    if is_address(name):
        raise UsageError(f"--dry-run shows what a model of this machine gets, and {quote(name)} is a server")
    model = outline(resolve(name))
    facts = Facts(model.side, model.patch, options["fit"], model.special_tokens, tags, strict)
    shown = failed = 0
    for item in source.items(sample):
        if shown + failed == _SHOWN:
            break
        try:
            if isinstance(item, BadItem):
                raise UsageError(item.sentence)
            prepared = prepare(item, facts)
            request = request_of(item, prepared, model, options=options, **style)
        except VipError as error:
            failed += 1
            console.complain(error, item.where or item.id)
            continue
        shown += 1
        console.line(f"{item.id}: {', '.join(prepared.markers) or 'no markers'}")
        for doubt in prepared.doubts:
            console.note(f"vip: warning: {item.id}: {doubt}")
        console.line(f"  {request.prompt!r}")
        if item.image is not None:
            _show(item, facts)
    return 3 if failed else 0


def _show(item: Item, facts: Facts) -> None:
    """The marked picture in the terminal; where that can't be, a temporary file and where it is."""
    from vipcli.batch import marked_picture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there is to doubt has been said
        marked = marked_picture(item, facts)
    if console.can_preview():
        console.preview(marked.picture)
        return
    path = temporary_picture("--dry-run")
    marked.save(path)
    console.line(f"  {path}")
