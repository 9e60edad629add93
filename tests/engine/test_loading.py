"""`vipcli.engine.loading`: what loads, and the one sentence that every fault of a checkpoint or a machine ends in."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from engine.asked import PICTURE, PROMPT, answer, why
from engine.checkpoints import (
    LAYERS,
    PATCH,
    PATCHES,
    SIDE,
    copied,
    edit_json,
    random_model,
    write_json,
    write_published,
)
from processes import WITH_ITS_OWN_PEAK

from vipcli.engine import Model, Request, Square, devices, input_square
from vipcli.engine.checkpoint import weigh
from vipcli.engine.loading import load
from vipcli.errors import MissingExtra, ModelError, UsageError, VipError
from vipcli.images import CLIP_MEAN

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"


# What loads


@pytest.mark.parametrize("name", ["checkpoint", "saved_checkpoint", "mistral_checkpoint", "llava_checkpoint"])
def test_a_checkpoint_says_what_it_sees_before_and_after_it_loads(name: str, request: pytest.FixtureRequest) -> None:
    model = Model("it", folder=request.getfixturevalue(name))
    engine = load(model)
    assert input_square(model) == Square(SIDE, PATCH) == Square(engine.side or 0, engine.patch)
    assert type(engine.model).__name__ == ("Llava" if "llava" in name else "VipLlava") + "ForConditionalGeneration"
    assert engine.special_tokens == {"<unk>", "<s>", "</s>", "<pad>", "<image>"}
    assert not engine.model.training


def test_the_old_name_of_the_vision_layers_is_honoured(checkpoint: Path) -> None:
    """Counted from the front: the tower has 4 layers, and the last of them is taken off, since nothing reads it."""
    model = load(Model("it", folder=checkpoint)).model
    assert model.config.vision_feature_layer == [layer if layer >= 0 else 5 + layer for layer in LAYERS]
    assert len(model.model.vision_tower.encoder.layers) == 3


@pytest.mark.parametrize("name", ["checkpoint", "llava_checkpoint"])
def test_what_older_checkpoints_lack_is_filled_in(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    whole = request.getfixturevalue(name)
    folder = copied(whole, tmp_path)
    lacking = ("num_additional_image_tokens", "patch_size", "vision_feature_select_strategy")
    edit_json(folder / "processor_config.json", **dict.fromkeys(lacking))
    old, new = load(Model("old", folder=folder)), load(Model("new", folder=whole))
    assert [getattr(old.processor, one) for one in lacking] == [1, PATCH, "default"]
    ids = old.prepare(Request(PICTURE, PROMPT))["input_ids"][0].tolist()
    assert ids.count(old.model.config.image_token_index) == PATCHES
    assert answer(old) == answer(new)


def test_the_first_revisions_have_no_processor_config_and_no_chat_template(checkpoint: Path, tmp_path: Path) -> None:
    folder = copied(checkpoint, tmp_path, "processor_config.json", "chat_template.json")
    first, last = load(Model("first", folder=folder)), load(Model("last", folder=checkpoint))
    assert first.template is None
    assert last.template is not None
    assert answer(first) == answer(last)


def test_the_picture_goes_in_padded_and_whole(checkpoint: Path) -> None:
    engine = load(Model("it", folder=checkpoint))
    seen = engine.seen(PICTURE, "pad")
    pixels = engine.prepare(Request(PICTURE, PROMPT))["pixel_values"]
    assert pixels.shape == (1, 3, SIDE, SIDE)
    mean, deviation = (np.array(getattr(engine.processor.image_processor, f"image_{name}")) for name in ("mean", "std"))
    assert np.allclose(pixels[0].permute(1, 2, 0).numpy(), (seen / 255 - mean) / deviation, atol=1e-5)
    assert tuple(seen[0, 0]) == CLIP_MEAN, "bars above and below a wide picture"
    assert tuple(seen[SIDE // 2, 0]) == (200, 200, 200), "and its left edge is there"


@pytest.mark.parametrize("mode", ["pad", "crop", "stretch"])
def test_a_processor_that_would_enlarge_and_crop_leaves_a_fitted_picture_alone(
    mode: Any, checkpoint: Path, tmp_path: Path
) -> None:
    folder = copied(checkpoint, tmp_path)
    edit_json(folder / "preprocessor_config.json", size={"shortest_edge": SIDE + 8})
    engine = load(Model("it", folder=folder))
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    pixels = engine.prepare(Request(picture, PROMPT, fit=mode))["pixel_values"]
    its = engine.processor.image_processor
    fitted = (engine.seen(picture, mode) / 255 - np.array(its.image_mean)) / np.array(its.image_std)
    assert np.allclose(pixels[0].permute(1, 2, 0).numpy(), fitted, atol=1e-5)


def test_a_template_that_writes_the_beginning_token_doesnt_double_it(checkpoint: Path) -> None:
    engine = load(Model("it", folder=checkpoint))
    for prompt in (PROMPT, f"<s>{PROMPT}"):
        ids = engine.prepare(Request(PICTURE, prompt))["input_ids"][0].tolist()
        assert ids.count(1) == 1
        assert ids[0] == 1


def test_auto_on_this_cpu_is_float32_for_a_small_model_whatever_it_was_saved_in(checkpoint: Path) -> None:
    assert load(Model("it", folder=checkpoint)).model.dtype == torch.float32


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_a_dtype_that_was_asked_for_is_used(kind: str, checkpoint: Path) -> None:
    engine = load(Model("it", folder=checkpoint), dtype=kind)
    assert engine.model.dtype == getattr(torch, kind)
    assert answer(engine)


@pytest.mark.parametrize("fast", [True, False])
def test_a_large_model_is_bfloat16_where_the_cpu_is_fast_in_it(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cpu_is_fast_in_bf16", lambda: fast)
    chosen = devices.choose_dtype("auto", torch.device("cpu"), 14_000_000_000)
    assert chosen == (torch.bfloat16 if fast else torch.float32)


def test_device_map_auto_answers_the_same_on_a_machine_without_a_gpu(checkpoint: Path) -> None:
    spread = load(Model("it", folder=checkpoint), device_map="auto")
    assert answer(spread) == answer(load(Model("it", folder=checkpoint)))


# Weights


def cut_in_half(folder: Path) -> None:
    data = (folder / SHARDS[0]).read_bytes()
    (folder / SHARDS[0]).write_bytes(data[: len(data) // 2])


def without_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    for shard in SHARDS:
        weights = load_file(folder / shard)
        weights.pop("language_model.model.layers.0.mlp.up_proj.weight", None)
        save_file(weights, folder / shard, metadata={"format": "pt"})


def of_another_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 48
    write_json(folder / "config.json", config)


def header(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda folder: (folder / SHARDS[1]).unlink(),
            f"it: 1 of 2 weight files are missing (first {SHARDS[1]}); fetch the checkpoint again, it goes on where it "
            "stopped",
        ),
        (cut_in_half, f"it: {SHARDS[0]} is cut short (*); fetch the checkpoint again"),
        (without_a_tensor, "it: 1 of its weights are missing from its files (first *.layers.0.mlp.up_proj.weight)"),
        (of_another_size, "it: 6 of its weights don't have the shape that its config.json says (first *)"),
        *(
            (
                lambda folder, data=data: (folder / SHARDS[0]).write_bytes(data),
                f"it: {SHARDS[0]} is no safetensors file, or is damaged",
            )
            for data in (
                b"",
                bytes(99),
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4665\n",
                os.urandom(999),
                header(b"[]"),
                header(b'{"a": {"dtype": "F16", "shape": [2], "data_offsets": []}}'),
                header(b'{"a": {"dtype": [], "shape": [2], "data_offsets": [0, 4]}}'),
                header(b"[" * 100_000),
            )
        ),
        *(
            (lambda folder, text=text: (folder / INDEX).write_text(text), f"it: its {INDEX} can't be read; fetch *")
            for text in ("", "{}", "[]", '{"weight_map": []}', '{"weight_map": {}}', "[" * 100_000)
        ),
        (
            lambda folder: (folder / INDEX).write_text('{"weight_map": {"a": 5, "b": {}}}'),
            "it: 2 of 2 weight files are missing (first 5); *",
        ),
        (
            lambda folder: [(folder / name).unlink() for name in (INDEX, *SHARDS)],
            "it: it has no model.safetensors",
        ),
    ],
)
def test_damaged_weights(damage: Callable[[Path], object], sentence: str, checkpoint: Path, tmp_path: Path) -> None:
    folder = copied(checkpoint, tmp_path)
    damage(folder)
    told = why(folder)
    start, star, end = sentence.partition("*")
    assert told == sentence or (star and told.startswith(start) and told.endswith(end)), told


class Mine:
    """Unpickling this makes a folder: what a hostile checkpoint would do."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
