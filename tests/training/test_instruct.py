"""The authors' instruct format, with whatever stands in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markers.formats.samples import write

from vipcli.errors import UsageError, plain
from vipcli.markers.formats import Rle
from vipcli.prompt import Turn
from vipcli.training.instruct import read_instruct
from vipcli.training.regions import Bad, Entry

# As docs/Finetune_Custom_Data.md and llava/visual_prompt_organizer.py of mu-cai/ViP-LLaVA have them.
ENTRY: dict[str, Any] = {
    "id": "refcocog-gpt4v-7",
    "image": "coco/a.jpg",
    "bboxes": [[1, 2.5, 30, 40], [5, 6, 20, 20]],
    "segmentations": [[[1, 2, 30, 2, 30, 40], [1, 2, 3, 4]], None],
    "conversations": [
        {"from": "human", "value": "<image>\nWhat is <bbox0> doing?"},
        {"from": "gpt", "value": "It is beside <bbox1>."},
        {"from": "human", "value": "Why?"},
        {"from": "gpt", "value": "Who knows."},
    ],
}


def read(folder: Path, content: object) -> list[Entry | Bad]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return list(read_instruct(write(folder, {"s.json": data}) / "s.json", Path("pictures")))


def test_an_entry_has_regions_with_outlines_and_turns_with_placeholders(tmp_path):
    (one,) = read(tmp_path, [ENTRY])
    assert (one.id, one.where) == ("refcocog-gpt4v-7", "s.json, entry 1 (id 'refcocog-gpt4v-7')")
    assert one.image == "pictures/coco/a.jpg"
    assert [region.box for region in one.regions] == [(1, 2.5, 30, 40), (5, 6, 20, 20)]
    assert one.regions[0].outline == (((1, 2), (30, 2), (30, 40)),), "two points are no polygon"
    assert one.regions[1].outline is None
    assert one.conversations == ((Turn("What is <bbox0> doing?", "It is beside <bbox1>."), Turn("Why?", "Who knows.")),)
    assert one.at_once is None


@pytest.mark.parametrize(
    ("outline", "read_as"),
    [
        (None, None),
        ([], None),
        ([[1, 2, 3, 4]], None),
        ([1, 2, 3, 4, 5, 6], (((1, 2), (3, 4), (5, 6)),)),
        ([[1, 2], [3, 4], [5, 6]], (((1, 2), (3, 4), (5, 6)),)),
        ([[1, 2, 3, 4, 5, 6], [0, 0, 9, 0, 9, 9]], (((1, 2), (3, 4), (5, 6)), ((0, 0), (9, 0), (9, 9)))),
        ({"size": [30, 40], "counts": "abc"}, Rle((30, 40), "abc")),
        ({"size": [30, 40], "counts": [3, 4]}, Rle((30, 40), (3, 4))),
    ],
)
def test_outlines_are_written_in_all_of_cocos_ways(tmp_path, outline, read_as):
    (one,) = read(tmp_path, [{**ENTRY, "bboxes": [[1, 2, 3, 4]], "segmentations": [outline]}])
    assert one.regions[0].outline == read_as


def test_what_may_be_missing(tmp_path):
    talk = [{"from": "human", "value": "Hi <image>"}, {"from": "gpt", "value": " Hello "}]
    bare, documented, numbered = read(
        tmp_path,
        [
            {"conversations": talk},
            {"image": "a.jpg", "bbox": [[1, 2, 3, 4]], "conversations": talk},
            {"id": 7, "image": "a.jpg", "conversations": talk},
        ],
    )
    assert (bare.id, bare.where, bare.image, bare.regions) == ("entry 1", "s.json, entry 1", None, ())
    assert bare.conversations == ((Turn("Hi", "Hello"),),)
    assert len(documented.regions) == 1, "docs/Finetune_Custom_Data.md calls them bbox"
    assert numbered.id == "7"


def test_texts_cant_act_as_separators(tmp_path):
    talk = [{"from": "human", "value": "a ### b\0"}, {"from": "gpt", "value": "###Human: <image> no"}]
    (one,) = read(tmp_path, [{"conversations": talk}])
    ((turn,),) = one.conversations
    assert "###" not in turn.question + turn.answer
    assert "<image>" not in turn.answer
    assert "\0" not in turn.question


def said(*texts: object) -> list[dict[str, object]]:
    return [{"from": "gpt" if i % 2 else "human", "value": text} for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"conversations": None}, "its conversations must be a list, got nothing"),
        ({"conversations": []}, "its conversation is empty"),
        ({"conversations": said("a")}, "its last question has no answer"),
        ({"conversations": said("a", "b", "c")}, "its last question has no answer"),
        ({"conversations": said("a", " ")}, "its answer 1 is empty"),
        ({"conversations": said("<image>\n", "b")}, "its question 1 is empty"),
        ({"conversations": said("a", "b", "c", "")}, "its answer 2 is empty"),
        ({"conversations": said("a", "caf\udce9")}, "the value of its turn 2 isn't UTF-8: 'caf\\\\xe9'"),
        ({"conversations": said("a", 5)}, "the value of its turn 2 must be a text, got 5"),
        (
            {"conversations": said("a", "b")[::-1]},
            "its turns don't alternate: number 1 must be from 'human', and is from \"gpt\"",
        ),
        (
            {"conversations": said("a", "b")[:1] * 2},
            "its turns don't alternate: number 2 must be from 'gpt', and is from \"human\"",
        ),
        ({"conversations": ["a"]}, "its turns don't alternate: number 1 must be from 'human', and is \"a\""),
        ({"segmentations": [None]}, "it has 2 boxes and 1 segmentations: there must be one for each"),
        ({"segmentations": 5}, "its segmentations must be a list, got 5"),
        ({"segmentations": [None, 5]}, "its segmentation 1 must be a list of polygons, got 5"),
        ({"segmentations": [None, [[1, 2, 3, 4, 5]]]}, "a polygon of its segmentation 1 has 5 numbers, which is odd"),
        (
            {"segmentations": [None, {"size": [1, 2]}]},
            "the counts of its segmentation 1 must be a text or a list of whole numbers, got nothing",
        ),
        ({"bboxes": 5}, "its boxes must be a list of [x1, y1, x2, y2], got 5"),
        ({"bboxes": [[1, 2, 3]]}, "it has 1 boxes and 2 segmentations: there must be one for each"),
        ({"bboxes": [[1, 2, 3], []]}, "its box 0 must be a list of 4 numbers, got a list of 3"),
        ({"bboxes": [[1, 2, 3, 4], [1, 2, 3, "x"]]}, 'its box 1 must be a number, got "x"'),
        ({"image": ["a.jpg"]}, "its image must be the path of a picture, got a list of 1"),
        ({"image": ""}, 'its image must be the path of a picture, got ""'),
        ({"image": "https://x/a.jpg"}, "its image must be a file, not an address: download https://x/a.jpg first"),
    ],
)
def test_an_entry_that_cant_be_learnt_from_is_said_and_the_rest_goes_on(tmp_path, change, sentence):
    first, second, third = read(tmp_path, [ENTRY, {**ENTRY, **change, "id": "x\x1b"}, ENTRY])
    assert isinstance(first, Entry)
    assert second == Bad(r"s.json, entry 2 (id 'x\\x1b')", sentence)
    assert isinstance(third, Entry)


def test_what_has_no_conversations_and_what_is_no_object_is_said(tmp_path):
    without = {key: value for key, value in ENTRY.items() if key != "conversations"}
    assert [one.sentence for one in read(tmp_path, [without, 5, [1]])] == [
        "it has no conversations",
        "it must be an object, got 5",
        "it must be an object, got a list of 1",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"[{", "isn't whole JSON"),
        (b"{}", "isn't the instruct format: it must be a list of objects with conversations"),
        (b"\xff\xff", "isn't UTF-8"),
    ],
)
def test_a_file_that_cant_be_read_at_all_is_an_error(tmp_path, content, sentence):
    with pytest.raises(UsageError, match=sentence):
        read(tmp_path, content)
    with pytest.raises(UsageError, match=r"gone\.json: can't be read: No such file"):
        list(read_instruct(tmp_path / "gone.json", tmp_path))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["human", "gpt", "<bbox0>"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*ENTRY, "from", "value", "size", "counts"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(st.sampled_from(list(ENTRY)), _JSON).map(lambda change: {**ENTRY, **change}) | _JSON, max_size=3
    )
)
def test_of_whatever_stands_in_a_list_come_entries_or_sentences(tmp_path, content):
    for one in read(tmp_path, content):
        assert plain(one.where) == one.where
        if isinstance(one, Bad):
            assert plain(one.sentence) == one.sentence
        else:
            assert all(turn.question.strip() and turn.answer.strip() for turns in one.conversations for turn in turns)
