"""The page for one picture, without a model: whoever has the address draws markers and hands them over.

Who may come in is up to the `Gate` of the server, with a token that is made for this one time.
"""

from __future__ import annotations

import re
import secrets
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
import uvicorn
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vipcli.errors import MarkerError, VipError, VipWarning, quote
from vipcli.markers import named, parse
from vipcli.server.connections import limited
from vipcli.server.files import file_response, page_files
from vipcli.server.gate import Gate
from vipcli.server.options import Limits, Options
from vipcli.server.refusals import Refusal, refused
from vipcli.server.running import hush, listen

if TYPE_CHECKING:
    import numpy as np

    from vipcli.markers import Marker

__all__ = ["pick", "picking_app"]

_MOST = 16 * 2**20  # bytes of all markers; more is no drawing by hand
_DRAWN = re.compile(r"[a-z]+:(\w[\w-]{0,63}=)?[0-9.]+(,[0-9.]+)*(@[a-z]+)?([@,]width=[0-9.]+)?")
"""What the page writes: a shell reads it as one word, without quotes, and `parse` opens no file for it."""


def pick(picture: np.ndarray, name: str, ready: Callable[[str], None]) -> tuple[Marker, ...]:
    """Serve the page for `picture`, called `name`, on a free port of this machine until its markers are handed over.

    picture: (height, width, 3) uint8 RGB. ready: called with the page's address. Raises `KeyboardInterrupt` on Ctrl-C.
    """
    handed: list[tuple[Marker, ...]] = []

    def done(markers: tuple[Marker, ...]) -> None:
        handed.append(markers)
        server.should_exit = True  # once this request is answered

    options = Options(token=secrets.token_urlsafe(24))
    listening = listen(options.host, 0)
    try:
        hush()
        app = picking_app(picture, name, done, options)
        http = limited(Limits(idle_seconds=300.0))
        config = uvicorn.Config(
            app, http=http, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False
        )
        config.timeout_graceful_shutdown = 5
        server = uvicorn.Server(config)
        ready(f"{listening.url}?token={options.token}")
        server.run([listening.socket])
    finally:
        listening.close()
    if not handed:
        raise KeyboardInterrupt
    return handed[0]


def picking_app(
    picture: np.ndarray, name: str, done: Callable[[tuple[Marker, ...]], None], options: Options
) -> FastAPI:
    """The application that `pick` serves. done: called with the markers when they are handed over, in pixels."""
    size = (picture.shape[1], picture.shape[0])
    files, png = page_files(), _png(picture)
    app = FastAPI(title="vip pick", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Gate, options=options)
    app.add_exception_handler(VipError, refused)
    app.add_exception_handler(HTTPException, refused)

    @app.get("/")
    async def page() -> Response:
        """The page, told what it is for."""
        text = files["index.html"].read_text(encoding="utf-8").replace('data-mode="ask"', 'data-mode="pick"', 1)
        return Response(text, media_type="text/html; charset=utf-8")

    @app.get("/static/{file:path}")
    async def static(file: str) -> Response:
        """What the page is made of."""
        return file_response(files, file)

    @app.get("/v1/picking")
    async def about() -> Response:
        """What the picture is called."""
        return Response(orjson.dumps({"name": quote(name)}), media_type="application/json")

    @app.get("/v1/picking/picture")
    async def show() -> Response:
        """The picture, upright: its pixels are those that the markers count."""
        return Response(png, media_type="image/png")

    @app.post("/v1/picked")
    async def picked(request: Request) -> Response:
        """The markers."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST:
                raise Refusal(413, "that is more than can be drawn by hand")
        done(_markers(bytes(body), size))
        return Response(b"{}", media_type="application/json")

    return app


def _markers(body: bytes, size: tuple[int, int]) -> tuple[Marker, ...]:
    try:
        texts = orjson.loads(body)["markers"]
    except (ValueError, KeyError, TypeError):
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, 'the body must be {"markers": [...]}, each a text', param="markers")
    for text in texts:
        if not _DRAWN.fullmatch(text):
            raise Refusal(400, f"{quote(text)}: no marker that the page draws", param="markers")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VipWarning)  # the user sees where they lie
            markers = tuple(parse(text, size) for text in texts)
        named(markers)
    except MarkerError as error:
        raise Refusal(400, str(error), param="markers") from error
    return markers


def _png(picture: np.ndarray) -> bytes:
    import cv2

    quick: Any = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quick)[1].tobytes()
