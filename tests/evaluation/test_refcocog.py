"""RefCOCOg region captions, from Parquet files as lmms-eval publishes them to what is asked."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluation.authors import picture, prepared, texts

from vipcli.errors import MissingExtra, UsageError
from vipcli.evaluation.cases import Case, Reading
from vipcli.evaluation.styles import Style
from vipcli.evaluation.tasks import task_of

ROW: dict[str, Any] = {
    "question_id": "380440",
    "image": {"bytes": picture(), "path": "COCO_train2014_000000380440.jpg"},
    "question": "Please carefully observe the area.",
    "answer": ["the man in\nyellow coat", "Skiing."],
    "segmentation": [10.0, 20.0, 60.0, 20.0, 60.0, 70.0],
    "bbox": [10.0, 20.0, 50.0, 50.5],
    "iscrowd": 0,
    "file_name": "COCO_train2014_000000380440_491042.jpg",
}
SCHEMA = pa.schema(
    {
        "question_id": pa.string(),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "question": pa.string(),
        "answer": pa.list_(pa.string()),
        "segmentation": pa.list_(pa.float32()),
        "bbox": pa.list_(pa.float32()),
        "iscrowd": pa.int8(),
        "file_name": pa.string(),
    }
)


def write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema = SCHEMA) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=2)


def read(folder: Path, rows: list[dict[str, Any]], **how: Any) -> list[Case]:
    write(folder / "data" / "val-00000-of-00001-0123abcd.parquet", rows)
    return list(task_of("refcocog-caption").read(Reading(folder, **how)))


def test_a_region_is_asked_about_and_its_captions_are_the_truth(tmp_path):
    (case,) = read(tmp_path, [ROW])
    assert case.question == "Provide a short description for this region."
    assert case.truth == "the man in yellow coat\nSkiing."
    assert (case.id, case.rule) == ("380440", "caption")
    assert texts(case) == ["box:10,20,60,70.5@red,width=3"]
    assert case.groups == {"size": ("medium",)}
    assert case.where == "val-00000-of-00001-0123abcd.parquet, row 1"
    assert case.image == f"data:image/jpeg;base64,{base64.b64encode(picture()).decode()}"
    ready = prepared(case)
    assert ready.question == case.question
    assert ready.markers == ("box:10,20,60,70.5@red,width=3",)
    assert ready.picture is not None
    assert ready.picture.shape == (100, 200, 3)


def test_another_style_marks_the_region_or_its_outline(tmp_path):
    (case,) = read(tmp_path, [ROW], style=Style("mask", "blue", None))
    assert texts(case) == ["mask:10,20,60,20,60,70@blue"]
    (case,) = read(tmp_path, [ROW | {"segmentation": []}], style=Style("mask", "blue", None))
    assert texts(case)[0].startswith("mask:60,45.25,"), "around the box where there is no outline"


def test_a_limit_is_spread_over_the_files_of_a_split(tmp_path):
    for part in range(3):
        rows = [ROW | {"question_id": f"{part}-{number}"} for number in range(5)]
        write(tmp_path / f"test-0000{part}-of-00003.parquet", rows)
    write(tmp_path / "val-00000-of-00001.parquet", [ROW])
    cases = list(task_of("refcocog-caption").read(Reading(tmp_path, split="test", limit=5)))
    assert [case.id for case in cases] == ["0-0", "0-3", "1-1", "1-4", "2-2"]
    assert cases[2].where == "test-00001-of-00003.parquet, row 2"
    assert len(list(task_of("refcocog-caption").read(Reading(tmp_path, split="test")))) == 15


def test_one_id_twice_becomes_two(tmp_path):
    assert [case.id for case in read(tmp_path, [ROW, ROW])] == ["380440", "380440#2"]
    assert [case.id for case in read(tmp_path, [ROW] * 4, limit=2)] == ["380440", "380440#3"]
    others = [ROW | {"question_id": str(number)} for number in range(2)]
    assert [case.id for case in read(tmp_path, [others[0], ROW, ROW, others[1]], limit=2)] == ["0", "380440#3"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"answer": []}, "its answer must be a list of at least one description"),
        ({"answer": None}, "its answer must be a list of texts, got nothing"),
        ({"answer": ["a", " "]}, 'one of its answer must be a text, got " "'),
        ({"bbox": [1, 2, 3]}, "its bbox must be a list of 4 numbers, got a list of 3"),
        ({"bbox": [1, 2, -3, 4]}, "its bbox as corners must be x1, y1, x2, y2, got 1, 2, -2, 6"),
        ({"image": None}, "its image has no bytes"),
        ({"image": {"bytes": None, "path": "a.jpg"}}, "its image has no bytes"),
        ({"question_id": None}, "its question_id must be a text, got nothing"),
    ],
)
def test_a_fault_of_a_row_is_one_sentence(tmp_path, change, sentence):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, [ROW, ROW | change])
    assert str(caught.value) == f"val-00000-of-00001-0123abcd.parquet, row 2: {sentence}"


HOME = "they are published at https://huggingface.co/datasets/lmms-lab/RefCOCOg (data/)"


def test_missing_half_and_other_files_are_one_sentence(tmp_path):
    def fault(folder: Path | None) -> str:
        with pytest.raises(UsageError) as caught:
            list(task_of("refcocog-caption").read(Reading(folder)))
        return str(caught.value)

    assert "--data must name the folder with val-00000-of-*.parquet, published at https://" in fault(None)
    assert fault(tmp_path).endswith(f" has no val-00000-of-*.parquet: {HOME}")
    write(tmp_path / "val-00001-of-00003-ab.parquet", [ROW])
    assert fault(tmp_path).endswith(f" has no val-00000-of-00003.parquet: {HOME}")
    other = tmp_path / "other"
    write(other / "val-00000-of-00001.parquet", [{"bbox": [1.0]}], pa.schema({"bbox": pa.list_(pa.float32())}))
    assert fault(other).endswith(f"has no column question_id, so it is another version: {HOME}")
    torn = tmp_path / "torn"
    write(torn / "val-00000-of-00001.parquet", [ROW] * 50)
    whole = (torn / "val-00000-of-00001.parquet").read_bytes()
    (torn / "val-00000-of-00001.parquet").write_bytes(whole[: len(whole) // 2])
    assert fault(torn).endswith(f"val-00000-of-00001.parquet isn't a whole Parquet file: {HOME}")
    (torn / "val-00000-of-00001.parquet").write_bytes(
        whole[:200] + bytes(len(whole) // 2) + whole[200 + len(whole) // 2 :]
    )
    assert "val-00000-of-00001.parquet can't be read to its end" in fault(torn)
    (torn / "val-00000-of-00001.parquet").write_bytes(whole[:4] + bytes(60) + whole[64:])  # in the ids
    assert "val-00000-of-00001.parquet can't be read to its end" in fault(torn)


def test_without_pyarrow_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="refcocog-caption, whose data are Parquet files, needs pyarrow"):
        list(task_of("refcocog-caption").read(Reading(tmp_path)))
