"""Answers as CSV and Parquet, read back by those who read them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from vipcli.batch import tables
from vipcli.batch.tables import need_pyarrow, write_csv, write_csv_copy, write_parquet
from vipcli.errors import MissingExtra, VipError

ROW = {
    "id": "a",
    "image": "a.jpg",
    "markers": ["box:1,2,3,4@red", "point:5,6@blue"],
    "question": "Is it?",
    "prompt": "USER: Is it?",
    "answer": "Yes",
    "finish": "stop",
    "model": "tiny",
    "prompt_tokens": 9,
    "answer_tokens": 2,
    "seconds": 0.25,
    "warnings": ["one", "two"],
    "error": None,
    "time": "2026-01-02T03:04:05+00:00",
    "fields": {"label": "cat"},
}
FAILED = {"id": "b", "image": None, "question": None, "answer": None, "error": "gone", "fields": {}}
HOSTILE = [
    '=cmd|"/c calc"!A1',
    "a,b;c",
    'say "hi"',
    "two\nlines\r\nthree\rfour",
    "\0\x1b[31m",
    "<script>",
    "'",
    "",
    "🐕",
]


def as_csv(path: Path, rows: list[dict[str, Any]], carried: list[str], quoted: bool = False) -> list[dict[str, str]]:
    write_csv(rows, carried, path / "a.csv", quote_formulas=quoted)
    with (path / "a.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def as_parquet(path: Path, rows: list[dict[str, Any]], carried: list[str]) -> list[dict[str, Any]]:
    write_parquet(rows, carried, path / "a.parquet")
    return pyarrow.parquet.read_table(path / "a.parquet").to_pylist()


def test_a_csv_file_reads_back_with_our_columns_and_then_the_manifests(tmp_path):
    first, second = as_csv(tmp_path, [ROW, FAILED], ["label", "gone"])
    assert list(first)[:3] == ["id", "image", "question"]
    assert list(first)[-2:] == ["label", "gone"]
    assert first["markers"] == "box:1,2,3,4@red\npoint:5,6@blue"
    assert (first["answer"], first["seconds"], first["label"], first["gone"]) == ("Yes", "0.25", "cat", "")
    assert (second["id"], second["answer"], second["error"]) == ("b", "", "gone")


def test_a_parquet_file_reads_back_with_its_types(tmp_path):
    first, second = as_parquet(tmp_path, [ROW, FAILED], ["label"])
    assert (first["prompt_tokens"], first["seconds"], first["warnings"], first["label"]) == (9, 0.25, "one\ntwo", "cat")
    assert (second["answer"], second["prompt_tokens"], second["label"], second["image"]) == (None, None, None, None)


def test_what_is_no_text_is_carried_as_json(tmp_path):
    values = {"n": 1.5, "yes": True, "list": [1, "ü"], "none": None, "text": "1"}
    wanted = {"n": "1.5", "yes": "true", "list": '[1, "ü"]', "none": None, "text": "1"}
    row = {**ROW, "fields": values}
    assert as_parquet(tmp_path, [row], list(values))[0].items() >= wanted.items()
    assert as_csv(tmp_path, [row], list(values))[0].items() >= {**wanted, "none": ""}.items()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_comes_back_as_it_was(tmp_path, text):
    row = {**ROW, "answer": text, "markers": [text], "fields": {f"x{text}": text}}
    for (read,) in (as_csv(tmp_path, [row], [f"x{text}"]), as_parquet(tmp_path, [row], [f"x{text}"])):
        assert read["answer"] == read["markers"] == read[f"x{text}"] == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", "＝1", "＠x"])
def test_formulas_are_quoted_on_request_wherever_they_stand(tmp_path, text):
    row = {**ROW, "answer": text, "fields": {text: text, "fine": "a=1"}}
    (read,) = as_csv(tmp_path, [row], [text, "fine"], quoted=True)
    assert read["answer"] == read[f"'{text}"] == f"'{text}"
    assert (read["fine"], read["seconds"]) == ("a=1", "0.25")
    (read,) = as_csv(tmp_path, [row], [text])
    assert read["answer"] == text


@pytest.mark.parametrize("text", ["\udcff.jpg", "\ud800", "a\udc80b"])
def test_lone_surrogates_are_escaped(tmp_path, text):
    written = text.encode("utf-8", "backslashreplace").decode()
    row = {**ROW, "id": text, "fields": {text: text}}
    for (read,) in (as_csv(tmp_path, [row], [text]), as_parquet(tmp_path, [row], [text])):
        assert read["id"] == read[written] == written


def test_columns_that_collide_are_all_there(tmp_path):
    names = ["answer", "source_answer", "source_source_answer", "id", "Answer", "", "\udcff", "\\udcff"]
    row = {**ROW, "fields": {name: f"<{name}>".replace("\udcff", "raw") for name in names}}
    for (read,) in (as_csv(tmp_path, [row], names), as_parquet(tmp_path, [row], names)):
        assert (read["answer"], read["id"]) == ("Yes", "a")
        assert {name for name, value in read.items() if str(value).startswith("<")} == {
            *("source_answer", "source_source_answer", "source_source_source_answer", "source_id", "Answer", ""),
            *("\\udcff", "source_\\udcff"),
        }
        assert read["source_answer"] == "<source_answer>"
        assert read["source_source_source_answer"] == "<answer>"


def test_many_rows_are_written_portion_by_portion(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_PORTION", 7)
    rows = [{**ROW, "id": str(number)} for number in range(50)]
    assert [row["id"] for row in as_parquet(tmp_path, rows, [])] == [row["id"] for row in rows]
    assert pyarrow.parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 8
    assert as_parquet(tmp_path, [], ["label"]) == as_csv(tmp_path, [], ["label"]) == []


@pytest.mark.parametrize("write", [lambda rows, path: write_csv(rows, [], path, quote_formulas=False),
                                   lambda rows, path: write_parquet(rows, [], path)])  # fmt: skip
def test_where_it_fails_the_old_table_stays_and_nothing_is_left_behind(tmp_path, write):
    def rows():
        yield ROW
        raise VipError("answers.jsonl can't be read")

    (tmp_path / "a").write_text("old")
    with pytest.raises(VipError, match="can't be read"):
        write(rows(), tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    with pytest.raises(OSError, match="No such file"):
        write([ROW], tmp_path / "none" / "a")


def test_a_copy_of_a_manifest_has_its_markers_as_a_manifest_has_them(tmp_path):
    rows = [{"id": "a", "markers": ["1,2", "3,4"]}, {"id": "b", "markers": ["mask:a;b.png", "=x"]}, {"id": "c"}]
    write_csv_copy(rows, ["id", "markers"], tmp_path / "a.csv", quote_formulas=True)
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["id", "markers"],
            ["a", "1,2;3,4"],
            ["b", '["mask:a;b.png", "=x"]'],
            ["c", ""],
        ]


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch):
    need_pyarrow()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"a \.parquet output needs pyarrow; install it with: pip install pyarrow"):
        need_pyarrow()
