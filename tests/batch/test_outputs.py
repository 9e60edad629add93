"""What is made of a journal: tables, copies with the answers in them, the pictures of a report."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from markers.formats.samples import COCO_INSTANCES, VOC_OBJECT, YOLO_DATUMARO, write
from PIL import Image

from vipcli.batch import outputs
from vipcli.batch.asking import Asking
from vipcli.batch.items import MarkerText
from vipcli.batch.outputs import annotate, can_annotate, rows_in_order, to_report, to_table
from vipcli.batch.preparing import Facts
from vipcli.batch.sources import Source, open_source
from vipcli.errors import UsageError, VipError


def row(id: str, answer: str | None, **more: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": 9, "answer_tokens": 2, "finish": "stop"} if answer is not None else {}
    error = None if answer is not None else "it failed"
    known = {"id": id, "input": "00ff", "model": "tiny", "time": "2026-01-02T03:04:05+00:00", "fields": {}}
    return {**known, "answer": answer, "error": error, **counts, **more}


def journal(folder: Path, *rows: Mapping[str, Any]) -> Path:
    return write(folder, {"answers.jsonl": "".join(json.dumps(one) + "\n" for one in rows)}) / "answers.jsonl"


def opened(folder: Path, files: dict[str, str], asking: Asking | None = None) -> Source:
    return open_source([str(write(folder, files) / next(iter(files)))], asking or Asking("What is this?"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


LIST = {"list.txt": "a.jpg\nb.jpg\nc.jpg\n"}
MANIFEST = {
    "m.jsonl": '{"id": "x", "image": "sub/a.jpg", "question": "Is @1 it@@all?", "markers": "1,2,3,4", "n": [1]}\n'
    '{"image": "data:image/png;base64,AAAABBBBCCCCDDDDEEEEFFFF", "question": "Why?", "answer": "old"}\n'
    "no\n"
}


# The order


def test_rows_come_in_the_order_of_the_source_whatever_the_journals(tmp_path):
    source = opened(tmp_path, LIST)
    found = rows_in_order(source, journal(tmp_path, row("c.jpg", "C"), row("other", "X"), row("a.jpg", "A")), None)
    assert [(item.id, one["answer"]) for item, one in found] == [("a.jpg", "A"), ("c.jpg", "C")]


def test_the_last_error_counts_and_an_answer_before_any(tmp_path):
    source = opened(tmp_path, LIST)
    rows = [row("a.jpg", None), row("a.jpg", None, error="again"), row("b.jpg", "B"), row("b.jpg", None, error="twice")]
    found = [
        one for _, one in rows_in_order(source, journal(tmp_path, *rows, row("c.jpg", None), row("c.jpg", "")), None)
    ]
    assert [(one["answer"], one["error"]) for one in found] == [(None, "again"), ("B", None), ("", None)]


def test_an_id_that_stands_twice_has_one_row(tmp_path):
    source = opened(tmp_path, {"list.txt": "a.jpg\na.jpg\n"})
    assert len(list(rows_in_order(source, journal(tmp_path, row("a.jpg", "A"), row("a.jpg", None)), None))) == 1


# Tables


def test_a_table_has_the_columns_that_any_row_carries(tmp_path):
    source = opened(tmp_path, LIST)
    file = journal(tmp_path, row("b.jpg", "=1", fields={"k": 1}), row("a.jpg", None, fields={"l": "x"}))
    to_table(source, file, None, tmp_path / "t.csv", quote_formulas=True)
    with (tmp_path / "t.csv").open(newline="") as table:
        first, second = csv.DictReader(table)
    assert (first["id"], first["error"], first["k"], first["l"]) == ("a.jpg", "it failed", "", "x")
    assert (second["id"], second["answer"], second["k"]) == ("b.jpg", "'=1", "1")
    to_table(source, file, None, tmp_path / "t.PARQUET")
    assert (tmp_path / "t.PARQUET").read_bytes()[:4] == b"PAR1"


def test_a_table_that_cant_be_written_is_said(tmp_path):
    source, file = opened(tmp_path, LIST), journal(tmp_path, row("a.jpg", "A"))
    with pytest.raises(VipError, match=r"t\.csv can't be written: No such file or directory"):
        to_table(source, file, None, tmp_path / "none" / "t.csv")


# Copies with the answers


@pytest.mark.parametrize(
    ("files", "copy", "sentence"),
    [
        (LIST, "b.txt", "a list of pictures has no place for answers; name a .csv or .jsonl output"),
        ({"data.yaml": YOLO_DATUMARO["data.yaml"]}, "b.yaml", "yolo has no place for text"),
        (MANIFEST, "b.xlsx", "the copy of a list is a .jsonl or .csv file"),
        (MANIFEST, "m.jsonl", "that is the source itself; name another"),
        ({"r.jsonl": '{"custom_id": "a", "body": {}}'}, "b.csv", "responses are JSON lines; name a .jsonl file"),
    ],
)
def test_where_answers_have_no_place_is_said_before_any_work(tmp_path, files, copy, sentence):
    source = opened(tmp_path, files, Asking(None if "r.jsonl" in files else "What?"))
    with pytest.raises(UsageError) as caught:
        can_annotate(source, tmp_path / copy)
    assert sentence in str(caught.value)


def test_a_folder_that_holds_more_than_an_earlier_copy_is_refused_before_any_work(tmp_path):
    source = open_source([str(write(tmp_path, {"in/a.xml": VOC_OBJECT}) / "in")], Asking("What?"))
    for name in ("copy", "empty", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "copy" / "a.xml").write_text("an earlier copy")
    (tmp_path / "other" / "b.xml").write_text("mine")
    for name in ("new", "empty", "copy"):
        can_annotate(source, tmp_path / name)
    with pytest.raises(UsageError, match="other: is there already, and no copy alone"):
        can_annotate(source, tmp_path / "other")


def test_standard_input_and_pictures_have_no_copy():
    with pytest.raises(UsageError, match=r"--annotate: 2 pictures can't be written back"):
        can_annotate(open_source(["a.jpg", "b.jpg"], Asking("What?")), Path("b.jsonl"))


def copied(folder: Path, name: str, asking: Asking | None = None, **more: Any) -> tuple[Source, Path]:
    source = opened(folder, MANIFEST, asking or Asking())
    can_annotate(source, folder / name)
    file = journal(folder, row("line 2", "=Because"), row("x", "Yes", markers=["box:1,2,3,4@red"]), row("line 3", None))
    annotate(source, file, None, folder / name, **more)
    return source, folder / name


def test_a_manifests_copy_loses_nothing_and_is_a_manifest_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source, copy = copied(Path(), "copy.jsonl")
    first, second, third = lines(copy)
    assert first == {
        "id": "x",
        "image": "sub/a.jpg",
        "question": "Is @1 it@@all?",
        "markers": ["1,2,3,4"],
        "n": [1],
        "answer": "Yes",
        "error": None,
    }
    assert second["image"] == "data:image/png;base64,AAAABBBBCCCCDDDDEEEEFFFF"
    assert (second["answer"], second["vip_answer"]) == ("old", "=Because")
    assert third == {"id": "line 3", "image": None, "answer": None, "error": "it failed"}
    again = list(open_source([str(copy)], Asking()).items())
    asked = [(one.id, one.image, one.question, one.markers) for one in list(source.items())[:2]]
    assert [(one.id, one.image, one.question, one.markers) for one in again[:2]] == asked


@pytest.mark.parametrize("name", ["copy.jsonl", "deep/copy.csv"])
def test_a_copy_elsewhere_finds_the_same_pictures(tmp_path, name, monkeypatch):
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path)
    source = open_source([write(Path(), MANIFEST) and "m.jsonl"], Asking())
    annotate(source, journal(Path(), row("x", "Yes")), None, Path(name))
    first = next(open_source([name], Asking()).items())
    assert os.path.normpath(first.image) == "sub/a.jpg"


@pytest.mark.parametrize("name", ["copy.jsonl", "lists/copy.jsonl", "deep/copy.csv"])
def test_a_copy_elsewhere_finds_the_same_masks(tmp_path, name, monkeypatch):
    write(tmp_path, {"lists/m.jsonl": json.dumps({"image": "a.jpg", "markers": ["mask:a=cat.png@red", "1,2,3,4"]})})
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path)
    asking = Asking("Hm?", markers=(MarkerText("dog.png@blue", "mask"), MarkerText("https://x/y.png", "mask")))
    source = open_source(["lists/m.jsonl"], asking)
    annotate(source, journal(Path(), row("line 1", "Yes")), None, Path(name))
    (item,) = open_source([name], Asking()).items()
    found = [os.path.normpath(marker.text.removeprefix("mask:").removeprefix("a=")) for marker in item.markers]
    assert found == ["lists/cat.png@red", "1,2,3,4", "dog.png@blue", "https:/x/y.png"]


def test_a_copy_as_csv_has_the_same_in_columns(tmp_path):
    _, copy = copied(
        tmp_path, "copy.csv", Asking("{id}: @1?", markers=(MarkerText("5,6", "point"),)), quote_formulas=True
    )
    with copy.open(newline="") as file:
        first, second, third = csv.DictReader(file)
    assert (first["question"], first["markers"], first["n"]) == ("x: @1?", "1,2,3,4;point:5,6", "[1]")
    assert (second["answer"], second["vip_answer"], third["error"]) == ("old", "'=Because", "it failed")


def test_requests_get_a_line_of_openais_each(tmp_path):
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    files = {"r.jsonl": "".join(json.dumps({"custom_id": one, "body": body}) + "\n" for one in "ab") + "no\n"}
    source = opened(tmp_path, files, Asking())
    file = journal(tmp_path, row("b", None), row("line 3", None), row("a", "Hello"))
    annotate(source, file, None, tmp_path / "out.jsonl")
    first, second, third = lines(tmp_path / "out.jsonl")
    assert first["response"]["body"]["choices"][0]["message"]["content"] == "Hello"
    assert (second["custom_id"], second["error"]["message"]) == ("b", "it failed")
    assert third["custom_id"] == "line 3"


@pytest.mark.parametrize("each", [None, True, False])
def test_annotations_get_the_answers_where_they_belong(tmp_path, each):
    extra = (MarkerText("1,2", "point"),)
    source = opened(tmp_path, {"f.json": COCO_INSTANCES}, Asking("What?", each=each, markers=extra))
    items = list(source.items())
    file = journal(tmp_path, *(row(item.id, f"of {item.id}") for item in items[::-1]))
    annotate(source, file, None, tmp_path / "out.json")
    before, after = json.loads(COCO_INSTANCES), json.loads((tmp_path / "out.json").read_text())
    text = json.dumps(after)
    assert all(json.dumps(f"of {item.id}") in text for item in items)
    assert before["categories"] == after["categories"]
    assert [one["bbox"] for one in before["annotations"]] == [one["bbox"] for one in after["annotations"]]


def test_what_has_failed_has_no_answer_in_the_annotations(tmp_path):
    source = opened(tmp_path, {"a.xml": VOC_OBJECT})
    annotate(source, journal(tmp_path, row("a#1", None)), None, tmp_path / "out.xml")
    assert "it failed" not in (tmp_path / "out.xml").read_text()


def test_a_copy_that_cant_be_written_is_said_and_leaves_nothing(tmp_path):
    source = opened(tmp_path, MANIFEST, Asking())
    with pytest.raises(VipError, match="can't be written: No such file or directory"):
        annotate(source, journal(tmp_path, row("x", "Yes")), None, tmp_path / "none" / "copy.jsonl")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["answers.jsonl", "m.jsonl"]


# The pictures of a report


class Backwards:
    """Workers that do the last task first."""

    def __init__(self) -> None:
        self.tasks: deque[Any] = deque()
        self.most = 0

    def put(self, key, task, *inputs) -> None:
        self.tasks.append((key, task, inputs))
        self.most = max(self.most, len(self.tasks))

    def get(self, wait):  # noqa: ARG002
        key, task, inputs = self.tasks.pop()
        return key, VipError("it crashed") if key == 1 else task(*inputs)


def test_a_report_gets_its_thumbnails_in_order_and_not_too_many_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr("vipcli.batch.workers._AHEAD", 4)
    entries: list[Any] = []
    monkeypatch.setattr(outputs, "write_report", lambda _, found, **__: entries.extend(found))
    for number in range(9):
        Image.new("RGB", (10 + number, 10)).save(tmp_path / f"{number}.png")
    source = opened(tmp_path, {"m.csv": "image\n" + "".join(f"{n}.png\n" for n in range(9)) + "gone.png\n,\n"})
    file = journal(tmp_path, *(row(f"line {n}", "A") for n in range(12, 1, -1)))
    workers = Backwards()
    to_report(source, file, None, tmp_path / "r.html", workers, Facts(), {})
    assert [entry.row["id"] for entry in entries] == [f"line {n}" for n in range(2, 13)]
    sizes = [entry.thumbnail and Image.open(io.BytesIO(entry.thumbnail)).size[0] for entry in entries]
    assert sizes == [10, None, *range(12, 19), None, None], "of one whose process crashed there is none"
    assert workers.most == 4
