"""A conversation written to a file, and gone on with from there."""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from chat.scripted import HOUSE, MUSHROOM, Scripted
from PIL import Image

from vipcli.chat import ChatSession, load_transcript, save_transcript
from vipcli.errors import UsageError, VipError
from vipcli.images import open_picture, save_picture
from vipcli.markers import Mask


def asked(session, *questions):
    for question in questions:
        session.ask(question).finished()
    return session


def loaded(path, engine=None):
    session = ChatSession(engine or Scripted())
    load_transcript(session, path)
    return session


def test_a_conversation_goes_on_where_it_was_left(tiny, about_meadow, tmp_path):
    session = asked(about_meadow(tiny, f"it={MUSHROOM}"), "What is @it?")
    session.move("it", -375, 173)
    asked(session, "What is @it?")
    save_transcript(session, tmp_path / "chat.json")
    again = loaded(tmp_path / "chat.json", tiny)
    assert [(turn.question, turn.answer) for turn in again.exchanges] == [
        ("What is @it?", "a mushroom"),
        ("What is @it?", "a house"),
    ]
    assert again.prompt("And now?") == session.prompt("And now?")
    assert again.view.source == "meadow.png"
    assert np.array_equal(again.marked().picture, session.marked().picture)
    again.move("it", 375, -173)
    assert again.ask("What is @it?").finished().text == "a mushroom"


def test_a_transcript_moves_with_its_pictures(about_meadow, tmp_path):
    (tmp_path / "here").mkdir()
    session = about_meadow(Scripted(), f"it={MUSHROOM}")
    bitmap = np.zeros((480, 640), bool)
    bitmap[100:200, 300:400] = True
    session.add(Mask(bitmap=bitmap, name="region"))
    session.move("region", 50, 0)
    save_transcript(asked(session, "Hm?"), tmp_path / "here" / "chat.json")
    (tmp_path / "here").rename(tmp_path / "there")
    again = loaded(tmp_path / "there" / "chat.json")
    assert again.view.markers[1].bounds == (350, 100, 450, 200)
    assert np.array_equal(again.marked().picture, session.marked().picture)


def test_turns_without_a_picture_are_kept_too(tmp_path):
    save_transcript(asked(ChatSession(Scripted("a bird"), system="Be brief."), "What is a duck?"), tmp_path / "c.json")
    again = loaded(tmp_path / "c.json")
    assert again.system == "Be brief."
    assert again.view.picture is None
    assert again.exchanges[0].answer == "a bird"


def test_a_markdown_transcript_shows_each_marked_picture_once(about_meadow, tmp_path):
    session = asked(about_meadow(Scripted(), f"it={MUSHROOM}@red"), "One?", "Two?")
    session.add(f"home={HOUSE}@blue")
    save_transcript(asked(session, "Three?"), tmp_path / "chat.md")
    text = (tmp_path / "chat.md").read_text()
    links = re.findall(r"(?m)^!\[meadow\.png\]\((chat_pictures/[0-9a-f]{16}\.png)\)$", text)
    assert len(links) == text.count("![") == 2
    assert text.index("**One?**") < text.index("**Two?**") < text.index(links[1]) < text.index("**Three?**")
    assert "- `box:home=57,287,231,461@blue`" in text
    assert {f"chat_pictures/{file.name}" for file in (tmp_path / "chat_pictures").iterdir()} == set(links)
    assert np.array_equal(np.asarray(Image.open(tmp_path / links[1])), session.marked().picture)


