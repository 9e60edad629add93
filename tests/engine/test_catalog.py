"""`vipcli.engine.catalog`: which model a name means, what lies in the Hub cache, and how fetching one fails."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from engine.checkpoints import edit_json, write_json
from hypothesis import given
from hypothesis import strategies as st

from vipcli.config import hub_cache
from vipcli.engine import (
    MODELS,
    Model,
    Square,
    card,
    catalog,
    devices,
    fingerprint,
    input_square,
    located,
    pull,
    resolve,
    size_on_disk,
)
from vipcli.errors import ModelError

SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache."""
    folder = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    return folder


def cached(cache: Path, repo: str, *files: str, revision: str = "main", commit: str = COMMIT) -> Path:
    """Lay out what huggingface_hub leaves of a (maybe half) download: blobs, refs, and links in a snapshot."""
    home = cache / f"models--{repo.replace('/', '--')}"
    snapshot = home / "snapshots" / commit
    for folder in (home / "blobs", home / "refs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    (home / "refs" / revision).write_text(commit)
    for name in ("config.json", "model.safetensors.index.json", *files):
        blob = home / "blobs" / f"{commit[:8]}-{name}"
        blob.write_text(json.dumps({"weight_map": {f"tensor {shard}": shard for shard in SHARDS}}))
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    (home / "blobs" / "4665.incomplete").write_bytes(bytes(9))
    return snapshot


# Names


@pytest.mark.parametrize("name", ["tiny", "7b", "13b"])
def test_a_short_name(name: str) -> None:
    assert resolve(name) is MODELS[name]


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine" / "vip").mkdir(parents=True)
    assert resolve(str(tmp_path / "mine")) == Model(str(tmp_path / "mine"), folder=tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert resolve("mine/vip").folder == Path("mine/vip"), "a folder that is there comes before the Hub"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/mine").folder == tmp_path / "mine"


def test_a_hub_id_with_and_without_a_revision() -> None:
    assert resolve("some-one/vip.llava_x") == Model("some-one/vip.llava_x", repo="some-one/vip.llava_x")
    pinned = resolve("a/b@refs/pr/3")
    assert (pinned.name, pinned.repo, pinned.revision) == ("a/b@refs/pr/3", "a/b", "refs/pr/3")
    assert resolve("a/b@").revision is None
    assert resolve("llava-hf/vip-llava-13b-hf@abc").gigabytes == MODELS["13b"].gigabytes


@pytest.mark.parametrize(
    "nonsense",
    [
        *("", " ", "8b", "no such/thing", "./nowhere", "~/nowhere", "~nobody", "/nowhere", "../a", "a" * 5000),
        *("a/b/c", "a/../b", "-a/b", "a/b-", "a--b/c", "a/b..c", "a/b.git", "ä/b", "a\0/b", "a/b\n"),
        *("a/" + "b" * 97, "a/b@../../etc"),
    ],
)
def test_a_name_that_is_none(nonsense: str) -> None:
    with pytest.raises(ModelError) as error:
        resolve(nonsense)
    assert str(error.value).startswith("there is no model '")
    assert str(error.value).endswith("': use tiny, 7b, 13b, a folder that exists, or a Hub id like owner/name")
    assert str(error.value).isprintable()


@given(st.text(max_size=40))
def test_any_name_is_a_model_or_one_sentence(name: str) -> None:
    with contextlib.suppress(ModelError):
        model = resolve(name)
        assert located(model) in (None, model.folder)


# The Hub cache


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"XDG_CACHE_HOME": "/x/cache"},
        {"HF_HOME": "~/models"},
        {"HF_HOME": "$HOME/models", "XDG_CACHE_HOME": "/x/cache"},
        {"HF_HUB_CACHE": "~/hub", "HF_HOME": "/x/home"},
        {"HUGGINGFACE_HUB_CACHE": "/x/legacy", "HF_HOME": "/x/home"},
    ],
)
def test_the_cache_is_where_huggingface_hub_has_it(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ask = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE, end='')"
    theirs = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True, text=True).stdout
    assert str(hub_cache()) == theirs


