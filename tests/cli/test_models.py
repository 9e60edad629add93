"""``vip models``, and what every command shares."""

from importlib.metadata import version
from pathlib import Path

import vipcli


def test_the_list_says_what_is_here_and_what_must_be_fetched(vip, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    rows = vip("models").out.splitlines()
    assert [row.split()[0] for row in rows] == ["tiny", "7b", "13b"]
    assert "here" in rows[0]
    assert "14.2 GB to fetch" in rows[1]
    assert "research use" in rows[1]


def test_show_prints_the_figures_of_the_embedded_model(vip):
    shown = vip("models", "show", "tiny").out
    for row in ("one marker: scribble", "marker moved", "two to four markers, by color"):
        assert f"| {row} |" in shown
    assert "doesn't know" in shown


def test_path_and_pull_of_the_embedded_model_print_its_folder(vip):
    for verb in ("path", "pull"):
        folder = Path(vip("models", verb, "tiny").out.strip())
        assert (folder / "model.safetensors").is_file()


def test_a_model_that_is_not_here_has_no_path(vip, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    outcome = vip("models", "path", "7b")
    assert (outcome.code, outcome.out) == (1, "")
    assert "vip models pull 7b" in outcome.err


def test_an_unknown_model_is_one_sentence(vip):
    for verb in ("show", "path", "pull"):
        outcome = vip("models", verb, "no such model")
        assert outcome.code == 1
        assert outcome.err.count("\n") == 1


def test_version_and_help(vip):
    assert vip("--version").out == f"vip {vipcli.__version__}\n" == f"vip {version('vipcli')}\n"
    assert "mark" in vip("--help").out
    assert vip().out == vip("--help").out


def test_ask_help_fits_two_screens(vip):
    shown = vip("ask", "--help").out.splitlines()
    assert len(shown) <= 2 * 24
    assert max(map(len, shown)) <= 80


def test_an_unknown_command_is_one_sentence_and_exit_2(vip):
    outcome = vip("aks")
    assert outcome.code == 2
    assert "aks" in outcome.err
    assert outcome.err.count("\n") == 1
