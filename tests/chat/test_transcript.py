"""A conversation written to a file, and gone on with from there."""

from __future__ import annotations

import json

import numpy as np
import pytest
from chat.scripted import HOUSE, MUSHROOM, Scripted
from PIL import Image

from vipcli.chat import ChatSession, load_transcript, save_transcript
from vipcli.errors import UsageError, VipError
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
    assert [line for line in text.splitlines() if line.startswith("!")] == [
        "![meadow.png](chat_pictures/1.png)",
        "![meadow.png](chat_pictures/2.png)",
    ]
    assert text.index("**One?**") < text.index("**Two?**") < text.index("2.png") < text.index("**Three?**")
    assert "- `box:home=57,287,231,461@blue`" in text
    assert sorted(file.name for file in (tmp_path / "chat_pictures").iterdir()) == ["1.png", "2.png"]
    shown = np.asarray(Image.open(tmp_path / "chat_pictures" / "2.png"))
    assert np.array_equal(shown, session.marked().picture)


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
