"""The job on a cluster, by Ray Data: blocks of items -> a pool of actors, each with the model -> rows for the journal.

The journal stays here, with whoever started the job; the machines answer, and must find the pictures and the model
under the same names. An actor that dies loses nothing, since Ray has its blocks done once more.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import socket
import warnings
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from vipcli.batch.items import Item
from vipcli.batch.preparing import Facts
from vipcli.batch.recording import Event, Recorder
from vipcli.batch.runner import run
from vipcli.batch.sources import Source
from vipcli.batch.workers import Workers
from vipcli.errors import MissingExtra, ModelError, UsageError, VipError, quote

if TYPE_CHECKING:
    import pyarrow

    from vipcli.batch.journal import Journal

__all__ = ["Work", "cluster", "run_on_ray"]

_BLOCK = 64  # items that an actor answers together; what one has in hand when it dies is asked again
_RETRIES = 2  # of a block whose actor dies, by Ray
_HELPERS = 8  # processes at most that prepare items for one actor
_PATIENCE = 10.0  # seconds for a cluster to be reached
_FATAL = -1  # the number of a row that says why no item can be answered


@dataclass(frozen=True)
class Work:
    """What actors do, as it travels to them.

    ref, placing: as for `vipcli.engine.open_engine`. facts: but for what the model itself says. asking: keyword
    arguments of `vipcli.batch.run`. folder: what relative paths of pictures start from.
    """

    ref: str
    placing: dict[str, Any]
    facts: Facts
    asking: dict[str, Any]
    folder: str = field(default_factory=os.getcwd)


def run_on_ray(
    source: Source,
    work: Work,
    name: str,
    journal: Journal,
    *,
    address: str | None = None,
    actors: int | None = None,
    sample: int | None = None,
) -> Generator[Event, None, int]:
    """Do what `vipcli.batch.run` does on a Ray cluster: the same events, the same rows in `journal`.

    name: of the model. address: of the cluster; None: the one that is already there, else this machine alone. actors:
    how many have the model; None: one for each GPU, or each machine where there is none. Raises `MissingExtra` without
    Ray, `ModelError` where the cluster or the model fails.
    """
    recorder = Recorder(source, sample, journal, name)
    with cluster(address) as ray:
        blocks, left = [], 0  # they lie in Ray's store, which spills to the disk
        while block := list(islice(recorder.items, _BLOCK)):
            blocks.append(ray.put(_table(enumerate(block, left))))
            left += len(block)
            yield from recorder.events()
        yield from recorder.events()
        waiting = set(range(left))
        pool = _Pool.of(ray, work, actors)
        for number, row in _rows(blocks, work, pool) if waiting else ():
            if number in waiting:  # else it is there already, from before its actor died
                waiting.remove(number)
                recorder.write(row)
                yield from recorder.events()
        # What a block failed with, each time: one by one, so that one item alone is blamed.
        tables = (ray.get(block) for block in blocks) if waiting else ()
        alone = [ray.put(one) for table in tables for one in _split(table) if one["number"][0].as_py() in waiting]
        for number, row in _rows(alone, work, replace(pool, block=1, ahead=1)) if alone else ():
            if number in waiting:
                waiting.remove(number)
                recorder.write(row)
                yield from recorder.events()
        for number, item in (pair for block in alone for pair in _items(ray.get(block))):
            if number in waiting:
                recorder.failed(item, ModelError("every process that answered it died"))
                yield from recorder.events()
    return recorder.items.skipped


@dataclass(frozen=True)
class _Pool:
    """The actors of a job: how many, what each is given, how many items are a block, and how many blocks each has."""

    actors: int
    cpus: int
    gpus: int
    block: int
    ahead: int = 2

    @classmethod
    def of(cls, ray: Any, work: Work, actors: int | None) -> _Pool:
        """As many `actors` as were asked for, else as the cluster has room for."""
        machines = [one["Resources"] for one in ray.nodes() if one["Alive"]]
        gpus = int(sum(one.get("GPU", 0) for one in machines))
        wants_gpu = gpus > 0 and not work.placing.get("device", "auto").startswith(("cpu", "mps"))
        count = actors or (gpus if wants_gpu else len(machines))
        here = -(-count // len(machines))  # on one machine
        cpus = int(min(one.get("CPU", 1) for one in machines)) // here
        return cls(count, max(1, cpus), int(wants_gpu), _BLOCK)


class _Answerer:
    """An actor: the model, and processes that prepare for it."""

    def __init__(self, work: Work, pool: _Pool) -> None:
        from vipcli.engine import open_engine

        with contextlib.suppress(OSError):  # another machine needn't have it
            os.chdir(work.folder)
        self._work, self._broken = work, ""
        self._workers = Workers(min(_HELPERS, max(1, pool.cpus - 1)))
        try:
            self._engine = open_engine(work.ref, **work.placing)
        except VipError as error:
            self._broken = str(error)
            return
        engine = self._engine
        self._facts = replace(
            work.facts, side=engine.side, patch=engine.patch, special_tokens=frozenset(engine.special_tokens)
        )

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """A block of items -> their rows, as JSON."""
        import pyarrow

        numbers = {item.id: number for number, item in _items(table)}
        source = Source("a block", None, lambda: iter(item for _, item in _items(table)))
        journal: Any = _Nowhere()
        rows: list[tuple[int, str]] = []
        try:
            if self._broken:
                raise ModelError(self._broken)
            for event in run(source, self._engine, journal, self._workers, self._facts, **self._work.asking):
                rows.append((numbers[event.row["id"]], json.dumps(event.row)))
        except VipError as error:
            rows.append((_FATAL, json.dumps(str(error))))
        return pyarrow.table({"number": [number for number, _ in rows], "row": [row for _, row in rows]})


class _Nowhere:
    """The journal of an actor, which has none."""

    answered: ClassVar[dict[int, int]] = {}

    def has(self, _: str) -> None:
        """Nothing was answered before."""

    def append(self, _: dict[str, Any]) -> None:
        """The driver writes it down."""


def _rows(blocks: list[Any], work: Work, pool: _Pool) -> Iterator[tuple[int, Any]]:
    """(number, row) of what the actors answer, in any order; of a block that killed all who tried it, nothing."""
    import ray.data

    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1
    with ray.data.DataContext.current(context), warnings.catch_warnings():
        # Ray 2.64 will have another way to say how often a task is tried again than 2.60, which has this one alone.
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        answered = ray.data.from_arrow_refs(blocks).map_batches(
            _Answerer,
            fn_constructor_args=(work, pool),
            batch_size=pool.block,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=pool.actors, max_tasks_in_flight_per_actor=pool.ahead),
            max_task_retries=_RETRIES,
            num_gpus=pool.gpus or None,
            num_cpus=None if pool.gpus else pool.cpus,
        )
    try:
        table: Any
        for table in answered.iter_batches(batch_size=None, batch_format="pyarrow"):
            for number, row in zip(table["number"].to_pylist(), table["row"].to_pylist(), strict=True):
                if number == _FATAL:
                    raise ModelError(json.loads(row))
                yield number, json.loads(row)
    except ray.exceptions.RayError as error:
        raise ModelError(f"Ray: {_first_line(error)}") from error


def _table(items: Iterable[tuple[int, Item]]) -> pyarrow.Table:
    """Numbered items as a block."""
    import pyarrow

    pairs = list(items)
    return pyarrow.table({"number": [number for number, _ in pairs], "item": [pickle.dumps(item) for _, item in pairs]})


def _split(table: pyarrow.Table) -> Iterator[pyarrow.Table]:
    """A block as blocks of one item."""
    return (table.take([place]) for place in range(len(table)))


def _items(table: pyarrow.Table) -> list[tuple[int, Item]]:
    """The numbered items of a block, which was made here."""
    return [
        (number, pickle.loads(item))
        for number, item in zip(table["number"].to_pylist(), table["item"].to_pylist(), strict=True)
    ]


@contextlib.contextmanager
def cluster(address: str | None, **options: Any) -> Iterator[Any]:
    """Ray, connected to the cluster; what was connected here is let go again.

    address, options: of ``ray.init``. Raises `MissingExtra` without Ray, `UsageError` where no cluster is there.
    """
    # Read when Ray is imported: nothing is reported to its makers, and nothing printed between our own lines.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("--engine ray", "'vipcli[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    try:
        host, _, port = (address or "").removeprefix("ray://").rpartition(":")
        if port.isdigit():  # Ray itself would try for a quarter of an hour
            socket.create_connection((host, int(port)), _PATIENCE).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        where = "" if address is None else f" --ray-address {quote(address)}"
        raise UsageError(f"--engine ray{where}: {_first_line(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _first_line(error: BaseException) -> str:
    return quote(next((line for line in str(error).splitlines() if line.strip()), type(error).__name__), 200)
