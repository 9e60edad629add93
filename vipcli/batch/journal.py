"""The answers as a journal: a JSON object a line, written at once, and the file that says what job they belong to.

Whatever happens at whatever moment, the lines that were written are whole but for the last one, which is repaired on
the next start; and what has an answer is not asked again. Beside ``answers.jsonl`` lie ``answers.jsonl.job`` (what was
asked of which model) and ``answers.jsonl.lock``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
import orjson

from vipcli.errors import OutputError, UsageError, VipError, quote
from vipcli.files import whole_file, write_whole

__all__ = ["DIGEST", "Journal", "read_rows", "row_at"]

DIGEST = 2**64 - 1  # those bits of `Journal.answered` that are an item's digest; the others are the mark of its line
_SYNC = 1.0  # seconds after which what was written is also on the disk, should the power fail


class Journal:
    """The answers of one job, open for writing by nobody else.

    path: of the file. job: what tells this job from others, as names and texts. answered: items by the hash of their
    id, with the digest that they had (64 bits) and, above it, the mark of their line (64 bits; 0 where none is known;
    see `vipcli.batch.recall`). Raises `UsageError` where the file belongs to another job or is being written,
    `VipError` where it can't be.
    """

    def __init__(self, path: Path, job: Mapping[str, str]) -> None:
        self._path, self._job = path, job
        self.answered: dict[int, int] = {}
        self.rows = 0
        self._lock = filelock.FileLock(f"{path}.lock", blocking=False)
        self._file = -1
        self._synced = time.monotonic()

    def check(self) -> None:
        """Raise what entering would, as far as it can be known without writing anything."""
        name = quote(str(self._path))
        if os.path.exists(f"{self._path}.lock"):
            self._acquire(name)
            self._lock.release()
        self._check_job(name)

    def __enter__(self) -> Journal:
        self.check()
        name = quote(str(self._path))
        self._acquire(name)
        try:
            if not self._check_job(name):
                write_whole(json.dumps(self._job, indent=1).encode(), f"{self._path}.job")
            self._repair()
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            self._lock.release()
            raise UsageError(f"--output {name}: can't be written: {error.strerror}") from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            os.fsync(self._file)
        os.close(self._file)
        self._lock.release()  # its file stays: who unlinks it may unlink the next one's

    def has(self, name: str) -> int | None:
        """The digest of the item called `name`, if it has been answered."""
        found = self.answered.get(hash(name))
        return None if found is None else found & DIGEST

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one line, at once. Raises `OutputError` where it can't be; then the lines before it are still whole."""
        line = json.dumps(row).encode() + b"\n"
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, end)
            raise OutputError(
                f"{quote(str(self._path))} can't be written: {error.strerror}; what it has is safe, and the same "
                "command goes on from there"
            ) from error
        self.rows += 1
        if time.monotonic() - self._synced > _SYNC:
            with contextlib.suppress(OSError):  # a device that knows no such thing
                os.fsync(self._file)
            self._synced = time.monotonic()

    def _acquire(self, name: str) -> None:
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise UsageError(f"--output {name}: another vip is writing it") from None
        except OSError as error:
            raise UsageError(f"--output {name}: can't be written: {error.strerror}") from error

    def _check_job(self, name: str) -> bool:
        """Whether there are answers of this job. Raises `UsageError` where those of another are, or what is no file."""
        if self._path.is_dir():
            raise UsageError(f"--output {name}: is a folder; name a file in it")
        if self._path.exists() and not self._path.is_file():  # reading a pipe would wait for ever
            raise UsageError(f"--output {name}: is a device or a pipe; name a file")
        file = Path(f"{self._path}.job")
        if self._path.exists() and self._path.stat().st_size:
            try:
                before = json.loads(file.read_text(encoding="utf-8"))
                assert isinstance(before, dict)
            except (OSError, ValueError, AssertionError):
                raise UsageError(
                    f"--output {name}: exists, and no {quote(file.name)} says what job it belongs to: name another file"
                ) from None
            changed = [
                f"{key} was {_said(before.get(key))} and is {_said(self._job.get(key))}"
                for key in {**before, **self._job}
                if _said(before.get(key)) != _said(self._job.get(key))
            ]
            if changed:
                raise UsageError(
                    f"--output {name}: has the answers of another job ({'; '.join(changed[:3])}): name another file"
                )
            return True
        return False

    def _repair(self) -> None:
        """Take in what was answered; drop a torn last line, errors (they are tried again) and what stands twice."""
        if not self._path.exists():
            return
        stays = bytearray()  # a flag for each line
        for _, row in _lines(self._path):
            found = _answered(row)
            stays.append(found is not None and found[0] not in self.answered)
            if found is not None and stays[-1]:
                self.answered[found[0]] = found[1]
        self.rows = len(self.answered)
        if not all(stays):
            with self._path.open("rb") as lines, whole_file(self._path) as file:
                file.writelines(itertools.compress(lines, stays))


def _said(value: Any) -> str:
    return "not set" if value in (None, "None") else quote(str(value))


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(where it begins in the file, row) of each whole line of a journal. Raises `VipError` where it can't be read."""
    at = 0
    try:
        for line, row in _lines(path):
            if row is not None:
                yield at, row
            at += len(line)
    except OSError as error:
        raise VipError(f"{quote(str(path))} can't be read: {error.strerror}") from error


def row_at(file: Any, begin: int) -> dict[str, Any]:
    """The row that begins at a place of an open journal."""
    file.seek(begin)
    row = _parsed(file.readline())
    assert row is not None
    return row


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Each line and its row; None where it isn't one, or is torn."""
    with path.open("rb") as file:
        for line in file:
            yield line, _parsed(line) if line.endswith(b"\n") else None


def _answered(row: dict[str, Any] | None) -> tuple[int, int] | None:
    """What to remember of an answer: the hash of its id, and its digest and mark; None of anything else."""
    if row is None or row.get("answer") is None:
        return None
    try:
        key, digest = hash(row["id"]), int(row["input"], 16)
    except (TypeError, ValueError):  # nothing that was written here
        return None
    try:
        return key, digest & DIGEST | int(row["line"], 16) << 64
    except (KeyError, TypeError, ValueError):  # of no line, or from before marks were written
        return key, digest


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            row = json.loads(line)  # it knows lone surrogates, from file names that aren't UTF-8
        except (ValueError, RecursionError):
            return None
    return row if isinstance(row, dict) and "id" in row and "input" in row else None