def test_a_complete_model_is_found(cache: Path) -> None:
    snapshot = cached(cache, "a/b", *SHARDS)
    assert located(resolve("a/b")) == snapshot
    assert located(resolve(f"a/b@{COMMIT}")) == snapshot
    assert pull(Model("here", folder=snapshot)) == snapshot, "a folder needs no fetching"
    assert size_on_disk(snapshot) == sum(file.stat().st_size for file in snapshot.iterdir())


def test_of_several_revisions_the_one_asked_for_is_found(cache: Path) -> None:
    old = cached(cache, "a/b", *SHARDS, revision="v1", commit="f" * 40)
    new = cached(cache, "a/b", *SHARDS)
    assert located(resolve("a/b@v1")) == old
    assert located(resolve("a/b")) == new
    assert located(resolve("a/b@v2")) is None


@pytest.mark.parametrize("files", [[], SHARDS[:1], SHARDS[1:]])
def test_half_a_download_isnt_here(files: list[str], cache: Path) -> None:
    cached(cache, "a/b", *files)
    assert located(resolve("a/b")) is None
    with pytest.raises(ModelError, match=r"^a/b isn't on this machine; get it with: vip models pull a/b$"):
        input_square(resolve("a/b"))


def test_a_model_in_one_file_and_one_with_pickles_only(cache: Path) -> None:
    whole, pickled = cached(cache, "a/whole", "model.safetensors"), cached(cache, "a/pickled", "pytorch_model.bin")
    for folder in (whole, pickled):
        (folder / "model.safetensors.index.json").unlink()
    assert located(resolve("a/whole")) == whole
    assert located(resolve("a/pickled")) is None


def cached_7b(cache: Path, *files: str) -> int:
    """A 7B of 3 MB in fp16 in the cache, or some of its files; returns the bytes that its weights are."""
    snapshot = cached(cache, "llava-hf/vip-llava-7b-hf", *files)
    header = json.dumps({"a": {"dtype": "F16", "shape": [500_000], "data_offsets": [0, 1_000_000]}}).encode()
    for name in files:
        (snapshot / name).write_bytes(len(header).to_bytes(8, "little") + header + bytes(1_000_000))
    return 3_000_000


