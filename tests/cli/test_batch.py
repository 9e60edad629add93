"""``vip batch``, from the outside, with the embedded model answering."""

import csv
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pexpect
import pyte
import pytest
from cli.test_ask import one_line
from cli.test_terminal import REPOSITORY, VIP, clean
from engine.scripted_server import Scripted, echo, running
from PIL import Image

from vipcli.batch import Journal, Workers
from vipcli.engine import LocalEngine
from vipcli.images import open_picture
from vipcli.markers import render
from vipcli.scenes import SHAPES, compose, mark_thing

SPOT = "440,118,598,283"  # a mushroom of the meadow, a duck of the pond
ASK = ["-q", "What is @1?", "--box", SPOT, "-m", "tiny"]


@pytest.fixture(scope="module")
def pool():
    with Workers(1) as workers:
        yield workers


@pytest.fixture(autouse=True)
def one_pool(pool, monkeypatch):
    """The processes that open pictures are started once for all of these tests."""

    @contextmanager
    def shared(_count):
        pool.put("cd", os.chdir, os.getcwd())  # it would have been started here
        pool.get(wait=True)
        try:
            yield pool
        finally:
            while pool.get(wait=True):  # of a job that was given up
                pass

    monkeypatch.setattr("vipcli.batch.Workers", shared)


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def by_id(path, key="answer"):
    found = rows(path)
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row[key] for row in found}


def manifest(folder, *lines):
    path = folder / "list.jsonl"
    path.write_text("".join(f"{json.dumps({'image': 'photos/meadow.png', **line})}\n" for line in lines))
    return path


def test_a_folder_becomes_a_line_for_each_picture_with_what_ask_says(vip, folder, tmp_path):
    outcome = vip("batch", "photos", "-o", "out.jsonl", *ASK)
    assert (outcome.code, outcome.out) == (0, "")
    found = {row["id"]: row for row in rows(tmp_path / "out.jsonl")}
    assert {name: row["answer"] for name, row in found.items()} == {"meadow.png": "a mushroom", "pond.png": "a duck"}
    said = vip("ask", "photos/meadow.png", "photos/pond.png", "What is @1?", "--box", SPOT, "-m", "tiny", "--json").out
    for row in map(json.loads, said.splitlines()):
        ours = found[os.path.basename(row["image"])]
        same = ("image", "markers", "question", "prompt", "answer", "finish", "model", "prompt_tokens", "answer_tokens")
        assert {key: ours[key] for key in same} == {key: row[key] for key in same}
        assert (ours["error"], ours["warnings"], ours["fields"]) == (None, [], {})


def test_answers_are_the_same_whatever_the_batch(vip, folder, tmp_path):
    rng = np.random.default_rng(3)
    lines = []
    for number in range(12):
        scene = compose(rng, (320, 240), 2)
        Image.fromarray(scene.picture).save(folder / f"{number}.png")
        marker = render(mark_thing(rng, scene.things[0], SHAPES[number % len(SHAPES)]))
        lines.append(
            {"image": f"photos/{number}.png", "markers": [marker], "question": "What is @1?" + " Hm?" * number}
        )
    source = manifest(tmp_path, *lines)
    found = []
    for size in ("1", "5", "auto"):
        outcome = vip("batch", source, "-o", f"{size}.jsonl", "-m", "tiny", "--batch-size", size)
        assert outcome.code == 0, outcome.err
        found.append(by_id(tmp_path / f"{size}.jsonl"))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 12


def test_in_a_pipe_there_is_one_line_at_the_end_and_nothing_with_quiet(vip, folder):
    outcome = vip("batch", "photos", "-o", "out.jsonl", *ASK)
    assert one_line(outcome.err.splitlines()[0] + "\n").startswith("vip: 2 answered in ")
    assert "items/s" in outcome.err
    assert outcome.err.splitlines()[0].endswith("; out.jsonl")
    assert vip("batch", "photos", "-o", "else.jsonl", *ASK, "--quiet").err == ""


