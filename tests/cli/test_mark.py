"""``vip mark``, from the outside."""

import io

import numpy as np
import pytest
from PIL import Image

from vipcli.images import fit


def test_the_marked_picture_is_written(vip, pond, tmp_path):
    outcome = vip("mark", pond, "--box", "58,49,259,237@blue", "--tags", "-o", tmp_path / "out.jpg")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert Image.open(tmp_path / "out.jpg").size == (640, 480)


def test_coordinates_mean_the_same_in_every_unit(vip, tmp_path):
    Image.new("RGB", (400, 200), "white").save(tmp_path / "white.png")
    ways = {
        "pixels": ["--box", "40,20,200,100@red"],
        "percent": ["--box", "10%,10%,50%,50%@red"],
        "relative": ["--box", "0.1,0.1,0.5,0.5@red", "--coords", "relative"],
        "thousandths": ["--box", "100,100,500,500@red", "--coords", "thousandths"],
        "xywh": ["--box", "40,20,160,80@red", "--box-format", "xywh"],
        "cxcywh": ["--marker", "box:120,60,160,80@red", "--box-format", "cxcywh"],
    }
    for name, flags in ways.items():
        assert vip("mark", tmp_path / "white.png", *flags, "-o", tmp_path / f"{name}.png").code == 0
    pictures = {name: np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ways}
    assert all(np.array_equal(picture, pictures["pixels"]) for picture in pictures.values())


@pytest.mark.parametrize("mode", ["pad", "crop", "stretch"])
def test_as_model_sees_it_writes_the_pixels_that_the_model_gets(vip, pond, tmp_path, mode):
    from vipcli import mark, open_engine, to_request

    flags = ["--box", "58,49,259,237@blue", "--fit", mode, "--as-model-sees-it", "-m", "tiny"]
    assert vip("mark", pond, *flags, "-o", tmp_path / "seen.png").code == 0
    seen = np.asarray(Image.open(tmp_path / "seen.png"))

    engine = open_engine("tiny")
    marked = mark(pond, ["58,49,259,237@blue"])
    assert np.array_equal(seen, fit(marked.picture, engine.side, mode).picture)
    tensors = engine.prepare(to_request(marked, "What is @1?", engine, fit=mode))
    its = engine.processor.image_processor
    pixels = tensors["pixel_values"][0].permute(1, 2, 0).numpy() * its.image_std + its.image_mean
    assert np.abs(pixels * 255 - seen).max() < 0.01


def test_a_mask_comes_from_a_picture_file(vip, pond, tmp_path):
    mask = np.zeros((480, 640), np.uint8)
    mask[100:200, 300:500] = 255
    Image.fromarray(mask).save(tmp_path / "m@sk=1.png")
    flags = ["--mask", f"it={tmp_path}/m@sk=1.png@red,alpha=1"]
    assert vip("mark", pond, *flags, "-o", tmp_path / "out.png").code == 0
    out = np.asarray(Image.open(tmp_path / "out.png"))
    assert (out[100:200, 300:500] == (255, 0, 0)).all()
    assert np.array_equal(out[:100], np.asarray(Image.open(pond))[:100])


def test_standard_output_takes_a_png(pond, tmp_path):
    import subprocess
    import sys

    command = [sys.executable, "-m", "vipcli", "mark", "-", "--point", "158,140", "-o", "-"]
    done = subprocess.run(command, input=pond.read_bytes(), capture_output=True, check=True)
    assert Image.open(io.BytesIO(done.stdout)).size == (640, 480)
    assert done.stderr == b""


WRONG = {
    "no output": (["{pond}"], 2, "--output"),
    "an unknown suffix": (["{pond}", "-o", "out.xyz"], 2, "out.xyz"),
    "a folder that isn't there": (["{pond}", "-o", "nowhere/out.png"], 1, "nowhere"),
    "no such picture": (["gone.png", "-o", "out.png"], 1, "gone.png"),
    "a fit without a model": (["{pond}", "--fit", "crop", "-o", "out.png"], 2, "--as-model-sees-it"),
    "a mask of another size": (["{pond}", "--mask", "{small}", "-o", "out.png"], 2, "they must be the same size"),
    "an unknown shape": (["{pond}", "--marker", "star:1,2,3,4", "-o", "out.png"], 2, "there is no shape 'star'"),
}


@pytest.mark.parametrize("case", WRONG, ids=lambda text: text)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(vip, pond, tmp_path, monkeypatch, case):
    arguments, code, sentence = WRONG[case]
    small = tmp_path / "small.png"
    Image.new("L", (10, 10), 255).save(small)
    monkeypatch.chdir(tmp_path)
    outcome = vip("mark", *(argument.format(pond=pond, small=small) for argument in arguments))
    assert (outcome.code, outcome.out) == (code, "")
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["small.png"]


def test_the_picture_itself_is_never_written_over(vip, pond, tmp_path):
    picture = tmp_path / "pond.png"
    picture.write_bytes(pond.read_bytes())
    outcome = vip("mark", picture, "--point", "9,9", "-o", tmp_path / "." / "pond.png")
    assert outcome.code == 2
    assert "that is the picture itself" in outcome.err
    assert picture.read_bytes() == pond.read_bytes()


def test_a_mask_that_is_drawn_is_never_written_over(vip, pond, tmp_path):
    mask = tmp_path / "mask.png"
    drawn = np.zeros((480, 640), np.uint8)
    drawn[100:200, 300:500] = 255
    Image.fromarray(drawn).save(mask)
    before = mask.read_bytes()
    ask = ("ask", pond, "--mask", mask, "What is this?", "-m", "tiny")
    for outcome in (
        vip("mark", pond, "--mask", mask, "-o", mask),
        vip(*ask, "--save-marked", mask),
        vip("chat", pond, "--mask", mask, "-m", "tiny", stdin=f"/save {mask}"),
    ):
        assert outcome.code == 2
        assert f"{mask}: that is a mask that is drawn; give another name" in outcome.err.replace("\n", " ")
    assert mask.read_bytes() == before


def test_a_full_disk_is_one_sentence():
    import subprocess
    import sys

    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "vipcli", "models"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"vip: standard output can't be written: No space left on device\n"
