"""`vipcli.batch.recall`: answered lines are left out early, and never where they would have been asked or refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch.stubbed import Inline, Stub
from PIL import Image

from vipcli.batch import Asking, Facts, Journal, MarkerText, manifests, open_source, run
from vipcli.errors import UsageError

LINES = [
    '{"id": "a", "image": "dot.png", "question": "Hm?", "n": 1}',
    '{"id": 7, "image": "dot.png", "question": "Hm {id}?", "markers": ["box:1,2,9,9"]}',
    '{"image": "dot.png", "question": "Hm?"}',
    '{"id": "", "image": "dot.png", "question": "Hm?"}',
    "",
    '{"image": "dot.png", "question": "Two?", "markers": ["box:1,2,9,9", "point:cat=5,5"]}',
    '{"id": 1.5, "image": "dot.png", "question": "Hm?"}',
    '{"id": 123456789012345678901234567890, "image": "dot.png", "question": "Hm?"}',
    '{"id": "nan", "image": "dot.png", "question": "Hm?", "n": NaN}',
    '{"id": "\\ud800", "image": "dot.png", "question": "é \\udc00?"}',
    '{"id": "first", "id": "last", "image": "gone.png", "image": "other.png", "question": "Hm?"}',
]
FIRST, *REST = LINES
BIG = "123456789012345678901234567890"


def swap(number: int, *texts: str) -> list[str]:
    return [*LINES[:number], LINES[number].replace(*texts), *LINES[number + 1 :]]


CHANGES: dict[str, list[str]] = {
    "nothing": LINES,
    "new lines": ['{"id": "new", "image": "dot.png", "question": "Hm?"}', *LINES[:2]],
    "an answered line again": [*LINES, FIRST],
    "an answered line with other spaces": swap(0, ", ", ",  "),
    "a field": swap(0, '"n": 1', '"n": 2'),
    "a field, as another line again": [*LINES, FIRST.replace('"n": 1', '"n": 2')],
    "a question": swap(0, "Hm?", "Else?"),
    "a question, as another line again": [*LINES, FIRST.replace("Hm?", "Else?")],
    "a marker": swap(1, "1,2,9,9", "1,2,9,8"),
    "another picture": swap(0, "dot.png", "other.png"),
    "a picture that isn't there": swap(0, "dot.png", "gone.png"),
    "an id": swap(0, '"a"', '"b"'),
    "an id that another line had": [LINES[1].replace("7", '"a"')],
    "a number as text": swap(1, "7", '"7"'),
    "a number that only looks the same": swap(7, BIG, f"{BIG[:-1]}1"),
    "other numbers of lines": ["", *LINES],
    "lines in another order": [*LINES[:2], LINES[3], LINES[2], *LINES[4:]],
    "no object": swap(0, FIRST, "[1]"),
    "no image": swap(0, '"image"', '"picture"'),
    "an id of no kind": swap(0, '"a"', "true"),
}
ASKED: dict[str, Asking] = {
    "the same": Asking(),
    "a question": Asking("Else?"),
    "for each": Asking(each=True),
    "a marker": Asking(markers=(MarkerText("1,2", "point"),)),
    "other units": Asking(coords="percent"),
    "other boxes": Asking(box_format="xywh"),
}
CASES = [(change, "the same") for change in CHANGES] + [("nothing", asked) for asked in ASKED]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (30, 20)).save(tmp_path / "dot.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "other.png")
    return tmp_path


def job(folder: Path, lines: list[str], out: Path, asking: Asking | None = None) -> Any:
    """What comes of a job: the rows of what was asked and how many were left out, or the sentence of a refusal."""
    path = folder / "list.jsonl"
    path.write_text("\n".join(lines))
    rows = []
    try:
        with Journal(out, {}) as journal, Inline() as workers:
            events = run(open_source([str(path)], asking or Asking()), Stub(), journal, workers, Facts(28))
            while True:
                rows.append(next(events).row | {"time": None, "seconds": None})
    except StopIteration as end:
        return rows, end.value
    except UsageError as error:
        return str(error)


def without_marks(out: Path, old: Path) -> Path:
    """The journal as it was written before there were marks."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert all("line" in row for row in rows if row["answer"] is not None)
    old.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "line"}) + "\n" for row in rows))
    Path(f"{old}.job").write_bytes(Path(f"{out}.job").read_bytes())
    return old


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The lines of which items are made."""
    found: list[str] = []
    items = manifests._items

    def noted(*given: Any) -> Any:
        found.append(given[2])
        return items(*given)

    monkeypatch.setattr(manifests, "_items", noted)
    return found


def test_of_answered_lines_no_items_are_made(folder, read):
    out = folder / "out.jsonl"
    rows, skipped = job(folder, LINES, out)
    assert (len(rows), skipped, len(read)) == (10, 0, 10)
    assert {row["id"] for row in rows} >= {"a", "7", "line 3", "line 4", "last", BIG, "\ud800"}
    read.clear()
    assert job(folder, LINES, out) == ([], 10)
    odd = [6, 7, 8, 9]  # numbers with a point or too large, and what isn't JSON: they take the long way
    assert read == [f"list.jsonl, line {number + 1}" for number in odd]
    read.clear()
    assert job(folder, LINES, without_marks(out, folder / "old.jsonl")) == ([], 10)
    assert len(read) == 10


@pytest.mark.parametrize(("change", "asked"), CASES)
def test_whatever_has_changed_comes_out_as_without_marks(folder, change, asked):
    out = folder / "out.jsonl"
    job(folder, LINES, out)
    old = without_marks(out, folder / "old.jsonl")
    assert job(folder, CHANGES[change], out, ASKED[asked]) == job(folder, CHANGES[change], old, ASKED[asked])
    assert out.read_text().count("\n") == old.read_text().count("\n")


def test_a_picture_of_another_size_is_seen(folder):
    out = folder / "out.jsonl"
    job(folder, LINES, out)
    with (folder / "dot.png").open("ab") as file:
        file.write(b"\0")
    assert job(folder, LINES, out) == (
        "list.jsonl, line 1: its picture, markers or question have changed since it was answered: name another --output"
    )
    os.unlink(folder / "dot.png")
    assert "line 1: its picture, markers or question have changed" in job(folder, LINES, out)


def test_another_folder_of_pictures_is_seen(folder):
    out, path = folder / "out.jsonl", folder / "list.jsonl"
    job(folder, LINES, out)
    (folder / "copy").mkdir()
    for name in ("dot.png", "other.png"):
        (folder / "copy" / name).write_bytes((folder / name).read_bytes())
    with Journal(out, {}) as journal, Inline() as workers:
        source = open_source([str(path)], Asking(), images=str(folder / "copy"))
        with pytest.raises(UsageError, match="have changed since it was answered"):
            list(run(source, Stub(), journal, workers, Facts(28)))


def test_a_journal_of_both_kinds_is_gone_on_with(folder, read):
    out = folder / "out.jsonl"
    job(folder, LINES[:2], out)
    job(folder, LINES[:4], without_marks(out, folder / "old.jsonl"))
    read.clear()
    assert job(folder, LINES[:4], folder / "old.jsonl") == ([], 4)
    assert read == ["list.jsonl, line 1", "list.jsonl, line 2"]


def test_a_sample_of_answered_lines_is_left_out_too(folder):
    out = folder / "out.jsonl"
    job(folder, LINES, out)
    with Journal(out, {}) as journal, Inline() as workers:
        source = open_source([str(folder / "list.jsonl")], Asking())
        assert list(run(source, Stub(), journal, workers, Facts(28), sample=3)) == []
