"""The short form of `tests/soak.py`."""

from __future__ import annotations

import soak

from vipcli.benchmark.serving import served


def test_a_server_that_is_asked_for_long_does_not_grow():
    with served("tiny") as (url, environment):
        (pid,) = soak.servers(environment)
        done = soak.soak(url, pid, 20, 1)
    assert not done.faults
    assert done.moments[-1].answers > 15
    assert done.drift < soak.FLAT, done.moments
