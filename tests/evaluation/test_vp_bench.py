"""VP-Bench's parquet: its prompt, its groups, and that no more than a few pictures are held."""

import base64
import os
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest
from evaluation.authors import picture, prepared

from vipcli.errors import MissingExtra, UsageError
from vipcli.evaluation.cases import Reading
from vipcli.evaluation.tasks import task_of

JPEG = base64.b64encode(picture()).decode()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"rest").decode()
ROW = {
    "index": 7,
    "context": "Marks are drawn on the picture.",
    "question": "How many boxes are there in mail@home.org?",
    "A": "1",
    "B": "2",
    "C": "3",
    "D": "4",
    "answer": "B",
    "image": JPEG,
    "vp_amount": "2",
    "vp_shape": "bounding_box",
    "vp_properties": "red, thin, dashed",
}
ASKED = """Marks are drawn on the picture.
How many boxes are there in mail@home.org?
A. 1
B. 2
C. 3
D. 4
Answer with the option’s letter from the given choices directly."""
TASK = task_of("vp-bench")
PAGE = "https://modelscope.cn/datasets/VP-Bench/VP-Bench-Stage-1"


def write(folder, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "vp_bench_stage_1.parquet")
    return folder


def cases(folder, **how):
    return list(TASK.read(Reading(folder, **how)))


def test_a_row_is_asked_as_its_authors_ask_it(tmp_path):
    (case,) = cases(write(tmp_path, [ROW]))
    ready = prepared(case)
    assert ready.question == ASKED
    assert ready.picture.shape == (100, 200, 3)
    assert (case.id, case.truth, case.rule, case.choices) == ("7", "B", "letter", ("A", "B", "C", "D"))
    assert case.groups == {"shape": ("bounding_box",), "amount": ("2",), "property": ("red, thin, dashed",)}
    assert case.markers == ()
    assert len(case.picture) < 40


def test_without_a_context_the_question_comes_first(tmp_path):
    for row in (ROW | {"context": ""}, ROW | {"context": None}):
        (case,) = cases(write(tmp_path, [row]))
        assert case.question.startswith("How many")


def test_an_option_without_words_is_no_choice(tmp_path):
    (case,) = cases(write(tmp_path, [ROW | {"C": "", "D": None}]))
    assert case.choices == ("A", "B")
    assert "\nC. \nD. \nAnswer" in case.question  # as the authors print it


def test_pictures_are_png_or_jpeg(tmp_path):
    for data, kind in ((PNG, "png"), (JPEG, "jpeg")):
        (case,) = cases(write(tmp_path, [ROW | {"image": data}]))
        assert case.image == f"data:image/{kind};base64,{data}"


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ("mask", ("mask",)),
        (["mask", "arrow", "mask"], ("mask", "arrow")),
        ("['mask', 'arrow']", ("mask", "arrow")),
        ("[mask", ("[mask",)),
        ("", ("none",)),
        (None, ("none",)),
    ],
)
def test_shapes_are_a_text_or_a_list(tmp_path, shape, names):
    (case,) = cases(write(tmp_path, [ROW | {"vp_shape": shape}]))
    assert case.groups["shape"] == names


def test_a_limit_takes_rows_from_all_over(tmp_path):
    folder = write(tmp_path, [ROW | {"index": index} for index in range(100)])
    assert [case.id for case in cases(folder, limit=4)] == ["0", "25", "50", "75"]
    assert len(cases(folder)) == 100
    assert cases(folder, limit=1)[0].where == "vp_bench_stage_1.parquet, row 1"


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([ROW | {"answer": "E"}], "row 1: its answer must be the letter of an option, got "),
        ([ROW | {"answer": "B", "B": ""}], "row 1: its answer must be the letter of an option"),
        ([ROW, ROW | {"image": "AAAA"}], "row 2: its index 7 is that of another row too"),
        ([ROW | {"image": "AAAA"}], "row 1: its image must be a PNG or JPEG in base64"),
        ([ROW | {"image": None}], "row 1: its image must be a picture in base64, got nothing"),
        ([ROW | {"question": " "}], "row 1: its question must be a text"),
        ([{key: ROW[key] for key in ROW if key != "vp_shape"}], f"has no column 'vp_shape': .*{PAGE}"),
    ],
)
def test_a_row_that_is_none_ends_in_a_sentence(tmp_path, rows, sentence):
    with pytest.raises(UsageError, match=sentence):
        cases(write(tmp_path, rows))


def test_half_a_file_is_no_file(tmp_path):
    path = write(tmp_path, [ROW]) / "vp_bench_stage_1.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UsageError, match=f"can't be read, it may be half there: .*{PAGE}"):
        cases(tmp_path)
    path.unlink()
    with pytest.raises(UsageError, match=f"has no vp_bench_stage_1.parquet: it is published at {PAGE}"):
        cases(tmp_path)


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    data = write(tmp_path, [ROW])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="vp-bench, whose data are a Parquet file, needs pyarrow"):
        cases(data)


def test_pictures_are_not_held(tmp_path):
    """130 MB of pictures in one row group, as pandas writes them, within a third of that."""
    noise = base64.b64encode(os.urandom(1_000_000)).decode()
    write(tmp_path, [ROW | {"index": index, "image": f"/9j/{index:06d}{noise}"} for index in range(100)])
    program = """
import sys
from pathlib import Path
from vipcli.evaluation.cases import Reading
from vipcli.evaluation.tasks.vp_bench import TASKS
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024
def count(limit):
    return sum(1 for _ in TASKS[0].read(Reading(Path(sys.argv[1]), limit=limit)))
count(1)
before = peak()
print(count(None), peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    count, megabytes = map(int, done.stdout.split())
    assert count == 100
    assert megabytes < 45
