"""Captions scored: through pycocoevalcap where it is installed, which `pip install '.[eval]'` does."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from vipcli.errors import MissingExtra
from vipcli.evaluation.captions import need_pycocoevalcap, score_captions, with_caption_scores
from vipcli.evaluation.lines import Line

HERE = importlib.util.find_spec("pycocoevalcap") is not None
needs_it = pytest.mark.skipif(not HERE, reason="pycocoevalcap isn't installed")
needs_java = pytest.mark.skipif(not HERE or shutil.which("java") is None, reason="no pycocoevalcap, or no Java")

ITEMS = [
    (["A man in a red hat.", "the man wearing red"], "a man in a red hat"),
    (["A dog on the grass."], "two cats, asleep"),
    (["The left café\nchair (old)", "chair"], "left chair"),
]


LEFT_OUT = "METEOR is left out and the other figures are of plain words, unlike published ones: "


def fake_java(folder: Path, script: str) -> str:
    """A PATH on which `java` is a script."""
    folder.mkdir()
    (folder / "java").write_text(f"#!{sys.executable}\n{script}")
    (folder / "java").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_without_the_package_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for ask in (need_pycocoevalcap, lambda: score_captions(ITEMS)):
        with pytest.raises(MissingExtra, match=r"scoring captions needs pycocoevalcap; .*: pip install pycocoevalcap"):
            ask()


@needs_it
def test_without_java_plain_words_are_scored_and_called_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    scored = score_captions(ITEMS)
    assert list(scored.figures) == ["CIDEr, plain words", "BLEU-4, plain words", "ROUGE-L, plain words"]
    assert scored.notes == (f"{LEFT_OUT}both need Java, which isn't installed",)
    assert scored.scores[0] > 1
    assert scored.scores[1] == 0
    assert math.isclose(sum(scored.scores) / 3, scored.figures["CIDEr, plain words"])


@needs_it
def test_cider_is_what_arithmetic_says(monkeypatch):
    """Of two items of a word each, one is right: its cosine is 1 for one of the four lengths of n-grams."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    scored = score_captions([(["cat"], "Cat."), (["dog"], "cat")])
    assert scored.scores == pytest.approx((10 / 4, 0))
    assert scored.figures["CIDEr, plain words"] == pytest.approx(10 / 8)
    assert scored.figures["ROUGE-L, plain words"] == pytest.approx(1 / 2)


@needs_it
def test_each_variant_of_a_question_is_scored_by_itself(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    asked = [("1", "", "cat", "Cat."), ("2", "", "dog", "cat"), ("3", "", "cow", None), ("1", "removed", "cat", "dog")]
    lines = [Line(id, id, "What?", truth, answer, None, "unscored", variant) for id, variant, truth, answer in asked]
    scored, notes = with_caption_scores(lines)
    assert [line.score for line in scored] == [pytest.approx(10 / 4), 0, None, 0]
    assert [line.outcome for line in scored] == ["partly", "wrong", "unscored", "wrong"]
    assert notes[0].startswith("CIDEr, plain words 1.250, BLEU-4"), "of those as the task has them"
    assert notes[1].startswith(LEFT_OUT)


@needs_java
def test_the_figures_are_those_of_pycocoevalcap_itself():
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenize = PTBTokenizer().tokenize
    truths = tokenize({i: [{"caption": text} for text in texts] for i, (texts, _) in enumerate(ITEMS)})
    answers = tokenize({i: [{"caption": text}] for i, (_, text) in enumerate(ITEMS)})
    theirs = {
        "CIDEr": Cider().compute_score(truths, answers)[0],
        "BLEU-4": Bleu(4).compute_score(truths, answers, verbose=0)[0][3],
        "ROUGE-L": Rouge().compute_score(truths, answers)[0],
        "METEOR": Meteor().compute_score(truths, answers)[0],
    }
    scored = score_captions(ITEMS)
    assert scored.figures == pytest.approx(theirs)
    assert scored.scores == pytest.approx(tuple(Cider().compute_score(truths, answers)[1]))
    assert scored.notes == ()


@needs_java
def test_texts_of_any_kind_get_a_score():
    odd = ["", " ", "...", "a ||| b", "x" * 5000, "日本 — é\u2028\x85 𝄞", "-LRB- ( [ {", "a\r\nb"]
    scored = score_captions([([text or "."], answer) for text in odd for answer in odd[:4]])
    assert len(scored.scores) == 32
    assert all(math.isfinite(figure) for figure in (*scored.figures.values(), *scored.scores))
    assert scored.notes == ()


@needs_it
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import time; time.sleep(600)", "the tokenizer was stopped after 1 seconds"),
        ("import sys; sys.exit('no\\x1b memory')", r"the tokenizer failed: no\x1b memory"),
        ("print('one')", "the tokenizer failed: it wrote 1 lines"),
    ],
)
def test_java_that_hangs_or_fails_ends_and_is_told(tmp_path, monkeypatch, script, said):
    monkeypatch.setenv("PATH", fake_java(tmp_path / "bin", script))
    begun = time.monotonic()
    scored = score_captions(ITEMS, patience=1)
    assert time.monotonic() - begun < 60
    assert scored.notes == (LEFT_OUT + said,)
    assert "CIDEr, plain words" in scored.figures


@needs_it
def test_meteor_alone_may_fail(tmp_path, monkeypatch):
    """The tokenizer is the first program, which answers line by line; METEOR comes to nothing."""
    script = "import sys\nif 'PTBTokenizer' in ' '.join(sys.argv): print(sys.stdin.read().lower(), end='')\n"
    monkeypatch.setenv("PATH", fake_java(tmp_path / "bin", script))
    scored = score_captions(ITEMS)
    assert list(scored.figures) == ["CIDEr", "BLEU-4", "ROUGE-L"]
    assert scored.notes == ("METEOR is left out: METEOR failed: it wrote 1 lines",)


@needs_it
def test_nothing_to_score_and_no_reference():
    assert score_captions([]).figures == {}
    with pytest.raises(ValueError, match="needs a reference"):
        score_captions([([], "a")])
