"""`vipcli.images.saving`: files whole or untouched, standard output, and what is said where it fails."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vipcli.errors import PictureError, UsageError
from vipcli.images import open_picture, save_picture


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".tiff"])
def test_a_saved_picture_opens_as_it_was(photo, tmp_path, suffix):
    save_picture(photo, tmp_path / f"p{suffix}")
    np.testing.assert_array_equal(open_picture(tmp_path / f"p{suffix}"), photo)
    assert [path.name for path in tmp_path.iterdir()] == [f"p{suffix}"]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_lose_little(photo, tmp_path, suffix):
    save_picture(photo, str(tmp_path / f"p{suffix}"))
    difference = open_picture(tmp_path / f"p{suffix}").astype(int) - photo
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("name", ["p", "p.gif", "p.txt", ".png", "p.png.exe"])
def test_another_suffix_is_wrong_usage_and_lists_those_there_are(photo, tmp_path, name):
    with pytest.raises(UsageError, match=r"\.png, \.jpg, \.jpeg, \.webp, \.bmp, \.tif, \.tiff"):
        save_picture(photo, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_new_file_has_the_permissions_of_any_other(photo, tmp_path):
    before = os.umask(0o027)
    try:
        save_picture(photo, tmp_path / "p.png")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "p.png").stat().st_mode) == 0o640


def test_a_link_goes_on_pointing_at_the_file_it_pointed_at(photo, tmp_path):
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to("real.png")
    save_picture(photo, tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    np.testing.assert_array_equal(open_picture(tmp_path / "real.png"), photo)


def why_unsaved(picture: np.ndarray, path: Path | str) -> str:
    with pytest.raises(PictureError) as caught:
        save_picture(picture, path)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_where_it_cant_be_saved_is_said_and_nothing_is_left_behind(photo, tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    assert "its folder doesn't exist" in why_unsaved(photo, tmp_path / "none" / "p.png")
    assert "is a directory" in why_unsaved(photo, tmp_path / "folder.png")
    assert "can't be written" in why_unsaved(photo, tmp_path / f"{'x' * 300}.png")
    assert "can't be written" in why_unsaved(photo, "a\0b.png")
    assert "can't be written" in why_unsaved(np.zeros((1, 70_000, 3), np.uint8), tmp_path / "p.jpg")
    assert "can't be written" in why_unsaved(np.zeros((1, 70_000, 3), np.uint8), tmp_path / "p.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Give up root's rights for a while: root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_read_only_folder_or_file_is_said(photo):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to nobody
        folder = Path(name)
        (folder / "p.png").touch(0o444)
        folder.chmod(0o555)
        with nobody():
            assert "is write-protected" in why_unsaved(photo, folder / "p.png")
            assert "can't be written (Permission denied)" in why_unsaved(photo, folder / "new.png")
        folder.chmod(0o755)


def test_a_full_disk_leaves_the_old_file_whole(photo, tmp_path):
    path = tmp_path / "p.bmp"
    save_picture(photo, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the write stops in the middle, as on a full disk
    try:
        assert "can't be written (File too large)" in why_unsaved(photo[::-1], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(open_picture(path), photo)
    assert [path.name for path in tmp_path.iterdir()] == ["p.bmp"]


def test_ctrl_c_while_saving_leaves_nothing_behind(photo, tmp_path, monkeypatch):
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_picture(photo, tmp_path / "p.png")
    assert not list(tmp_path.iterdir())


def test_a_dash_writes_a_png_to_standard_output_but_not_to_a_terminal(photo, monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stdout)
    save_picture(photo, "-")
    np.testing.assert_array_equal(open_picture(io.BytesIO(stdout.buffer.getvalue())), photo)
    controller, terminal = os.openpty()
    with open(terminal, "w") as tty:
        monkeypatch.setattr(sys, "stdout", tty)
        with pytest.raises(UsageError, match="a terminal can't show a PNG"):
            save_picture(photo, "-")
    os.close(controller)


def test_a_full_standard_output_is_said_and_a_closed_pipe_is_left_to_the_command_line(photo, monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", full)
    assert why_unsaved(photo, "-") == "standard output: can't be written (No space left on device)"
    with contextlib.suppress(OSError):
        full.close()
    reader, writer = os.pipe()
    os.close(reader)
    pipe = open(writer, "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", pipe)
    with pytest.raises(BrokenPipeError):
        save_picture(photo, "-")
    with contextlib.suppress(OSError):
        pipe.close()
