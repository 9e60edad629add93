"""A server: one model loaded once, asked by many, in the words of OpenAI's API and with markers.

`app` has the endpoints; `gate` says who may come in, `asked` reads what they want and `replies` writes what they get.
In between, `pictures` (by way of `fetching`) finds a picture's bytes; at the `workbench`, by the processes of
`helpers`, it is opened and drawn on (`looking`); `preparing` writes the prompt, and `desk` hands the questions, fairly
(`line`), to the thread that owns the engine. `metrics` counts; `running` is the server itself, with
`connections` that don't wait for ever. `options` and `refusals` are the values of it all. Nothing here prints.

For this user's own ``vip ask`` there is a shorter way: `background` finds the server that runs, `warm` asks it, and
`beside` answers there.

FastAPI, uvicorn and prometheus-client load with `create_app` and `serve` alone (the extra ``serve``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vipcli.doors import door

if TYPE_CHECKING:
    from vipcli.server.app import create_app as create_app
    from vipcli.server.background import Running as Running
    from vipcli.server.background import announced as announced
    from vipcli.server.background import place_of as place_of
    from vipcli.server.background import servers_in as servers_in
    from vipcli.server.beside import Beside as Beside
    from vipcli.server.helpers import Helpers as Helpers
    from vipcli.server.options import Limits as Limits
    from vipcli.server.options import Options as Options
    from vipcli.server.running import Listening as Listening
    from vipcli.server.running import listen as listen
    from vipcli.server.running import serve as serve
    from vipcli.server.warm import Reply as Reply
    from vipcli.server.warm import Unable as Unable
    from vipcli.server.warm import ask_warm as ask_warm
    from vipcli.server.warm import is_well as is_well
    from vipcli.server.warm import tell_to_stop as tell_to_stop

__getattr__, __all__ = door(
    __name__,
    {
        "app": ("create_app",),
        "background": ("Running", "announced", "place_of", "servers_in"),
        "beside": ("Beside",),
        "helpers": ("Helpers",),
        "options": ("Limits", "Options"),
        "running": ("Listening", "listen", "serve"),
        "warm": ("Reply", "Unable", "ask_warm", "is_well", "tell_to_stop"),
    },
)
