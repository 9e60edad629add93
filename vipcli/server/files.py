"""The page's files, as they lie in the package."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response

from vipcli.server.refusals import Refusal

__all__ = ["file_response", "page_files"]

_PAGE = Path(__file__).parent / "page"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


def page_files() -> dict[str, Path]:
    """The page's files by their names. Nothing else can be asked for, whatever a path holds."""
    return {file.relative_to(_PAGE).as_posix(): file for file in _PAGE.rglob("*") if file.is_file()}


def file_response(files: Mapping[str, Path], name: str) -> Response:
    """One of `files`. Raises `Refusal` where there is none of that name."""
    file = files.get(name)
    if file is None:
        raise Refusal(404, "there is nothing here")
    kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    return Response(file.read_bytes(), headers={"Content-Type": f"{kind}{charset}", "Cache-Control": "no-cache"})
