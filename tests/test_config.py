"""`vipcli.config`: who wins, and what a settings file that is wrong says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vipcli.config import Settings, history_file, load_settings, user_file
from vipcli.errors import UsageError, quote
from vipcli.images import save_picture


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The user's settings file, with nothing in it yet."""
    (tmp_path / "user.toml").touch()
    return tmp_path / "user.toml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder, without settings yet."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def settings(project: Path, user: Path, **environment: str) -> Settings:
    return load_settings(project, {"VIP_CONFIG": str(user), **environment})


def test_without_files_and_environment_the_defaults_hold(project: Path, user: Path) -> None:
    assert settings(project, user) == Settings("auto", "auto", "auto", "pad", "auto")


def test_environment_wins_over_project_over_user(project: Path, user: Path) -> None:
    user.write_text('model = "user"\ndevice = "user"\nprompt_style = "user"\n')
    (project / "vip.toml").write_text('model = "project"\ndevice = "project"\n')
    assert settings(project, user, VIP_MODEL="environment") == Settings("environment", "project", prompt_style="user")
    assert settings(project, user, VIP_MODEL="").model == "project", "empty is not set"


def test_a_flag_wins_over_all(project: Path, user: Path) -> None:
    save_picture(np.zeros((8, 8, 3), np.uint8), project / "a.png")
    (project / "vip.toml").write_text('model = "./from-project"\n')

    def tried(*flags: str, **environment: str) -> str:
        command = [sys.executable, "-c", "from vipcli.cli import main; main()", "ask", "a.png", "Hi", *flags]
        done = subprocess.run(
            command, cwd=project, env=os.environ | {"VIP_CONFIG": str(user)} | environment, capture_output=True
        )
        return done.stderr.decode()

    assert "'./from-flag'" in tried("--model", "./from-flag", VIP_MODEL="./from-environment")
    assert "'./from-environment'" in tried(VIP_MODEL="./from-environment")
    assert "'./from-project'" in tried()


def test_a_projects_file_holds_in_the_folders_below_it_and_the_nearest_counts(project: Path, user: Path) -> None:
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    (project / "vip.toml").write_text('model = "far"\nfit = "crop"\n')
    assert settings(deep, user).model == "far"
    (project / "a" / "vip.toml").write_text('model = "near"\n')
    assert settings(deep, user) == Settings(model="near")


def test_a_folder_of_that_name_is_no_file(project: Path, user: Path) -> None:
    (project / "vip.toml").mkdir()
    assert settings(project, user) == Settings()


@pytest.mark.parametrize(
    "broken",
    [
        b"model = ",
        b'model = "a" "b"',
        b"\xff\xfe",
        b"model = 'a'\nmodel = 'b'",
        b"a = " + b"[" * 5000,
        b"a = " + b"1" * 5000,
    ],
)
def test_broken_toml_names_the_file(broken: bytes, project: Path, user: Path) -> None:
    (project / "vip.toml").write_bytes(broken)
    with pytest.raises(UsageError) as error:
        settings(project, user)
    assert str(error.value).startswith(f"{quote(str(project / 'vip.toml'))} is no valid TOML: ")
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            'modell = "7b"',
            "there is no setting 'modell'; known are model, device, dtype, fit, prompt_style, engine",
        ),
        ("[model]\nname = 1", "model must be text in quotes, got {'name': 1}"),
        ("model = 7", "model must be text in quotes, got 7"),
        ('"\\u001b" = 1', "there is no setting '\\\\x1b'; known are model, device, dtype, fit, prompt_style, engine"),
    ],
)
def test_an_unknown_setting_or_a_value_that_is_no_text(text: str, sentence: str, project: Path, user: Path) -> None:
    user.write_text(text)
    with pytest.raises(UsageError) as error:
        settings(project, user)
    assert str(error.value) == f"{user}: {sentence}"


def test_the_users_file_is_where_the_platform_keeps_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert user_file({"VIP_CONFIG": "/x/y.toml"}) == Path("/x/y.toml")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        assert user_file({}) == tmp_path / "vip" / "config.toml"


def test_a_current_folder_that_was_deleted_is_no_fault(
    project: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    project.rmdir()
    assert load_settings(None, {"VIP_CONFIG": str(user), "VIP_MODEL": "7b"}) == Settings(model="7b")


def test_what_was_typed_is_kept_where_the_platform_keeps_state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_file() is not None


def test_without_a_home_there_is_no_history(monkeypatch):
    def homeless(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_state_path", homeless)
    assert history_file() is None


def test_a_projects_file_that_was_named_is_the_users(project: Path) -> None:
    (project / "vip.toml").write_text('engine = "http://127.0.0.1:9"\n')
    assert settings(project, project / "vip.toml").engine == "http://127.0.0.1:9"


def test_a_settings_file_that_was_named_must_be_there(project: Path, tmp_path: Path) -> None:
    for named in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UsageError, match=r"^VIP_CONFIG names .*, which is no file$"):
            settings(project, named)


def test_a_value_that_cant_be_says_where_it_stands(project: Path, user: Path) -> None:
    with pytest.raises(UsageError, match=r"^VIP_FIT: fit is pad, crop, stretch, not 'foo'$"):
        settings(project, user, VIP_FIT="foo")
    (project / "vip.toml").write_text('dtype = ""\n')
    with pytest.raises(UsageError, match=r"vip.toml: dtype is auto, float32, bfloat16, float16, not ''$"):
        settings(project, user)
