"""`vipcli.batch.workers`: processes that outlive what crashes one of them, and nobody outlives."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import alive, children

from vipcli.batch import Workers, cores
from vipcli.errors import PictureError, VipError

CRASHED = "its picture crashed the process that opened it"


def double(number):
    return 2 * number


def crash(how):
    """End this process as a broken decoder might."""
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), how)


def whose(_):
    return os.getpid()


def fail(error):
    raise error


def large(size):
    return bytes(size)


def no_memory():
    raise MemoryError


class Copied:
    """What there is no memory for: here or, if it `leaves`, where it arrives."""

    def __init__(self, leaves):
        self._leaves = leaves

    def __reduce__(self):
        if not self._leaves:
            raise MemoryError
        return no_memory, ()


def everything(workers):
    """All that is still to come, by its key; an error as its sentence."""
    found = {}
    while (done := workers.get(wait=True)) is not None:
        key, value = done
        assert key not in found
        found[key] = str(value) if isinstance(value, VipError) else value
    return found


@pytest.fixture(scope="module")
def two():
    """Two processes, which the tests that don't harm them share."""
    with Workers(2) as workers:
        yield workers


def test_every_task_comes_out_once_with_its_key(two):
    for number in range(50):
        two.put(number, double, number)
    assert two.busy == 50
    assert everything(two) == {number: 2 * number for number in range(50)}
    assert two.busy == 0
    assert two.get(wait=True) is None, "where nothing is left, nobody waits"


def test_tasks_are_shared_out(two):
    for number in range(8):
        two.put(number, whose, None)
    pids = list(everything(two).values())
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    assert cores() >= 1


def test_who_does_not_wait_gets_what_is_ready_or_nothing(two):
    two.put("a", double, 1)
    until = time.monotonic() + 60
    while (done := two.get(wait=False)) is None:
        assert time.monotonic() < until
    assert done == ("a", 2)


def test_more_than_a_pipe_holds_goes_in_and_comes_out(two):
    for number in range(6):
        two.put(number, len, bytes(3_000_000))
        two.put(-number - 1, large, 3_000_000)
    found = everything(two)
    assert [found[number] for number in range(6)] == [3_000_000] * 6
    assert all(len(found[-number - 1]) == 3_000_000 for number in range(6))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PictureError("it is no picture"), "it is no picture"),
        (ValueError("one\n  two"), "it can't be prepared: one two"),
        (MemoryError(), "it can't be prepared: MemoryError"),
        (RecursionError("x" * 999), f"it can't be prepared: {'x' * 200}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_task_raises_is_one_sentence(two, error, sentence):
    two.put("a", fail, error)
    assert everything(two) == {"a": sentence}


def test_what_crashes_its_process_fails_alone(two):
    for number in range(20):
        if number in (0, 7, 8, 19):
            two.put(number, crash, ("segfault", signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT)[number % 4])
        else:
            two.put(number, double, number)
    found = everything(two)
    assert found == {number: CRASHED if number in (0, 7, 8, 19) else 2 * number for number in range(20)}


def test_what_cannot_be_handed_over_or_taken_fails_alone():
    with Workers(1) as one:
        for number, task, given in (
            (0, double, 0),
            (1, Copied, False),
            (2, double, 2),
            (3, Copied, True),
            (4, double, 4),
        ):
            one.put(number, task, given)
        sentence = "what was prepared can't be handed over: MemoryError"
        assert everything(one) == {0: 0, 1: sentence, 2: 4, 3: CRASHED, 4: 8}


def test_many_crashes_in_a_row_end():
    with Workers(1) as workers:
        for number in range(6):
            workers.put(number, crash, signal.SIGSEGV)
        workers.put("last", double, 4)
        assert everything(workers) == {**dict.fromkeys(range(6), CRASHED), "last": 8}


def test_a_process_that_dies_with_nothing_to_do_is_replaced():
    with Workers(1) as workers:
        workers.put("who", whose, None)
        os.kill(everything(workers)["who"], signal.SIGKILL)
        workers.put("a", double, 1)
        workers.put("b", double, 2)
        found = everything(workers)
        assert found["b"] == 4
        assert found["a"] in (2, CRASHED), "it may have been given to the one that was dying"


def test_they_end_with_the_block():
    with Workers(2) as workers:
        for number in range(4):
            workers.put(number, whose, None)
        pids = set(everything(workers).values())
        workers.put("long", time.sleep, 60)
    wait_until(lambda: not any(map(alive, pids)))


def test_ctrl_c_and_sigterm_do_not_reach_them():
    """From the first moment on: they are sent while the processes start, and again when they work."""
    script = (
        "import os, signal, sys, time\n"
        "from vipcli.batch import Workers\n"
        "came = []\n"
        "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, lambda number, _: came.append(number))\n"
        "if __name__ == '__main__':\n"
        "    with Workers(2) as workers:\n"
        "        for wait in range(40):\n"
        "            os.killpg(0, signal.SIGINT if wait % 2 else signal.SIGTERM)\n"
        "            if wait == 20:\n"
        "                for key in range(4): workers.put(key, abs, -key)\n"
        "            time.sleep(0.02)\n"
        "        found = sorted(workers.get(wait=True) for _ in range(4))\n"
        "    print(found, {signal.SIGINT, signal.SIGTERM} == set(came))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, start_new_session=True)
    assert (done.stdout, done.stderr) == ("[(0, 0), (1, 1), (2, 2), (3, 3)] True\n", "")


def test_they_end_when_the_one_that_started_them_is_killed():
    script = (
        "import time\n"
        "from vipcli.batch import Workers\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers(2)\n"
        "    for key in range(2): workers.put(key, abs, key)\n"
        "    workers.get(wait=True), workers.get(wait=True)\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        theirs = children(process.pid)
        assert len(theirs) >= 2
        process.kill()
    wait_until(lambda: not any(map(alive, theirs)))


def test_they_end_though_nobody_has_ended_them():
    """Or Python, which waits for its processes at its end, would do so for ever."""
    script = (
        "from vipcli.batch import Workers\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers(1)\n"
        "    workers.put('one', abs, -1)\n"
        "    print(workers.get(wait=True))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "('one', 1)\n", "")


def test_what_it_opens_is_not_passed_on_to_them(tmp_path):
    """Or a lock that is held there would outlive the one that took it."""
    held = os.open(tmp_path / "held", os.O_CREAT | os.O_RDWR)
    try:
        with Workers(1) as workers:
            workers.put("who", whose, None)
            pid = everything(workers)["who"]
            opened = {os.path.realpath(one) for one in Path(f"/proc/{pid}/fd").iterdir()}
    finally:
        os.close(held)
    assert str(tmp_path / "held") not in opened


def wait_until(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it didn't come to that"
        time.sleep(0.01)


def test_a_script_that_each_process_would_run_again_ends_in_one_sentence(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "from vipcli.batch import Workers\n"
        "with Workers(1) as workers:\n"
        "    workers.put(1, abs, -1)\n"
        "    workers.get(wait=True)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith(
            'a script must keep what it does under if __name__ == "__main__":, for each of these processes reads it'
        )
    )
    assert done.stderr.count("can't start") == 1