def test_a_later_transcript_changes_no_earlier_one(about_meadow, tmp_path):
    session = asked(about_meadow(Scripted(), f"it={MUSHROOM}@red"), "One?")
    before = session.marked().picture
    save_transcript(session, tmp_path / "chat.md")
    (shown,) = (tmp_path / "chat_pictures").iterdir()
    session.forget()
    session.move("it", -375, 173)
    save_transcript(asked(session, "Two?"), tmp_path / "chat.json")
    assert shown.name in (tmp_path / "chat.md").read_text()
    assert np.array_equal(np.asarray(Image.open(shown)), before)
    after = loaded(tmp_path / "chat.json")
    save_transcript(session, tmp_path / "chat.md")
    assert np.array_equal(loaded(tmp_path / "chat.json").view.picture, after.view.picture)


def test_a_transcript_overwrites_no_picture_that_it_is_about(meadow, tmp_path):
    source = tmp_path / "chat_pictures" / "1.png"
    source.parent.mkdir()
    save_picture(meadow, source)
    session = ChatSession(Scripted())
    session.show(open_picture(source), str(source), [MUSHROOM])
    save_transcript(asked(session, "Hm?"), tmp_path / "chat.json")
    assert np.array_equal(open_picture(source), meadow)


def test_a_picture_that_is_there_is_not_written_again(about_meadow, tmp_path):
    session = asked(about_meadow(Scripted(), MUSHROOM), "Hm?")
    save_transcript(session, tmp_path / "chat.json")
    before = {file: file.stat().st_ino for file in (tmp_path / "chat_pictures").iterdir()}
    assert len(before) == 2
    save_transcript(session, tmp_path / "chat.json")
    assert {file: file.stat().st_ino for file in (tmp_path / "chat_pictures").iterdir()} == before


def test_hostile_text_is_text_in_markdown_and_survives_json(about_meadow, meadow, tmp_path):
    hostile = "![x](http://evil.example) <script> **b**\n# title \ud800"
    session = ChatSession(Scripted("fine"))
    session.show(meadow, "](evil)<b>.png")
    asked(session, hostile)
    save_transcript(session, tmp_path / "chat.md")
    save_transcript(session, tmp_path / "chat.json")
    text = (tmp_path / "chat.md").read_text()
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\n# title" not in text
    assert "![x](" not in text
    assert loaded(tmp_path / "chat.json").exchanges[0].question.startswith("![x](http://evil.example) <script>")


def test_an_answer_is_harmless_in_markdown_and_keeps_its_form(tmp_path):
    answer = "**bold**\n\n- <img src=x> ![p](http://evil.example) \\<b> \\![q](x)\n\x1b[31m \u202e \ud800"
    session = asked(ChatSession(Scripted(answer)), "A \x1b[31m question & &lt;")
    save_transcript(session, tmp_path / "chat.md")
    text = (tmp_path / "chat.md").read_text()
    assert "**bold**\n\n- &lt;img src=x> &#33;[p]" in text
    assert "<" not in text
    assert "![" not in text
    assert "A \\\\x1b\\[31m question \\& \\&lt;" in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_link_to_a_picture_works_whatever_the_files_are_called(about_meadow, tmp_path):
    session = asked(about_meadow(Scripted(), MUSHROOM), "Hm?")
    save_transcript(session, tmp_path / "a (b) <c> %41 é.md")
    (link,) = re.findall(r"(?m)^!\[meadow\.png\]\(([^ ()<>]+)\)$", (tmp_path / "a (b) <c> %41 é.md").read_text())
    assert (tmp_path / urllib.parse.unquote(link)).is_file()


@pytest.mark.parametrize("what", ["pipe", "/dev/zero", "folder"])
def test_only_a_file_is_loaded(tmp_path, what):
    path = Path(what) if what.startswith("/") else tmp_path / what
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    with pytest.raises(VipError, match="is no file"):
        loaded(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "chat.json").open("wb") as file:
        file.truncate(51 * 2**20)
    with pytest.raises(VipError, match="larger than the limit of 50 MB"):
        loaded(tmp_path / "chat.json")


