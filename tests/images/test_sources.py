"""`vipcli.images.sources`: what a picture can be given as, what it is called, and what isn't read."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
import time

import numpy as np
import pytest
from picture_helpers import why
from PIL import Image

from vipcli.errors import UsageError
from vipcli.images import name_of, open_picture, sources


def test_a_dash_is_standard_input(photo, png, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(png.open("rb")))
    np.testing.assert_array_equal(open_picture("-"), photo)


def test_an_empty_or_missing_standard_input_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert why("-") == "standard input: is empty (0 bytes)"
    monkeypatch.setattr(sys, "stdin", None)
    assert why("-").startswith("standard input: is neither a file nor a pipe")


def test_a_terminal_isnt_waited_for(monkeypatch):
    controller, terminal = os.openpty()
    with open(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert why("-").startswith("standard input: is neither a file nor a pipe")
    os.close(controller)


def test_endless_input_stops_at_the_limit(monkeypatch):
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 3 * 2**20)
    with open("/dev/zero") as zeros:
        monkeypatch.setattr(sys, "stdin", zeros)
        assert why("-") == "standard input: is larger than the limit of 3 MB"


def test_a_file_called_dash_opens_by_its_path(photo, png, monkeypatch):
    png.rename(png.parent / "-")
    monkeypatch.chdir(png.parent)
    np.testing.assert_array_equal(open_picture("./-"), photo)


def test_something_else_is_wrong_usage():
    with pytest.raises(UsageError, match="not int"):
        open_picture(3)  # type: ignore[arg-type]


def test_a_text_stream_says_to_open_it_in_binary_mode(png):
    with open(png, encoding="latin-1") as stream:
        assert "mode 'rb'" in why(stream)


def test_names_in_messages_hold_no_control_characters():
    assert name_of("a\x1b[31m\nb.png") == r"a\x1b[31m\x0ab.png"
    assert name_of(b"\xff.png".decode(errors="surrogateescape")) == r"\xff.png"
    assert name_of("-") == "standard input"
    assert name_of("") == "an empty path"
    assert name_of(io.BytesIO()) == "the stream"
    assert name_of(np.zeros(1)) == "the array"
    assert name_of(Image.new("L", (1, 1))) == "the picture"
    assert len(name_of("x" * 5000)) < 100


def test_file_names_that_arent_utf8_and_odd_ones_work(photo, png):
    for name in (os.fsdecode(b"\xff\xfe.png"), "a\nb\x1b[0m.png", "--box.png", "🙂 .png", "wrong-suffix.jpg", "none"):
        path = png.parent / name
        path.write_bytes(png.read_bytes())
        np.testing.assert_array_equal(open_picture(path), photo)
        assert why(path.parent / f"missing {name}")


def test_directories_pipes_devices_and_missing_files_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    start = time.perf_counter()
    assert why(tmp_path).endswith("is a directory, not a picture")
    assert "is a pipe or device" in why(tmp_path / "pipe")
    assert "is a pipe or device" in why("/dev/zero")
    assert "is a pipe or device" in why("/dev/null")
    assert why(tmp_path / "none.png").endswith("none.png: no such file")
    assert why("").endswith("an empty path: no such file")
    assert "can't be read" in why("a\0b.png")
    assert "can't be read" in why("x" * 5000)
    assert "can't be read" in why(tmp_path / "pipe" / "p.png")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert "can't be read" in why(tmp_path / "socket")
    assert time.perf_counter() - start < 1


def test_a_file_beyond_the_limit_isnt_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(600 * 2**20)
    assert why(path).endswith("is larger than the limit of 512 MB")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x/y.png", "data:image/png;base64,AA", "S3://a/b", "smb://a/b.png"]
)
def test_other_kinds_of_address_are_refused(url):
    assert "addresses aren't read; give a path or an http(s) URL" in why(url)
