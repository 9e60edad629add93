"""What to do when a server fails: whose fault it is, whether to ask again, and when.

Own code in place of stamina: its waiting is ``time.sleep``, so that what waits can't be called off, and its jitter adds
to the delay instead of spreading it, so that many who failed together come back together.
"""

from __future__ import annotations

import email.utils
import math
import random
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from vipcli.errors import ModelError

__all__ = ["AGAIN", "GONE", "Pause", "ServerError", "retried", "retry_after"]

T = TypeVar("T")

Pause = Callable[[threading.Event, float], object]
"""Waits so many seconds, or until the event is set: `threading.Event.wait`."""

AGAIN = frozenset([408, 409, 429, 500, 502, 503, 504])
"""HTTP statuses that may pass: worth asking again (those that OpenAI's own client tries again)."""

GONE = frozenset([401, 403, 404, 429, 502, 503, 504])
"""HTTP statuses that aren't about the one request: the others would most likely fail too."""

_TRIES = 5
_FIRST, _LONGEST = 1.0, 30.0  # seconds that the first wait may take, and any
_LONGEST_ASKED = 60.0  # seconds that a server may ask for


class ServerError(ModelError):
    """A server that didn't answer.

    status: the HTTP status it sent; None where there was none. again: whether it is worth another try; after: the
    seconds that the server asked to wait before. gone: whether others would fail too, since it isn't about the request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        again: bool | None = None,
        gone: bool | None = None,
        after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.again = status in AGAIN if again is None else again
        self.gone = status in GONE if gone is None else gone
        self.after = after


def retried(attempt: Callable[[], T], stopped: threading.Event, pause: Pause) -> T:
    """What `attempt` returns, tried up to five times where a `ServerError` says that this may help.

    Waits in between: at random up to 1 s, then up to twice that, and so on ("full jitter", AWS Architecture Blog,
    "Exponential Backoff And Jitter"), but at least as long as the server asks for. stopped: set when nobody wants the
    answer any more; ends the waiting too. Raises the last error.
    """
    for failed in range(1, _TRIES + 1):
        try:
            return attempt()
        except ServerError as error:
            if failed == _TRIES and error.again:
                error.args = (f"{error} (tried {failed} times)",)
            if failed == _TRIES or not error.again or stopped.is_set():
                raise
            pause(stopped, max(error.after or 0.0, random.uniform(0, min(_LONGEST, _FIRST * 2 ** (failed - 1)))))
            if stopped.is_set():
                raise
    raise AssertionError("the last try returns or raises")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds, at most 60, that a server asks to wait: ``Retry-After`` as a number or as a date (RFC 9110, 10.2.3).

    headers: with names in lower case, or of a kind that doesn't care. A date counts from the server's own ``Date``, so
    that clocks needn't agree.
    """
    asked = headers.get("retry-after", "")
    try:
        seconds = float(asked)
    except ValueError:
        try:
            now = email.utils.parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
            seconds = (email.utils.parsedate_to_datetime(asked) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):  # no date, or only one of the two has a zone
            return None
    return min(max(0.0, seconds), _LONGEST_ASKED) if math.isfinite(seconds) else None