ELSEWHERE = ["{tmp}/secret.png", "../secret.png", "chat_pictures/../../secret.png", "-", "http://localhost:9/x.png"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("picture", name) for name in ELSEWHERE), *(("mask", name) for name in ELSEWHERE if name != "-")],
)
def test_nothing_outside_a_transcripts_folder_is_opened(about_meadow, meadow, monkeypatch, tmp_path, kind, name):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    save_picture(meadow, tmp_path / "secret.png")
    save_transcript(asked(about_meadow(Scripted()), "Hm?"), "chat.json")
    saved = json.loads(Path("chat.json").read_text())
    name = name.format(tmp=tmp_path)
    if kind == "picture":
        saved["views"][0]["picture"] = name
    else:
        saved["views"][0]["markers"] = [f"MASK:it={name}@red"]
    Path("chat.json").write_text(json.dumps(saved))
    monkeypatch.setattr("vipcli.images.opening.bytes_of", opened := Mock())
    with pytest.raises(VipError, match="lie beside it; it wasn't opened"):
        loaded("chat.json")
    assert opened.call_count == 0


@pytest.mark.parametrize("text", ["mask:9,9,99,9,50,99", "mask:a=9.5,9,99,9,1e2,99@#102030,width=2px,alpha=0.25"])
def test_a_mask_of_corners_is_loaded(about_meadow, tmp_path, text):
    save_transcript(asked(about_meadow(Scripted(), text), "Hm?"), tmp_path / "chat.json")
    assert isinstance(loaded(tmp_path / "chat.json").view.markers[0], Mask)


UNREADABLE = {
    "nothing there": (None, "it can't be read: No such file"),
    "no JSON": ("hello", "it is no transcript"),
    "other JSON": ("[1, 2]", "it is no transcript"),
    "deep JSON": ("[" * 100_000, "it is no transcript"),
    "an object of something else": ('{"vip_transcript": 1}', "it is no transcript"),
    "a later format": ('{"vip_transcript": 2}', "another version of vip"),
    "no UTF-8": (b"\xff\xfe", "it is no transcript"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_loaded_is_one_sentence_and_changes_nothing(about_meadow, tmp_path, case):
    content, sentence = UNREADABLE[case]
    path = tmp_path / "chat.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    session = asked(about_meadow(Scripted(), MUSHROOM), "Hm?")
    before = session.view, session.exchanges
    with pytest.raises(VipError, match=sentence) as error:
        load_transcript(session, path)
    assert "\n" not in str(error.value)
    assert (session.view, session.exchanges) == before


@pytest.mark.parametrize("spoil", ["turn", "view", "marker", "picture"])
def test_a_damaged_transcript_changes_nothing(about_meadow, tmp_path, spoil):
    session = asked(about_meadow(Scripted(), f"it={MUSHROOM}"), "Hm?")
    path = tmp_path / "chat.json"
    save_transcript(session, path)
    saved = json.loads(path.read_text())
    if spoil == "turn":
        saved["turns"][0]["view"] = 7
    elif spoil == "view":
        saved["view"] = "first"
    elif spoil == "marker":
        saved["views"][0]["markers"] = ["box:1,2"]
    else:
        (tmp_path / saved["views"][0]["picture"]).write_bytes(b"gone")
    path.write_text(json.dumps(saved))
    before = session.exchanges
    with pytest.raises(VipError):
        load_transcript(session, path)
    assert session.exchanges is before


def test_a_transcript_says_its_format_by_its_suffix(about_meadow, tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.md or \.json"):
        save_transcript(about_meadow(Scripted()), tmp_path / "chat.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing/chat.json", "file/chat.md", "chat\0.json", "n" * 300 + ".md"])
def test_where_nothing_can_be_written_it_is_one_sentence(about_meadow, tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    if name.startswith("missing"):
        (tmp_path / "missing").write_text("in the way")
    session = asked(about_meadow(Scripted()), "Hm?")
    with pytest.raises(VipError) as error:
        save_transcript(session, tmp_path / name)
    assert str(error.value).isprintable()
