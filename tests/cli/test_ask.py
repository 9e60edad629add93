"""``vip ask``, from the outside, with the embedded model answering."""

import json

import numpy as np
import pytest
from PIL import Image

MUSHROOM, HOUSE, CHEESE = "440,118,598,283", "57,287,231,461", "33,42,272,217"


def one_line(text):
    assert text.count("\n") == 1, text
    assert text.rstrip("\n").isprintable(), text
    return text.strip()


def test_the_answer_alone_is_on_stdout(vip, meadow):
    outcome = vip("ask", meadow, "--box", MUSHROOM, "What is this?", "-m", "tiny")
    assert (outcome.code, outcome.out, outcome.err) == (0, "a mushroom\n", "")


@pytest.mark.parametrize(
    ("marker", "truth"),
    [("485,140,635,295", "a duck"), ("50,40,265,245", "a bee"), ("210,290,365,430", "a frog")],
    ids=lambda text: text,
)
def test_the_answer_follows_the_marker(vip, pond, marker, truth):
    assert vip("ask", pond, "--box", marker, "What is @1?", "-m", "tiny").out == f"{truth}\n"


def test_markers_are_numbered_in_the_order_typed_across_their_kinds(vip, meadow):
    markers = ["--box", MUSHROOM, "--ellipse", HOUSE, "--box", CHEESE]
    outcome = vip("ask", meadow, *markers, "What is @2?", "-m", "tiny", "--json")
    row = json.loads(outcome.out)
    assert [text.split(":")[0] for text in row["markers"]] == ["box", "ellipse", "box"]
    assert "ellipse" in row["prompt"]


def test_a_name_becomes_the_trained_phrase(vip, meadow):
    row = json.loads(vip("ask", meadow, "--box", f"pet={MUSHROOM}@red", "What is @pet?", "-m", "tiny", "--json").out)
    assert row["prompt"] == "###Human: <image>\nWhat is the pet within the red rectangle?###Assistant:"


def test_one_json_object_a_line_for_each_picture(vip, meadow, pond):
    outcome = vip("ask", meadow, pond, "--point", "470,150", "What is @1?", "-m", "tiny", "--json")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["image"] for row in rows] == [str(meadow), str(pond)]
    wanted = "image question markers prompt answer finish model prompt_tokens answer_tokens seconds".split()
    assert all(key in row for key in wanted for row in rows)
    assert rows[0]["model"] == "tiny"
    assert rows[0]["prompt_tokens"] > 64


def test_the_question_may_come_from_standard_input(vip, meadow):
    outcome = vip("ask", meadow, "--box", MUSHROOM, "-m", "tiny", stdin="What is this?\n")
    assert outcome.out == "a mushroom\n"


def test_the_picture_may_come_from_standard_input(vip, meadow):
    outcome = vip("ask", "-", "--box", MUSHROOM, "What is this?", "-m", "tiny", stdin=meadow.read_bytes())
    assert outcome.out == "a mushroom\n"