def test_pickled_weights_are_refused_unopened(name: str, checkpoint: Path, tmp_path: Path) -> None:
    folder = copied(checkpoint, tmp_path, "model*")
    (folder / name).write_bytes(pickle.dumps(Mine(tmp_path / "ran")))
    assert why(folder) == "it: its weights are pickled, which can run code; vip loads safetensors only"
    # Nor does an index bring them in by the back door, or a pickle that calls itself safetensors.
    write_json(folder / INDEX, {"weight_map": {"a": name}})
    assert why(folder) == f"it: {name} is no safetensors file, or is damaged"
    (folder / name).rename(folder / "model.safetensors")
    (folder / INDEX).unlink()
    assert why(folder) == "it: model.safetensors is no safetensors file, or is damaged"
    assert not (tmp_path / "ran").exists()


# Configuration and processor


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ('{"model_type": "bert"}', "a bert model doesn't answer questions about pictures"),
        ('{"model_type": "llama"}', "a llama model doesn't answer questions about pictures"),
        ('{"model_type": "clip"}', "a clip model doesn't answer questions about pictures"),
        ('{"model_type": "\\u001b[31mred"}', "it can't be loaded: *model type `\\x1b[31mred`*"),
        ('{"model_type": "vipllava", "text_config": {"num_hidden_layers": "many"}}', "it can't be loaded: *"),
        ("{}", "it can't be loaded: Unrecognized model*"),
        ("[1]", "it can't be loaded: *"),
        ('{"model_type": ', "it: its config.json can't be read: Expecting value*"),
        ("\udcff", "it: its config.json can't be read: 'utf-8' codec*"),
        ("[" * 100_000, "it can't be loaded: maximum recursion depth exceeded*"),
    ],
)
def test_a_config_that_is_no_picture_models(config: str, sentence: str, checkpoint: Path, tmp_path: Path) -> None:
    folder = copied(checkpoint, tmp_path)
    (folder / "config.json").write_text(config, errors="surrogateescape")
    told = why(folder)
    for part in sentence.split("*"):
        assert part in told


