"""`vipcli.batch.journal`: whole whatever happens to it, and of one job and one writer."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from batch.stubbed import Inline, Stub
from PIL import Image

from vipcli.batch import Asking, Facts, Journal, open_source, run
from vipcli.batch.journal import read_rows, row_at
from vipcli.errors import OutputError, UsageError, VipError

JOB = {"model": "tiny", "system": "None"}


def row(name, answer="yes", number=1, **more):
    return {"id": name, "answer": answer, "input": f"{number:016x}", **more}


def fill(path, rows, job=JOB):
    with Journal(path, job) as journal:
        for one in rows:
            journal.append(one)


def names(path):
    return [one["id"] for _, one in read_rows(path)]


def refused(path, job=JOB, kind=UsageError):
    """The sentence that opening a journal ends in."""
    with pytest.raises(kind) as caught, Journal(path, job):
        pass
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.jsonl"


def test_a_row_is_in_the_file_as_soon_as_it_is_appended(path):
    with Journal(path, JOB) as journal:
        journal.append(row("a", number=7))
        assert [json.loads(line) for line in path.read_text().splitlines()] == [row("a", number=7)]
        assert (journal.rows, journal.has("a")) == (1, None)
    with Journal(path, JOB) as journal:
        assert (journal.rows, journal.has("a"), journal.has("b")) == (1, 7, None)


def test_a_row_is_found_by_where_it_begins(path):
    fill(path, [row("a"), row("é\udcff"), row("c")])
    with path.open("rb") as file:
        found = {begin: row_at(file, begin)["id"] for begin, _ in read_rows(path)}
    assert list(found.values()) == ["a", "é\udcff", "c"]


def test_a_last_line_torn_at_any_byte_is_dropped(path):
    fill(path, [row("a"), row("b")])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        with Journal(path, JOB) as journal:
            assert (journal.has("a"), journal.has("b")) == (1, None)
            journal.append(row("b"))
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "damage",
    [b"\0" * 500, b"\0" * 500 + b"\n", b"\xff\xfe\n", b"[1]\n", b"{}\n", b'{"id": [], "answer": "x", "input": "1"}\n'],
    ids=["zeros", "a line of zeros", "no UTF-8", "a list", "no row", "an id that is none"],
)
def test_lines_that_are_no_rows_are_dropped(path, damage):
    fill(path, [row("a")])
    whole = path.read_bytes()
    path.write_bytes(damage + whole if damage.endswith(b"\n") else whole + damage)
    fill(path, [row("b")])
    assert names(path) == ["a", "b"]


@pytest.mark.parametrize("digest", ["zz", None, 5, ""])
def test_an_answer_without_a_digest_is_asked_for_again(path, digest):
    fill(path, [row("a"), row("b") | {"input": digest}])
    with Journal(path, JOB) as journal:
        assert (journal.has("a"), journal.has("b")) == (1, None)


@pytest.mark.parametrize("line", [None, 5, "zz", [], "", "00000000000000ff"])
def test_the_mark_of_a_line_lies_above_the_digest_and_may_be_missing(path, line):
    fill(path, [row("a", number=2**64 - 1, line=line), row("b", number=7)])
    with Journal(path, JOB) as journal:
        assert (journal.has("a"), journal.has("b"), journal.rows) == (2**64 - 1, 7, 2)
        mark = 255 if line == "00000000000000ff" else 0
        assert (journal.answered[hash("a")] >> 64, journal.answered[hash("b")] >> 64) == (mark, 0)


def test_what_stands_twice_stays_once(path):
    fill(path, [row("a"), row("b"), row("a", "no"), row("c"), row("b")])
    fill(path, [])
    assert [(one["id"], one["answer"]) for _, one in read_rows(path)] == [("a", "yes"), ("b", "yes"), ("c", "yes")]


def test_errors_are_dropped_and_the_rest_keeps_every_byte(path):
    fill(path, [row("a", shelf=7), row("b", None, error="no luck"), row("c", "")])
    kept = path.read_bytes().splitlines(keepends=True)
    with Journal(path, JOB) as journal:
        assert (journal.rows, journal.has("b"), journal.has("c")) == (2, None, 1)
    assert path.read_bytes() == kept[0] + kept[2]


def test_names_that_are_not_utf_8_are_kept(path):
    fill(path, [row("a\udcff.png"), row("\ud800"), row("plain")])
    with Journal(path, JOB) as journal:
        assert [journal.has(name) for name in ("a\udcff.png", "\ud800", "plain")] == [1, 1, 1]
    assert names(path) == ["a\udcff.png", "\ud800", "plain"]
    assert path.read_bytes().isascii()


def test_another_job_is_refused_and_says_what_differs(path):
    fill(path, [row("a")])
    before = path.read_bytes()
    sentence = refused(path, {"model": "7b", "system": "Hm\x1b[2J"})
    assert "has the answers of another job (model was tiny and is 7b; system was not set and is Hm\\x1b[2J)" in sentence
    assert "seed was not set and is 4" in refused(path, {**JOB, "seed": "4"})
    assert path.read_bytes() == before
    fill(path, [row("b")])


def test_answers_that_belong_to_no_job_are_refused(path):
    path.write_text("mine\n")
    assert "no out.jsonl.job says what job it belongs to" in refused(path)
    Path(f"{path}.job").write_text("[]")
    assert "no out.jsonl.job says" in refused(path)
    assert path.read_text() == "mine\n"


def test_a_file_without_answers_takes_any_job(path):
    fill(path, [])
    fill(path, [row("a")], {"model": "7b"})
    fill(path, [], {"model": "7b"})


def test_a_second_writer_is_refused_until_the_first_has_ended(path):
    script = (
        "import sys; from pathlib import Path; from vipcli.batch import Journal\n"
        "with Journal(Path(sys.argv[1]), {'model': 'tiny', 'system': 'None'}) as journal:\n"
        "    print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        assert refused(path) == f"--output {path}: another vip is writing it"
        other.kill()  # a lock that was left behind would be in the way for ever
        other.wait()
    fill(path, [row("a")])
    with Journal(path, JOB):
        assert "another vip is writing it" in refused(path)


def test_a_folder_and_a_pipe_are_refused_at_once(tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is a folder" in refused(tmp_path / "folder.jsonl")
    assert "is a device or a pipe" in refused(tmp_path / "pipe.jsonl")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_line_that_does_not_fit_is_taken_back(path):
    fill(path, [row("a")])
    before = path.read_bytes()
    with Journal(path, JOB) as journal, file_size(len(before) + 40):  # the write ends in the middle of the line
        with pytest.raises(OutputError, match="can't be written: File too large; what it has is safe"):
            journal.append(row("b", "x" * 99))
        assert path.read_bytes() == before
        assert journal.rows == 1


@contextmanager
def file_size(limit):
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# -- On file systems of their own


@contextmanager
def mounted(folder, options):
    """A file system in memory; where that isn't permitted, the test is left out."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting isn't permitted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 kB."""
    with mounted(tmp_path / "disk", "size=64k"):
        yield tmp_path / "disk"


def test_a_disk_that_fills_up_leaves_a_whole_journal_and_a_later_run_finishes(disk, tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "dot.png")
    rows = [json.dumps({"id": number, "image": "dot.png", "question": f"Hm {number}?"}) for number in range(300)]
    (tmp_path / "list.jsonl").write_text("\n".join(rows))
    out = disk / "out.jsonl"

    def answered():
        source = open_source([str(tmp_path / "list.jsonl")], Asking())
        with Journal(out, JOB) as journal, Inline() as workers:
            for _ in run(source, Stub(), journal, workers, Facts(28)):
                pass

    with pytest.raises(VipError, match="No space left on device; what it has is safe") as caught:
        answered()
    assert str(caught.value).isprintable()
    assert out.read_bytes().endswith(b"\n")
    done = names(out)
    assert 50 < len(done) < 300
    with pytest.raises(VipError, match="No space left"):
        answered()
    assert names(out) == done
    subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
    answered()
    assert sorted(names(out), key=int) == [str(number) for number in range(300)]


def test_where_a_full_disk_has_no_room_for_a_repair_the_journal_stays_as_it_was(disk):
    out = disk / "out.jsonl"
    fill(out, [row(str(number), "x" * 900) for number in range(40)])
    with out.open("ab") as file:
        file.write(b'{"torn')
    before = out.read_bytes()
    assert "No space left on device" in refused(out)
    assert out.read_bytes() == before
    assert sorted(file.name for file in disk.iterdir()) == ["out.jsonl", "out.jsonl.job", "out.jsonl.lock"]


def test_a_full_disk_is_said_before_the_work_begins(disk):
    with pytest.raises(OSError, match="No space"):
        (disk / "else").write_bytes(bytes(99_999))
    assert "No space left on device" in refused(disk / "out.jsonl")


def test_a_read_only_file_system_is_said(tmp_path):
    with mounted(tmp_path / "disk", "ro"):
        assert "can't be written: Read-only file system" in refused(tmp_path / "disk" / "out.jsonl")