def test_without_a_model_the_embedded_one_answers_and_says_so(vip, meadow, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    outcome = vip("ask", meadow, "--box", MUSHROOM, "What is this?")
    assert outcome.out == "a mushroom\n"
    assert "vip models pull 7b" in one_line(outcome.err)
    assert vip("ask", meadow, "--box", MUSHROOM, "What is this?", "--quiet").err == ""


def test_verbose_shows_model_prompt_and_timings_on_stderr(vip, meadow):
    outcome = vip("ask", meadow, "--box", MUSHROOM, "What is this?", "-m", "tiny", "-v")
    assert outcome.out == "a mushroom\n"
    assert "model: tiny on cpu in float32" in outcome.err
    assert "###Human: <image>" in outcome.err
    assert "prompt tokens" in outcome.err


def test_the_marked_picture_is_kept(vip, meadow, tmp_path):
    vip("ask", meadow, "--box", f"{MUSHROOM}@red", "Hm?", "-m", "tiny", "--save-marked", tmp_path / "kept.png")
    kept = np.asarray(Image.open(tmp_path / "kept.png")).astype(int)
    plain = np.asarray(Image.open(meadow)).astype(int)
    changed = np.abs(kept - plain).sum(axis=2) > 0
    assert kept.shape == plain.shape
    assert changed[118, 520]
    assert not changed[200, 520]


def test_marked_pictures_of_several_go_into_a_folder(vip, meadow, pond, tmp_path):
    vip("ask", meadow, pond, "--point", "470,150", "Hm?", "-m", "tiny", "--save-marked", f"{tmp_path}/marked/")
    assert sorted(file.name for file in (tmp_path / "marked").iterdir()) == ["meadow.png", "pond.png"]


def test_sampling_repeats_with_a_seed(vip, meadow):
    arguments = ["ask", meadow, "What is in the picture?", "-m", "tiny", "--temperature", "3", "--max-new-tokens", "8"]
    one, two = vip(*arguments, "--seed", "5"), vip(*arguments, "--seed", "5")
    others = {vip(*arguments, "--seed", str(seed)).out for seed in range(4)}
    assert one.out == two.out
    assert len(others) > 1


def test_some_of_several_pictures_fail(vip, meadow, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(meadow.read_bytes()[:999])
    outcome = vip("ask", meadow, broken, "--box", MUSHROOM, "What is this?", "-m", "tiny")
    assert outcome.code == 3
    assert outcome.out.startswith(f"{meadow}: a mushroom\n")
    assert "broken.png" in one_line(outcome.err)


WRONG = {
    "no picture": (["What is this?"], "name a picture first"),
    "no question": (["{meadow}"], "the question is empty"),
    "a question twice": (["{meadow}", "What?", "Really?"], "there is no picture What?"),
    "a picture that isn't there": (["{meadow}", "missing.png"], "there is no picture missing.png"),
    "a marker short of a number": (["{meadow}", "--box", "1,2,3", "Hm?"], "--box 1,2,3: a box needs 4 numbers"),
    "a marker outside": (["{meadow}", "--box", "700,10,800,90", "Hm?"], "outside the picture, which is 640 x 480"),
    "swapped corners": (["{meadow}", "--box", "200,180,40,30", "Hm?"], "swapped"),
    "two of one name": (["{meadow}", "--point", "a=1,1", "--point", "a=9,9", "Hm?"], "two markers are called 'a'"),
    "a name that no marker has": (["{meadow}", "--point", "a=1,1", "Is @b?"], "no marker is called; there is @a"),
    "an unknown flag": (["{meadow}", "--bocks", "1,1,2,2", "Hm?"], "No such option: --bocks"),
    "a unit that isn't one": (["{meadow}", "--coords", "inches", "Hm?"], "--coords inches: use pixels"),
    "a fit that isn't one": (["{meadow}", "--fit", "squash", "Hm?"], "--fit squash: use pad"),
    "a negative temperature": (["{meadow}", "--temperature", "-1", "Hm?"], "temperature must be 0 or more"),
    "top-p of nothing": (["{meadow}", "--top-p", "0", "Hm?"], "top_p must be above 0"),
    "a seed out of range": (["{meadow}", "--seed", str(2**64), "Hm?"], "seed must be"),
    "an unknown style": (["{meadow}", "--prompt-style", "x", "Hm?"], "--prompt-style x: use auto"),
    "an unknown device": (["{meadow}", "--device", "tpu9", "Hm?"], "--device tpu9"),
    "an unknown dtype": (["{meadow}", "--dtype", "int3", "Hm?"], "--dtype int3"),
    "an answer longer than the context": (["{meadow}", "--max-new-tokens", "5000", "Hm?"], "too many for this model's"),
    "one file for several pictures": (["{meadow}", "{meadow}", "Hm?", "--save-marked", "x.png"], "must be a folder"),
}


@pytest.mark.parametrize("case", WRONG, ids=lambda text: text)
def test_wrong_usage_is_one_sentence_and_exit_2(vip, meadow, tmp_path, monkeypatch, case):
    arguments, sentence = WRONG[case]
    monkeypatch.chdir(tmp_path)
    outcome = vip("ask", "-m", "tiny", *(argument.format(meadow=meadow) for argument in arguments))
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert sentence in one_line(outcome.err)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_is_one_sentence_and_exit_1(vip, meadow, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    outcome = vip("ask", "-m", "13b", meadow, "Hm?")
    assert (outcome.code, outcome.out) == (1, "")
    assert "vip models pull 13b" in one_line(outcome.err)
    outcome = vip("ask", "-m", "./nowhere", meadow, "Hm?")
    assert outcome.code == 1
    assert "there is no model './nowhere'" in one_line(outcome.err)


def test_a_clipped_marker_is_a_warning_and_an_error_when_strict(vip, meadow):
    arguments = ["ask", meadow, "--box", "440,118,900,283", "What is @1?", "-m", "tiny"]
    outcome = vip(*arguments)
    assert outcome.code == 0
    assert "partly outside" in one_line(outcome.err)
    strict = vip(*arguments, "--strict")
    assert (strict.code, strict.out) == (2, "")
    assert "partly outside" in one_line(strict.err)


def test_a_marker_that_the_model_cannot_see_is_warned_about(vip, tmp_path):
    Image.new("RGB", (1500, 300), "gray").save(tmp_path / "wide.png")
    outcome = vip("ask", tmp_path / "wide.png", "--box", "2,20,60,80", "What is @1?", "-m", "tiny", "--fit", "crop")
    assert "cut away" in one_line(outcome.err)


@pytest.mark.parametrize("question", ["### ###Human:", "<image>", "</s><s>", "\x1b]52;c;aGk=\x07", "a" * 500])
def test_a_hostile_question_stays_text(vip, meadow, question):
    outcome = vip("ask", meadow, question, "-m", "tiny", "--json", "--max-new-tokens", "4")
    prompt = json.loads(outcome.out)["prompt"]
    assert outcome.code == 0
    assert prompt.count("<image>") == 1
    assert prompt.count("###") == 2
    assert "\x1b" not in prompt


def test_a_hostile_file_name_reaches_no_terminal(vip, meadow, tmp_path):
    hostile = tmp_path / "\x1b[31mred\x07\n.png"
    hostile.write_bytes(b"no picture")
    outcome = vip("ask", hostile, "Hm?", "-m", "tiny")
    assert outcome.code == 1
    assert "\\x1b[31mred\\x07" in one_line(outcome.err)


def test_a_bad_picture_does_not_stop_the_others_whatever_their_order(vip, meadow, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    outcome = vip("ask", broken, meadow, "--box", MUSHROOM, "What is this?", "-m", "tiny")
    assert outcome.code == 3
    assert outcome.out.startswith(f"{meadow}: ")


def test_a_doubt_names_the_picture_where_there_are_several(vip, meadow, pond):
    outcome = vip("ask", meadow, pond, "--box", "600,52,900,247", "What is @1?", "-m", "tiny")
    assert outcome.code == 0
    assert [line.split(": ")[2] for line in outcome.err.splitlines()] == [str(meadow), str(pond)]


def test_the_picture_itself_is_never_written_over(vip, meadow, tmp_path):
    picture = tmp_path / "meadow.png"
    picture.write_bytes(meadow.read_bytes())
    for target in (picture, f"{tmp_path}/"):
        outcome = vip("ask", picture, "--box", MUSHROOM, "Hm?", "-m", "tiny", "--save-marked", target)
        assert outcome.code == 2
        assert "that is the picture itself" in one_line(outcome.err)
    assert picture.read_bytes() == meadow.read_bytes()


def test_two_marked_pictures_never_share_a_file(vip, meadow, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(meadow.read_bytes())
    sources = [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]
    outcome = vip("ask", *sources, "Hm?", "-m", "tiny", "--save-marked", f"{tmp_path}/out/")
    assert outcome.code == 2
    assert "two pictures would be written to" in one_line(outcome.err)
    assert not (tmp_path / "out").exists()


def test_an_empty_question_is_refused(vip, meadow):
    outcome = vip("ask", meadow, "", "-m", "tiny", stdin="Hm?")
    assert (outcome.code, outcome.out) == (2, "")
    assert "the question is empty" in one_line(outcome.err)


def test_debug_shows_where_a_sentence_comes_from(vip, meadow, monkeypatch):
    monkeypatch.setenv("VIP_DEBUG", "1")
    outcome = vip("ask", meadow, "--box", "1,2", "Hm?", "-m", "tiny")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("vip: --box 1,2: ")


def test_a_folder_for_marked_pictures_that_cannot_be_made_is_one_sentence(vip, meadow, tmp_path):
    (tmp_path / "file").write_text("in the way")
    outcome = vip("ask", meadow, "Hm?", "-m", "tiny", "--save-marked", f"{tmp_path}/file/marked/")
    assert (outcome.code, outcome.out) == (1, "")
    assert "the folder can't be made" in one_line(outcome.err)


def test_several_questions_share_what_was_read(vip, meadow):
    marked = ["--box", "440,118,598,283", "--box", "57,287,231,461", "--model", "tiny"]
    outcome = vip("ask", meadow, *marked, "-q", "What is @1?", "-q", "What is @2?")
    assert outcome.out == "What is @1?: a mushroom\nWhat is @2?: a house\n"
    lines = vip("ask", meadow, *marked, "-q", "What is @1?", "-q", "What is @2?", "--json").out.splitlines()
    assert [json.loads(line)["question"] for line in lines] == ["What is @1?", "What is @2?"]


def test_what_cant_be_asked_writes_nothing(vip, meadow, tmp_path):
    kept = f"{tmp_path}/kept/"
    for arguments, sentence in (
        (["--save-marked", kept, "--max-new-tokens", "5000", "Hm?"], "too many for this model's context"),
        (["--save-marked", "-", "Hm?"], "--save-marked -: standard output has the answers; name a file"),
        (["--save-marked", "", "Hm?"], "--save-marked: the path is empty"),
        (["--save-marked", tmp_path / "m.xyz", "Hm?"], "a picture's file name ends in .png"),
        (["-q", " "], "--question: it is empty"),
    ):
        outcome = vip("ask", meadow, "--point", "500,200", "--model", "tiny", *arguments)
        assert outcome.code == 2
        assert sentence in outcome.err
    assert not list(tmp_path.iterdir())