def test_a_folder_that_holds_no_model(tmp_path: Path) -> None:
    assert why(tmp_path) == f"{tmp_path} holds no model: it has no config.json"
    assert why(tmp_path / "nowhere") == f"{tmp_path}/nowhere holds no model: it has no config.json"


def test_a_model_that_isnt_here_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name, repo, sentence in (
        ("7b", "llava-hf/vip-llava-7b-hf", "7b isn't on this machine (14.2 GB); get it with: vip models pull 7b"),
        ("a/b", "a/b", "a/b isn't on this machine; get it with: vip models pull a/b"),
    ):
        with pytest.raises(ModelError) as error:
            load(Model(name, repo=repo, gigabytes=14.2 if name == "7b" else 0))
        assert str(error.value) == sentence


@pytest.mark.parametrize(
    "without",
    [["preprocessor_config.json"], ["tokenizer.json"], ["tokenizer*", "special*", "added*"], ["[!cm]*", "chat*"]],
)
def test_missing_processor_files_are_said_before_the_weights_load(
    without: list[str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.VipLlavaForConditionalGeneration, "from_pretrained", None)
    folder = copied(checkpoint, tmp_path, *without)
    start = "it: its processor can't be loaded, preprocessor_config.json and tokenizer.json must be there and whole ("
    assert why(folder).startswith(start)
    shutil.rmtree(folder)
    folder = copied(checkpoint, tmp_path)
    for name in ("tokenizer.json", "preprocessor_config.json"):
        (folder / name).write_text("{")
    assert why(folder).startswith(start)


@pytest.mark.parametrize("name", ["checkpoint", "llava_checkpoint"])
def test_code_that_comes_with_a_checkpoint_never_runs_and_nobody_is_asked(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", asked.append)  # left to itself, transformers asks whether to run it
    folder = copied(request.getfixturevalue(name), tmp_path)
    (folder / "hostile.py").write_text(f"import os; os.mkdir({str(tmp_path / 'ran')!r})\nclass Hostile: pass\n")
    refused = "it needs code of its own, which vip never runs"
    everything = ("AutoConfig", "AutoModelForImageTextToText", "AutoProcessor", "AutoImageProcessor")
    code = dict.fromkeys(everything, "hostile.Hostile") | {"AutoTokenizer": ["hostile.Hostile", "hostile.Hostile"]}
    edit_json(folder / "tokenizer_config.json", tokenizer_class="Hostile", auto_map=code)
    assert answer(load(Model("it", folder=folder))), "tokenizer.json is all that a tokenizer needs"
    for file in ("preprocessor_config.json", "processor_config.json"):
        if (folder / file).exists():
            edit_json(folder / file, auto_map=code, image_processor_type="Hostile", processor_class="Hostile")
    assert refused in why(folder)
    edit_json(folder / "config.json", auto_map=code, model_type="hostile")
    assert refused in why(folder)
    assert not asked
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_of_another_model_is_found_out_in_one_sentence(checkpoint: Path, tmp_path: Path) -> None:
    folder = copied(checkpoint, tmp_path)
    edit_json(folder / "config.json", image_token_index=7)
    with pytest.raises(ModelError, match=r"its tokenizer and its config.json don't agree on which token"):
        answer(load(Model("it", folder=folder)))


# Devices and memory


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"device": "gpu"}, UsageError, "--device gpu: use auto, cuda, cuda:N, mps or cpu"),
        ({"device": "xpu"}, UsageError, "--device xpu: use auto, cuda, cuda:N, mps or cpu"),
        ({"device": "meta"}, UsageError, "--device meta: use auto, cuda, cuda:N, mps or cpu"),
        ({"dtype": "int8"}, UsageError, "--dtype int8: use auto, float32, bfloat16, float16"),
        ({"load_in": "5bit"}, UsageError, "--load-in 5bit: use 8bit or 4bit"),
        ({"device_map": "balanced"}, UsageError, "--device-map balanced: only auto is known"),
    ],
)
def test_an_unknown_device_dtype_or_quantization(
    options: dict[str, str], error: type[VipError], sentence: str, checkpoint: Path
) -> None:
    assert why(checkpoint, error, **options) == sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_cuda_without_cuda(device: str, checkpoint: Path) -> None:
    assert why(checkpoint, device=device) == (
        f"--device {device}: this torch sees no CUDA GPU (torch {torch.__version__})"
    )


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has MPS")
def test_mps_without_mps(checkpoint: Path) -> None:
    assert why(checkpoint, device="mps") == "--device mps: this machine has no MPS"


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_quantized_loading_without_bitsandbytes(bits: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert why(checkpoint, MissingExtra, load_in=bits) == (
        f"--load-in {bits} needs bitsandbytes; install it with: pip install bitsandbytes"
    )


def test_a_model_that_doesnt_fit_is_refused_with_the_numbers(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = 4 * sum(parameter.numel() for parameter in random_model().parameters())
    needed = weights + weights // 20  # room to answer
    monkeypatch.setattr(devices, "_host_memory", lambda: needed)
    assert load(Model("it", folder=checkpoint))
    monkeypatch.setattr(devices, "_host_memory", lambda: needed - 1)
    assert why(checkpoint) == (
        "it needs 0.0 GB of memory on cpu and 0.0 GB are free; try --load-in 4bit or --device-map auto"
    )
    assert load(Model("it", folder=checkpoint), dtype="bfloat16"), "which is half of it"


def test_memory_is_counted_in_the_dtype_that_is_loaded() -> None:
    fp16, quantized = Counter(F16=14_000), Counter(F16=2_000, U8=3_500, I64=8)
    assert [devices._bytes_as(fp16, kind) for kind in (torch.float16, torch.float32)] == [14_000, 28_000]
    assert devices._bytes_as(quantized, torch.float32) == 4_000 + 3_500 + 8


def test_free_memory_minds_a_containers_limit_but_not_the_files_it_has_read(tmp_path: Path) -> None:
    everything = devices._host_memory(tmp_path / "no container")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\nfile 800000\ninactive_file 700000\nactive_file 90000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert devices._host_memory(tmp_path) == 1_000_000 - (900_000 - 700_000 - 90_000)
    (tmp_path / "memory.max").write_text("100000\n")
    assert devices._host_memory(tmp_path) == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert devices._host_memory(tmp_path) == pytest.approx(everything, rel=0.2)


def test_running_out_while_loading_is_one_sentence(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_cpu = RuntimeError("[enforce fail at alloc_cpu.cpp:130] err == 0. DefaultCPUAllocator: can't allocate memory")
    for error in (MemoryError(), of_cpu, torch.OutOfMemoryError("CUDA out of memory.\nTried ...")):

        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(transformers.VipLlavaForConditionalGeneration, "from_pretrained", fail)
        assert why(checkpoint) == ("it: out of memory on cpu; try --load-in 4bit, --device-map auto or a smaller model")


@pytest.fixture(scope="module")
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """160 million weights, all zero, as one file."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("large") / "vip"
    write_published(folder, random_model())
    with torch.device("meta"):
        sizes = {"hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 8, "num_key_value_heads": 8}
        model = random_model(**sizes, num_hidden_layers=12)
    for file in folder.glob("model*"):
        file.unlink()
    stored = getattr(torch, request.param)
    weights = {name: torch.zeros(value.shape, dtype=stored) for name, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)
    yield folder
    shutil.rmtree(folder)


PEAK = """
import resource, sys
from pathlib import Path
import numpy as np
from vipcli.engine import Model, Request
from vipcli.engine.loading import load

def peak(folder, kind):
    engine = load(Model("it", folder=Path(folder)), dtype=kind)
    engine.stream(Request(np.zeros((9, 9, 3), np.uint8), "###Human: <image>###Assistant:", max_new_tokens=2)).finished()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

small, large, kind = sys.argv[1:]
print(peak(small, kind), peak(large, kind))
"""


@pytest.mark.parametrize(
    ("large", "kind"), [("float32", "float32"), ("float16", "float32"), ("float16", "bfloat16")], indirect=["large"]
)
def test_loading_takes_no_second_copy_of_the_weights(
    kind: str, large: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights are there once, as they are asked for, packed or not, and nothing of the file stays beside them.

    transformers reads with as many threads as there are cores, up to four. What they have in flight, and the holes it
    leaves in the heap, took 31 to 96 MB beside these weights, otherwise on every machine; half a copy takes 157 more.
    """
    command = [*WITH_ITS_OWN_PEAK, sys.executable, "-c", PEAK, str(checkpoint), str(large), kind]
    before, after = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    size = (large / "model.safetensors").stat().st_size
    loaded = devices._bytes_as(weigh(Model("it"), large), getattr(torch, kind))
    with capsys.disabled():
        print(
            f"\n{size / 1e6:.0f} MB, {loaded / 1e6:.0f} as {kind}: "
            f"peak {before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after",
            end=" ",
        )
    assert loaded > 300_000_000
    in_flight = 150_000_000
    assert after - before < max(size, loaded) + in_flight