@pytest.mark.parametrize(
    ("files", "free", "chosen"),
    [(SHARDS, 2.1, "7b"), (SHARDS, 2.09, "tiny"), (SHARDS[:2], 9, "tiny"), ([], 9, "tiny")],
)
def test_auto_is_the_7b_where_it_is_complete_and_fits_in_the_dtype_it_would_have(
    files: list[str], free: float, chosen: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = cached_7b(cache, *files)
    monkeypatch.setattr(devices, "choose_device", lambda _: devices.torch.device("cpu"))  # float32: twice the file
    monkeypatch.setattr(devices, "_host_memory", lambda: int(free * size))
    assert resolve("auto") is MODELS[chosen]


@pytest.mark.parametrize(("free", "chosen"), [(1.05, "7b"), (1.04, "tiny")])
def test_auto_asks_for_what_is_free_on_the_gpu_whatever_the_host_has(
    free: float, chosen: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = cached_7b(cache, *SHARDS)
    monkeypatch.setattr(devices, "_host_memory", lambda: 10**12)
    gpu = devices.torch.cuda
    monkeypatch.setattr(gpu, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(gpu, "mem_get_info", lambda _: (int(free * size), 10**12))
    assert resolve("auto") is MODELS[chosen]


def test_auto_without_a_cache_is_tiny_and_loads_no_torch() -> None:
    ask = "import sys; from vipcli.engine import resolve; print(resolve('auto').name, 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True, text=True).stdout
    assert told.split() == ["tiny", "False"]


# What tells a checkpoint from another


def test_a_fingerprint_is_that_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(bytes(1000))
    same = fingerprint(tmp_path / "a")
    assert same == fingerprint(tmp_path / "b")
    assert len(same) == 16
    (tmp_path / "b" / "model.safetensors").write_bytes(bytes(999) + b"1")  # trained a little further: of one size
    assert fingerprint(tmp_path / "b") != same
    (tmp_path / "a" / "tokenizer.json").write_text("{}")
    assert fingerprint(tmp_path / "a") != same
    assert len(fingerprint(tmp_path)) == 16, "nothing is there"


def test_of_large_weights_parts_from_all_over_are_read(tmp_path: Path) -> None:
    size = 2**30
    weights = tmp_path / "model.safetensors"
    with weights.open("wb") as file:
        file.truncate(size)  # a hole: it takes no room on the disk
    known = {fingerprint(tmp_path)}
    for place in (0, size // 2, size - 1):
        with weights.open("r+b") as file:
            file.seek(place)
            file.write(b"1" * (4 << 20))
            file.truncate(size)
        known.add(fingerprint(tmp_path))
    assert len(known) == 4


def test_the_hub_has_named_weights_by_their_content(cache: Path) -> None:
    snapshot = cached(cache, "acme/eyes", *SHARDS)
    for number, name in enumerate(SHARDS):
        blob = snapshot / ".." / ".." / "blobs" / f"{number:064x}"
        blob.write_bytes(b"any")
        (snapshot / name).unlink()
        (snapshot / name).symlink_to(blob)
    before = fingerprint(snapshot)
    blob.write_bytes(b"yet")  # which the Hub's client never does: so it isn't read
    assert fingerprint(snapshot) == before
    blob.rename(blob.with_name("f" * 64))
    (snapshot / SHARDS[2]).unlink()
    (snapshot / SHARDS[2]).symlink_to(blob.with_name("f" * 64))
    assert fingerprint(snapshot) != before


# What a model sees


@pytest.mark.parametrize("name", ["7b", "13b", "llava-hf/vip-llava-7b-hf", "llava-hf/vip-llava-13b-hf@main"])
def test_a_published_model_that_isnt_here_sees_336_pixels_in_patches_of_14(name: str) -> None:
    assert input_square(resolve(name)) == Square(336, 14)


@pytest.mark.parametrize(
    ("processor", "square"),
    [
        ({"crop_size": {"height": 336, "width": 336}, "size": {"shortest_edge": 336}}, Square(336, 14)),
        ({"crop_size": 224, "size": 224}, Square(224, 14)),
        ({"size": {"height": 384, "width": 384}}, Square(384, 14)),
        ({"size": {"shortest_edge": 56, "longest_edge": 1000}}, None),
        ({"size": {"height": 300, "width": 400}}, None),
        *(({"crop_size": odd, "image_processor": odd}, None) for odd in ([1, 1], "336", None, {"height": "x"}, -3, 0)),
        ({}, None),
    ],
)
def test_the_square_is_read_from_the_processors_file(
    processor: dict[str, Any], square: Square | None, tmp_path: Path
) -> None:
    write_json(tmp_path / "preprocessor_config.json", processor)
    assert input_square(Model("it", folder=tmp_path)) == square
    if square:
        write_json(tmp_path / "config.json", {"vision_config": {"patch_size": 16}})
        assert input_square(Model("it", folder=tmp_path)) == Square(square.side, 16)
        for odd in ([], {"patch_size": "x"}, {"patch_size": 0}):
            edit_json(tmp_path / "config.json", vision_config=odd)
            assert input_square(Model("it", folder=tmp_path)) == square


def test_a_processor_within_the_processors_file_comes_first_as_in_transformers(tmp_path: Path) -> None:
    write_json(tmp_path / "processor_config.json", {"image_processor": {"crop_size": {"height": 128, "width": 128}}})
    write_json(tmp_path / "preprocessor_config.json", {"crop_size": 224})
    assert input_square(Model("it", folder=tmp_path)) == Square(128, 14)


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, "\0"])
def test_a_broken_file_has_no_square(text: str, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text)
    (tmp_path / "config.json").write_text(text)
    assert input_square(Model("it", folder=tmp_path)) is None


def test_a_card_is_shown_without_its_yaml_header(tmp_path: Path) -> None:
    assert card(tmp_path) is None
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# Tiny\n\n---\n\nMore.\n")
    assert card(tmp_path) == "# Tiny\n\n---\n\nMore."


# Fetching

HUB: dict[str, tuple[int, str, Any]] = {  # what our Hub says for a repository: status, X-Error-Code, body
    "acme/missing": (404, "RepoNotFound", {"error": "Repository not found"}),
    "acme/private": (401, "", {"error": "Invalid username or password."}),
    "acme/gated": (403, "GatedRepo", {"error": "Access to model acme/gated is restricted."}),
    "acme/old": (404, "RevisionNotFound", {"error": "Invalid rev id: v9"}),
    "acme/broken": (500, "", {"error": "Internal\nerror"}),
    "acme/nonsense": (200, "", ["nonsense"]),
    "acme/pickled": (200, "", {"id": "acme/pickled", "sha": COMMIT}),
}
SENTENCES = {
    "acme/missing": "there is no model acme/missing on the Hub, or it is private: check the name, or set HF_TOKEN",
    "acme/private": "acme/private can't be fetched: the Hub refuses the token; log in again (hf auth login)",
    "acme/gated": "acme/gated is gated: accept its terms on its Hub page and log in (hf auth login, or set HF_TOKEN)",
    "acme/old@v9": "acme/old has no revision 'v9'",
    "acme/broken": "acme/broken can't be fetched: ",
    "acme/nonsense": "acme/nonsense can't be fetched: ",
    "acme/pickled": "acme/pickled has no safetensors weights, and vip loads no pickled ones: they can run code",
}
PULL = """
import json, sys
from vipcli.engine import pull, resolve
from vipcli.errors import ModelError
for name in sys.argv[1:]:
    try:
        print(json.dumps(f"fetched {pull(resolve(name))}"))
    except ModelError as error:
        print(json.dumps(str(error)))
"""


class Hub(BaseHTTPRequestHandler):
    """The Hub's answers to what ``snapshot_download`` asks first."""

    def do_GET(self) -> None:
        repo = "/".join(self.path.split("/")[3:5])
        status, code, body = HUB[repo]
        if "/tree/" in self.path:
            body = [{"type": "file", "path": "pytorch_model.bin", "size": 9, "oid": COMMIT}]
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pulled(names: list[str], **environment: str) -> list[str]:
    """What ``pull`` says of each name, in a process of its own: huggingface_hub reads the environment once."""
    done = subprocess.run(
        [sys.executable, "-c", PULL, *names],
        env=os.environ | {"HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    sentences = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(sentence.isprintable() and len(sentence) < 300 for sentence in sentences)
    return sentences


def test_whatever_the_hub_refuses_is_one_sentence(hub: str) -> None:
    told = pulled(list(SENTENCES), HF_ENDPOINT=hub)
    for sentence, (name, expected) in zip(told, SENTENCES.items(), strict=True):
        assert sentence == expected or (expected.endswith(": ") and sentence.startswith(expected)), name


def test_a_hub_that_cant_be_reached_is_one_sentence() -> None:
    for environment in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}):
        assert pulled(["acme/any"], **environment) == [
            "acme/any can't be fetched: the Hub can't be reached (check the network, HF_ENDPOINT and HF_HUB_OFFLINE)"
        ]


def test_the_models_page_says_what_each_may_be_used_for() -> None:
    assert "research use" in MODELS["7b"].about
    assert "research use" in MODELS["13b"].about
    assert "Apache-2.0" in MODELS["tiny"].about
    assert catalog.MODELS is MODELS