def test_what_was_answered_is_not_asked_again(vip, folder, tmp_path, monkeypatch):
    vip("batch", "photos", "-o", "out.jsonl", *ASK)
    before = (tmp_path / "out.jsonl").read_bytes()
    shutil.copy(folder / "pond.png", folder / "else.png")
    asked = []
    answers = LocalEngine.answers
    monkeypatch.setattr(LocalEngine, "answers", lambda *given: (asked.append(r) or r for r in answers(*given)))
    outcome = vip("batch", "photos", "-o", "out.jsonl", *ASK)
    assert outcome.code == 0
    assert "vip: 1 answered, 2 answered before in " in outcome.err
    assert len(asked) == 1
    assert (tmp_path / "out.jsonl").read_bytes().startswith(before)
    outcome = vip("batch", "photos", "-o", "out.jsonl", *ASK)
    assert one_line(outcome.err) == "vip: 0 answered, 3 answered before; out.jsonl"
    assert len(asked) == 1


CHANGED = {
    "another question": (["-q", "Is @1 red?"], "meadow.png: its picture, markers or question have changed"),
    "another marker": (["--box", "1,1,50,50"], "meadow.png: its picture, markers or question have changed"),
    "another temperature": (["--temperature", "0.5"], "another job (temperature was 0.0 and is 0.5)"),
    "another length": (["--max-new-tokens", "9"], "(max_new_tokens was 512 and is 9)"),
    "another fit": (["--fit", "crop"], "(fit was pad and is crop)"),
    "a system line": (["--system", "Hm."], "(system was not set and is Hm.)"),
    "plates": (["--tags"], "(tags was False and is True)"),
    "another type": (["--dtype", "bfloat16"], "(dtype was auto and is bfloat16)"),
    "fewer bits": (["--load-in", "4bit"], "(load_in was not set and is 4bit)"),
    "another model": (["-m", "{copy}"], "(model was tiny and is "),
}


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A folder of one picture with its answers, and a copy of the model under another name."""
    found = tmp_path_factory.mktemp("answered")
    (found / "photos").mkdir()
    shutil.copy(REPOSITORY / "examples" / "meadow.png", found / "photos")
    shutil.copytree(REPOSITORY / "vipcli" / "models" / "tiny", found / "copy")
    return found


@pytest.mark.parametrize("case", CHANGED, ids=lambda text: text)
def test_another_job_is_refused_and_the_answers_stay(vip, answered, monkeypatch, case):
    monkeypatch.chdir(answered)
    if not (answered / "out.jsonl").exists():
        assert vip("batch", "photos", "-o", "out.jsonl", *ASK).code == 0
    before = (answered / "out.jsonl").read_bytes()
    changed, sentence = CHANGED[case]
    outcome = vip(
        "batch", "photos", "-o", "out.jsonl", *ASK, *(text.format(copy=answered / "copy") for text in changed)
    )
    assert outcome.code == 2, outcome
    assert sentence in one_line(outcome.err)
    assert (answered / "out.jsonl").read_bytes() == before


def test_another_job_or_writer_is_refused_before_the_model_is_loaded(vip, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "vipcli.cli.batch.engines.open_engine_for_batch", lambda *_, **__: pytest.fail("the model was loaded")
    )
    with Journal(tmp_path / "out.jsonl", {"model": "7b"}) as journal:
        journal.append({"id": "a", "answer": "b", "input": "1"})
        outcome = vip("batch", "photos", "-o", "out.jsonl", *ASK)
        assert (outcome.code, one_line(outcome.err)) == (2, "vip: --output out.jsonl: another vip is writing it")
    outcome = vip("batch", "photos", "-o", "out.jsonl", *ASK)
    assert outcome.code == 2
    assert "model was 7b and is tiny" in one_line(outcome.err)


def test_what_fails_is_named_stops_nothing_and_is_asked_again(vip, folder, tmp_path):
    (folder / "broken.png").write_bytes((folder / "pond.png").read_bytes()[:999])
    outcome = vip("batch", "photos", "-o", "out.jsonl", *ASK)
    assert outcome.code == 3
    first, last = outcome.err.splitlines()[:2]
    assert first.startswith("vip: broken.png failed: ")
    assert last.startswith("vip: 2 answered, 1 failed (the same command tries them again) in ")
    broken = next(row for row in rows(tmp_path / "out.jsonl") if row["id"] == "broken.png")
    assert broken["answer"] is None
    assert first == f"vip: broken.png failed: {broken['error']}"
    shutil.copy(folder / "pond.png", folder / "broken.png")
    outcome = vip("batch", "photos", "-o", "out.jsonl", *ASK)
    assert outcome.code == 0
    assert "1 answered, 2 answered before" in outcome.err
    assert by_id(tmp_path / "out.jsonl")["broken.png"] == "a duck"


def test_of_many_that_fail_the_first_are_named_and_the_rest_counted(vip, folder, tmp_path):
    for number in range(8):
        (folder / f"broken{number}.png").write_bytes(b"none")
    outcome = vip("batch", "photos", "-o", "out.jsonl", *ASK, "--quiet")
    assert outcome.code == 3
    *named, more = outcome.err.splitlines()
    assert len(named) == 5
    assert all(" failed: " in line for line in named)
    assert more == 'vip: 3 more failed: they have an "error" in out.jsonl'


def test_a_warning_is_in_the_row_and_an_error_when_strict(vip, folder, tmp_path):
    arguments = ["photos/meadow.png", "-q", "What is @1?", "--box", "440,118,900,283", "-m", "tiny"]
    assert vip("batch", *arguments, "-o", "out.jsonl").code == 0
    assert "partly outside" in rows(tmp_path / "out.jsonl")[0]["warnings"][0]
    outcome = vip("batch", *arguments, "-o", "strict.jsonl", "--strict")
    assert outcome.code == 3
    assert "partly outside" in rows(tmp_path / "strict.jsonl")[0]["error"]


def test_a_csv_list_has_questions_markers_and_columns_of_its_own(vip, folder, tmp_path):
    (tmp_path / "list.csv").write_text(
        "id,image,markers,question,shelf,kind\n"
        f'one,photos/meadow.png,"{SPOT}",What is @1?,7,plant\n'
        'two,photos/pond.png,"495,148,627,288;58,49,259,237",What is @2?,8,\n'
        "three,photos/pond.png,,,9,\n"
    )
    outcome = vip("batch", "list.csv", "-o", "out.csv", "-m", "tiny")
    assert outcome.code == 3
    assert one_line(outcome.err.splitlines()[0] + "\n").startswith(
        "vip: three failed: list.csv, line 4: it has no ques"
    )
    with (tmp_path / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["id"] for row in table] == ["one", "two", "three"], "in the order of the list"
    assert [row["answer"] for row in table] == ["a mushroom", "a bee", ""]
    assert [row["shelf"] for row in table] == ["7", "8", ""]
    assert by_id(tmp_path / "out.csv.jsonl", "fields")["one"] == {"shelf": "7", "kind": "plant"}
    outcome = vip("batch", "list.csv", "-o", "asked.jsonl", "-m", "tiny", "-q", "Is @1 a {kind}?")
    assert by_id(tmp_path / "asked.jsonl", "question")["one"] == "Is @1 a plant?"
    assert "the question has {kind}, which this item lacks" in by_id(tmp_path / "asked.jsonl", "error")["two"]


def test_parquet_has_a_column_for_everything(vip, folder, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    source = manifest(tmp_path, {"id": "b", "shelf": 7}, {"id": "a", "image": "photos/gone.png"})
    assert vip("batch", source, "-o", "out.parquet", *ASK).code == 3
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["id"], row["answer"], row["shelf"]) for row in table] == [("b", "a mushroom", "7"), ("a", None, None)]
    assert "gone.png" in table[1]["error"]
    assert table[0]["answer_tokens"] == 2


def test_a_table_is_written_again_from_what_is_there(vip, folder, tmp_path):
    vip("batch", "photos", "-o", "out.csv", *ASK)
    before = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "out.csv").unlink()
    assert vip("batch", "photos", "-o", "out.csv", *ASK).code == 0
    assert (tmp_path / "out.csv").read_bytes() == before


@pytest.mark.parametrize(
    "lines",
    [
        "photos/meadow.png\n\n# none\nphotos/pond.png\n",
        '{"image": "photos/meadow.png"}\n{"image": "photos/pond.png"}\n',
    ],
    ids=["paths", "JSON"],
)
def test_a_list_may_come_from_standard_input(vip, folder, tmp_path, lines):
    outcome = vip("batch", "-", "-o", "out.jsonl", *ASK, stdin=lines)
    assert outcome.code == 0, outcome.err
    assert sorted(by_id(tmp_path / "out.jsonl").values()) == ["a duck", "a mushroom"]


def test_folders_below_and_names_by_a_pattern(vip, folder, tmp_path):
    (folder / "below").mkdir()
    for name in ("a.png", "a_mask.png", "b.png"):
        shutil.copy(folder / "pond.png", folder / "below" / name)
    choice = ["--recursive", "--include", "*.png", "--exclude", "*_mask.png", "--exclude", "meadow*"]
    assert vip("batch", "photos", "-o", "out.jsonl", *ASK, *choice).code == 0
    assert sorted(by_id(tmp_path / "out.jsonl")) == ["below/a.png", "below/b.png", "pond.png"]


def test_a_sample_is_always_the_same_and_the_rest_may_follow(vip, folder, tmp_path):
    source = manifest(tmp_path, *({"id": str(number)} for number in range(30)))
    vip("batch", source, "-o", "one.jsonl", *ASK, "--sample", "4")
    vip("batch", source, "-o", "two.jsonl", *ASK, "--sample", "4")
    chosen = sorted(by_id(tmp_path / "one.jsonl"))
    assert len(chosen) == 4
    assert chosen == sorted(by_id(tmp_path / "two.jsonl"))
    outcome = vip("batch", source, "-o", "one.jsonl", *ASK, "--sample", "9")
    assert "5 answered, 4 answered before" in outcome.err
    outcome = vip("batch", source, "-o", "one.jsonl", *ASK)
    assert "21 answered, 9 answered before" in outcome.err


def test_a_dry_run_shows_pictures_and_prompts_and_loads_no_weights(vip, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vipcli.engine.loading.load", lambda *_, **__: pytest.fail("the model was loaded"))
    for number in range(5):
        shutil.copy(folder / "pond.png", folder / f"{number}.png")
    (folder / "0.png").write_bytes(b"none")
    outcome = vip("batch", "photos", *ASK, "--dry-run", "-o", "out.jsonl")
    assert outcome.code == 3
    shown = outcome.out.splitlines()
    assert [line.split(": ")[0] for line in shown[::3]] == ["1.png", "2.png"]
    assert all(line.startswith("  '###Human: <image>\\nWhat is the object within the ") for line in shown[1::3])
    for line in shown[2::3]:
        assert open_picture(line.strip()).shape == (480, 640, 3)
        Path(line.strip()).unlink()
    assert "0.png" in one_line(outcome.err)
    assert [one.name for one in tmp_path.iterdir()] == ["photos"]


COCO = {
    "info": {"description": "two pictures", "odd": [1.50, None, "é"]},
    "images": [
        {"id": 1, "file_name": "meadow.png", "width": 640, "height": 480, "license": 4},
        {"id": 2, "file_name": "pond.png", "width": 640, "height": 480},
    ],
    "annotations": [
        {"id": 7, "image_id": 1, "category_id": 3, "bbox": [448, 126, 142, 149], "iscrowd": 0, "score": 0.25},
        {"id": 8, "image_id": 2, "category_id": 4, "bbox": [495, 148, 132, 140], "attributes": {"wet": True}},
        {"id": 9, "image_id": 2, "category_id": 99, "bbox": [700, 148, 132, 140]},
    ],
    "categories": [{"id": 3, "name": "mushroom", "supercategory": "plant"}, {"id": 4, "name": "duck\x1b[2J"}],
}


def test_annotations_are_asked_about_each_and_get_their_answers(vip, folder, tmp_path):
    (folder / "coco.json").write_text(json.dumps(COCO))
    asked = ["-q", "What is @1?", "-m", "tiny", "--annotate", "answered.json"]
    outcome = vip("batch", "photos/coco.json", "-o", "out.jsonl", *asked)
    assert outcome.code == 3
    assert "\x1b" not in outcome.err
    copy = json.loads((tmp_path / "answered.json").read_text())
    answers = [one.get("attributes", {}).pop("answer", None) for one in copy["annotations"]]
    assert answers == ["a mushroom", "a duck", None]
    for one in copy["annotations"]:
        if one.get("attributes") == {}:
            del one["attributes"]
    assert copy == COCO
    outcome = vip("batch", "photos/coco.json", "-o", "all.jsonl", "--all", "-q", "What is @1?", "-m", "tiny")
    assert by_id(tmp_path / "all.jsonl") == {"1": "a mushroom", "2": "a duck", "2/annotation 3": None}


def test_a_label_is_filled_in_and_reaches_no_terminal(vip, folder):
    (folder / "coco.json").write_text(json.dumps(COCO))
    outcome = vip("batch", "photos/coco.json", "-q", "Is @1 a {label}?", "-m", "tiny", "--dry-run")
    assert "a mushroom?" in outcome.out
    assert "\x1b" not in outcome.out + outcome.err


def test_a_report_has_every_row(vip, folder, tmp_path):
    assert vip("batch", "photos", "-o", "out.jsonl", *ASK, "--html", "report.html").code == 0
    page = (tmp_path / "report.html").read_text()
    assert "a mushroom" in page
    assert "a duck" in page
    assert "What is @1?" in page
    assert page.count("/9j/") == 2, "two thumbnails"


# -- A server in the model's place


@pytest.fixture
def server(monkeypatch):
    for name in ("VIP_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running(Scripted()) as it:
        yield it


def test_a_server_may_answer(vip, folder, tmp_path, server):
    server.on_ask = echo
    source = manifest(tmp_path, *({"id": str(number), "question": f"{number} {{}}?"} for number in range(20)))
    outcome = vip("batch", source, "-o", "out.jsonl", "--engine", server.url)
    assert outcome.code == 0, outcome.err
    assert by_id(tmp_path / "out.jsonl") == {str(number): f"{number} {{}}?" for number in range(20)}
    assert rows(tmp_path / "out.jsonl")[0]["model"] == "eyes-7b"
    asked = len(server.bodies)
    assert "0 answered, 20 answered before" in vip("batch", source, "-o", "out.jsonl", "--engine", server.url).err
    assert len(server.bodies) == asked == 20
    outcome = vip("batch", source, "-o", "out.jsonl", "--engine", server.url, "-m", "eyes-13b")
    assert outcome.code == 2
    assert "model was eyes-7b and is eyes-13b" in one_line(outcome.err)


def test_what_a_server_refuses_is_a_row_and_a_server_that_leaves_ends_the_job(vip, folder, tmp_path, server):
    source = manifest(tmp_path, *({"id": str(number), "question": f"question {number}"} for number in range(12)))

    def picky(call):
        if call.question == "question 3":
            call.json({"error": {"message": "I see \x1b[2J nothing"}}, 400)
        elif call.question in ("question 0", "question 1", "question 2"):
            echo(call)
        else:
            call.json({"error": {"message": "no such key"}}, 401)

    server.on_ask = picky
    outcome = vip("batch", source, "-o", "out.jsonl", "--engine", server.url, "--batch-size", "1")
    assert outcome.code == 1, outcome
    assert "\x1b" not in outcome.err
    assert "requests in a row failed" in outcome.err.splitlines()[-1]
    answers = by_id(tmp_path / "out.jsonl")
    assert [name for name, answer in answers.items() if answer] == ["0", "1", "2"]
    assert "nothing" in by_id(tmp_path / "out.jsonl", "error")["3"]
    server.on_ask = echo
    outcome = vip("batch", source, "-o", "out.jsonl", "--engine", server.url)
    assert outcome.code == 0
    assert "9 answered, 3 answered before" in outcome.err
    assert len(rows(tmp_path / "out.jsonl")) == 12


def test_flags_of_a_model_that_runs_here_are_none_of_a_servers(vip, folder, server, tmp_path):
    outcome = vip("batch", "photos", "-o", "out.jsonl", "-q", "Hm?", "--engine", server.url, "--device", "cpu")
    assert outcome.code == 2
    assert "--device cpu is for a model that runs here" in one_line(outcome.err)
    assert [one.name for one in tmp_path.iterdir()] == ["photos"]


def test_a_server_that_is_not_there_is_one_sentence(vip, folder, tmp_path):
    outcome = vip("batch", "photos", "-o", "out.jsonl", "-q", "Hm?", "--engine", "http://127.0.0.1:9/v1", "-m", "x")
    assert outcome.code in (1, 3)
    assert outcome.out == ""
    assert "Traceback" not in outcome.err


# -- Terminals


def test_hostile_names_reach_no_terminal(vip, folder, tmp_path):
    os.rename(folder / "pond.png", folder / "\x1b]0;owned\x07\x1b[2J\n.png")
    shutil.copy(folder / "meadow.png", os.fsencode(folder) + b"/\xff-latin.png")
    (folder / "\u202ered.png").write_bytes(b"none")
    outcome = vip("batch", "photos", "-o", "out\x1b[2J.jsonl", *ASK)
    assert outcome.code == 3
    assert "\x1b" not in outcome.err
    assert "\x07" not in outcome.err
    assert "\u202e" not in outcome.err
    assert "vip: \\u202ered.png failed: " in outcome.err
    out = tmp_path / "out\x1b[2J.jsonl"
    assert sorted(filter(None, by_id(out).values())) == ["a duck", "a mushroom", "a mushroom"]
    assert out.read_bytes().isascii(), "whoever prints a line of it is safe too"
    assert "\\udcff-latin.png" in out.read_text()
    assert "3 answered before" in vip("batch", "photos", "-o", "out\x1b[2J.jsonl", *ASK).err


def in_terminal(arguments, columns=100, **environment):
    """(exit code, bytes, every state of the screen that differs from the one before) of a command in a terminal."""
    child = pexpect.spawn(
        VIP[0], [*VIP[1:], *map(str, arguments)], cwd=REPOSITORY, env=clean(**environment), dimensions=(24, columns)
    )
    child.timeout = 120
    screen = pyte.Screen(columns, 24)
    stream, data, states = pyte.ByteStream(screen), b"", []
    while True:
        try:
            part = child.read_nonblocking(4096, 120)
        except pexpect.EOF:
            break
        data += part
        stream.feed(part)
        shown = "\n".join(line.rstrip() for line in screen.display).strip()
        if shown and (not states or states[-1] != shown):
            states.append(shown)
    child.close()
    return child.exitstatus, data, states


def test_a_terminal_shows_how_far_it_is_and_then_the_summary(folder, tmp_path):
    lines = [{"id": f"{number}"} for number in range(150)]
    lines[5] = {"id": "\x1b[2Jgone", "image": "gone.png"}
    source = manifest(tmp_path, *lines)
    code, data, states = in_terminal(["batch", source, "-o", tmp_path / "out.jsonl", *ASK, "--batch-size", "2"])
    assert code == 3
    moving = [state for state in states if "/150" in state]
    assert len(moving) > 2
    assert any("items/s" in state and "tokens/s" in state for state in moving)
    assert any("1 failed" in state for state in moving)
    end = " ".join(states[-1].split())
    assert "/150" not in end, "the bar is gone"
    assert "149 answered, 1 failed" in end
    assert "\\x1b[2Jgone failed: " in end
    assert data.count(b"\x1b[?25l") == data.count(b"\x1b[?25h"), "the cursor is shown again"
    assert b"\x1b[2Jgone" not in data


def test_a_dumb_terminal_shows_no_bar(folder, tmp_path):
    arguments = ["batch", folder, "-o", tmp_path / "out.jsonl", *ASK]
    code, data, _ = in_terminal(arguments, TERM="dumb")
    assert code == 0
    assert b"\x1b" not in data
