"""Batches of a training, drawn by processes beside it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from vipcli.errors import VipError
from vipcli.training.assembling import Prepared
from vipcli.training.samples import Picked, Samples, collate, plan

__all__ = ["draw_batches"]


def draw_batches(
    prepared: Prepared, stack: ExitStack, step: int, world: int, rank: int, *, pinned: bool
) -> Iterator[dict[str, Any]]:
    """The batches of process `rank` of `world` from `step` on, as `collate` makes them.

    stack: with it the processes that draw end. pinned: into memory that a GPU copies from. Raises `VipError` where a
    sample can't be drawn any more.
    """
    its = prepared.settings.train
    each = its.accumulate * world
    batches = plan(prepared.sources, its.batch, its.seed)
    can_fork = "fork" in multiprocessing.get_all_start_methods()  # the samples' sources don't travel otherwise
    workers = its.workers if can_fork else 0
    cv2.setNumThreads(1)  # a process that is forked with OpenCV's threads at work waits for them for ever
    loader = DataLoader(
        _Caught(Samples(prepared.sources, prepared.encoder, its.seed)),
        batch_sampler=_Sliced(batches, step * each + rank, its.steps * each, world),
        collate_fn=partial(_collated, prepared.encoder, fixed=its.compile),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_begin_worker,
        pin_memory=pinned,
    )
    drawn = _started(loader)
    _end_with(stack, drawn)
    return map(_drawn, drawn)


def _started(loader: DataLoader) -> Any:
    """Start the processes of `loader`, all or none. Raises `VipError` where the machine has no room for them."""
    before = set(multiprocessing.active_children())
    try:
        return iter(loader)
    except OSError as error:  # descriptors, processes or memory
        for worker in set(multiprocessing.active_children()) - before:
            worker.kill()  # they ignore SIGTERM, and Python would wait for them at its exit
        # Torch's iterator, which is half made, prints a traceback when it is forgotten before the exit.
        atexit.register(lambda _: None, error)
        raise VipError(
            f"{loader.num_workers} processes that draw can't be started ({error.strerror}): lower train.workers"
        ) from None


class _Sliced:
    """A batch sampler: every so many batches of an endless plan."""

    def __init__(self, batches: Iterator[list[Picked]], start: int, stop: int, step: int) -> None:
        self._batches, self._slice = batches, (start, stop, step)

    def __iter__(self) -> Iterator[list[Picked]]:
        return islice(self._batches, *self._slice)

    def __len__(self) -> int:
        return len(range(*self._slice))


class _Caught(Dataset):
    """Samples, and in the place of those that can't be drawn the error: torch would wrap it into a traceback."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __getitem__(self, picked: Picked) -> Any:
        try:
            return self._samples[picked]
        except VipError as error:
            return VipError(f"a sample can't be drawn any more: {error}")


def _collated(encoder: Any, drawn: list[Any], *, fixed: bool) -> Any:
    error = next((one for one in drawn if isinstance(one, VipError)), None)
    return error or collate(encoder, drawn, fixed=fixed)


def _drawn(batch: Any) -> dict[str, Any]:
    if isinstance(batch, VipError):
        raise batch
    return batch


def _begin_worker(_: int) -> None:
    torch.set_num_threads(1)
    os.nice(5)  # who learns comes first, and waits for samples where there are too few
    for number in (signal.SIGINT, signal.SIGTERM):  # they may reach all processes; the training itself ends these
        signal.signal(number, signal.SIG_IGN)


def _end_with(stack: ExitStack, drawn: Any) -> None:
    """End the processes behind `drawn` with `stack`, or else with this process.

    Left to itself torch ends them once nothing refers to `drawn`, and the traceback of an error does for long. At its
    exit Python would then send them SIGTERM, which they ignore, and wait for them for ever.
    """

    def end() -> None:
        if workers := getattr(drawn, "_workers", ()):  # none where this process draws by itself
            drawn._shutdown_workers()
        for worker in workers:
            worker.kill()  # one that hangs

    atexit.register(end)
    stack.callback(atexit.unregister, end)
    stack.callback(end)
