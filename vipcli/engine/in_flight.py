"""Many requests at a time, each in a thread of its own: what a server that batches by itself is asked with."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

from vipcli.engine.protocol import Answer, Feed, Job, Request, Result
from vipcli.engine.retrying import ServerError
from vipcli.errors import ModelError, VipError

__all__ = ["in_flight"]

_GONE_IN_A_ROW = 3  # so many requests that fail as any would: the others needn't be tried
_LOOK_SECONDS = 0.02  # how often a feed is asked again while there is room for more
_LEAVE_SECONDS = 1.0  # how long to wait for threads whose connections were cut


def in_flight(
    feed: Feed, answer: Callable[[Request], Answer], at_most: int, cut: Callable[[], None]
) -> Iterator[Result]:
    """Answer what `feed` gives, `at_most` at a time; yields each result as it comes.

    The feed is only asked from the caller's thread, and only waited for while nothing is in flight. answer: called in
    other threads; its `VipError` is a result. cut: makes those threads end, called when nobody wants more. Raises
    `ModelError` once three requests in a row fail as any would (`ServerError.gone`).
    """
    finished: queue.SimpleQueue[tuple[threading.Thread, Job, Answer | None, Exception | None]] = queue.SimpleQueue()
    threads: set[threading.Thread] = set()

    def work(job: Job) -> None:
        answered, failed = None, None
        try:
            answered = answer(job.request)
        except Exception as error:  # handed on, to the thread that asked
            failed = error
        finished.put((threading.current_thread(), job, answered, failed))

    try:
        gone = 0  # in here, since Ctrl-C at a jump to the first instruction of a `try` leaves it without its `finally`
        while True:
            while len(threads) < at_most and (taken := feed.take(wait=not threads)) is not None:
                thread = threading.Thread(target=work, args=(taken,), daemon=True)
                thread.start()
                threads.add(thread)
            if not threads:
                return
            try:
                thread, job, its, error = finished.get(timeout=_LOOK_SECONDS if len(threads) < at_most else None)
            except queue.Empty:
                continue
            threads.remove(thread)
            if error is not None and not isinstance(error, VipError):
                raise error
            yield Result(job.key, its, error)
            gone = gone + 1 if isinstance(error, ServerError) and error.gone else 0
            if gone == _GONE_IN_A_ROW:
                raise ModelError(f"{gone} requests in a row failed, and others would too: {error}")
    finally:
        cut()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
