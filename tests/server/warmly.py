"""A server that this user's own ``vip ask`` finds, in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.serving import HELPERS, wait_for

from vipcli.engine import identity, resolve
from vipcli.server import Beside, Options, Running, announced, create_app, place_of, serve, servers_in

AS_USUAL: dict[str, str | None] = {"device": "auto", "dtype": "auto", "device_map": None, "load_in": None}


@dataclass
class Nearby:
    """A server that runs. asked: how many questions came by the short way."""

    folder: Path
    server: Any
    thread: threading.Thread
    asked: int = 0

    @property
    def running(self) -> Running:
        """As its file says."""
        (one,) = servers_in(self.folder)
        return one


@contextmanager
def nearby(
    folder: Path, engine: Any, model: str = "tiny", idle: float | None = None, url: str | None = None
) -> Iterator[Nearby]:
    """A server around `engine`, announced in `folder` as having `model`."""
    place = place_of(identity(resolve(model)) or "", engine, **AS_USUAL)
    options = Options()
    with announced(folder, model, place, url) as (sock, secret):
        app = create_app(engine, options, HELPERS)
        its = Beside(app, engine, secret, idle)
        started: list[Any] = []

        def ready(server: Any) -> None:
            its.ready(server)
            started.append(server)

        thread = threading.Thread(target=serve, args=(its, None, options, ready, [sock]), daemon=True)
        thread.start()
        wait_for(lambda: started and started[0].started)
        near = Nearby(folder, started[0], thread)
        submit = app.state.desk.submit

        def counted(ticket: Any) -> None:
            near.asked += 1
            submit(ticket)

        app.state.desk.submit = counted
        try:
            yield near
        finally:
            started[0].stop()
            thread.join(20)
            assert not thread.is_alive(), "it has ended"
