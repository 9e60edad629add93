"""`vipcli.files`: all of a file, or nothing. Where a picture can't be saved is in `images/test_saving.py`."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from vipcli.errors import VipError
from vipcli.files import whole_file, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_in_pieces_appears_at_the_end_all_at_once(tmp_path):
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")
    with whole_file(target) as file:
        file.write(b"one ")
        file.flush()
        assert target.read_bytes() == b"old"
        file.write(b"two")
    assert target.read_bytes() == b"one two"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, VipError, KeyboardInterrupt, GeneratorExit])
def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")

    def half() -> None:
        with whole_file(target) as file:
            file.write(b"half of")
            raise error

    with pytest.raises(error):
        half()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_file_whole(tmp_path):
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # the write stops in the middle, as on a full disk
    try:
        with pytest.raises(OSError, match="too large"), whole_file(target) as file:
            file.writelines([bytes(1000)] * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_directory_a_device_and_a_pipe_are_refused_before_anything_is_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, why in [(tmp_path, "is a directory"), ("/dev/null", "a device"), (tmp_path / "pipe", "or a pipe")]:
        with pytest.raises(VipError, match=why), whole_file(path):
            pytest.fail("the block ran")
    assert names(tmp_path) == ["pipe"]


def test_a_missing_folder_is_an_oserror_for_the_caller_to_put_into_words(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "none" / "a.txt"):
        pytest.fail("the block ran")


def test_a_file_stays_as_private_as_it_was(tmp_path):
    (tmp_path / "a.txt").touch(0o600)
    write_whole(b"data", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o600


def test_whole_data_goes_through_a_link_to_the_file_it_points_at(tmp_path):
    (tmp_path / "link").symlink_to("real")
    write_whole(memoryview(b"data"), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"data"
