"""Manifests: JSON lines and CSV, with whatever people write into them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markers.formats.samples import write
from PIL import Image

from vipcli.batch.asking import Asking
from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.batch.places import placed, placed_marker
from vipcli.batch.preparing import Facts, prepare
from vipcli.batch.sources import open_source
from vipcli.errors import UsageError, plain, quote


def items(folder: Path, name: str, content: str | bytes, asking: Asking | None = None) -> list[Item | BadItem]:
    path = write(folder, {name: content}) / name
    return list(open_source([str(path)], asking or Asking()).items())


def bad(found: list[Item | BadItem]) -> list[tuple[str, str]]:
    return [(one.where, one.sentence) for one in found if isinstance(one, BadItem)]


def why(folder: Path, name: str, content: str | bytes, asking: Asking | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        items(folder, name, content, asking)
    return str(caught.value)


# JSON lines


def test_a_line_has_image_question_markers_id_and_what_else_is_carried_through(tmp_path):
    row = {"id": 7, "image": "a.jpg", "question": "What is @1?", "markers": ["1,2,3,4", "point:5,6"], "n": [1, None]}
    (item,) = items(tmp_path, "m.jsonl", json.dumps({**row, "none": None, "flag": False}), Asking(coords="relative"))
    markers = (MarkerText("1,2,3,4", None, "relative"), MarkerText("point:5,6", None, "relative"))
    assert (item.id, item.image, item.question) == ("7", str(tmp_path / "a.jpg"), "What is @1?")
    assert item.markers == markers
    assert item.fields == {"n": [1, None], "flag": False}
    assert item.where == "m.jsonl, line 1"


@pytest.mark.parametrize(("markers", "count"), [("1,2,3,4", 1), (["1,2,3,4", "1,2"], 2), ([], 0), ("", 0), (None, 0)])
def test_markers_are_a_text_or_a_list_of_them(tmp_path, markers, count):
    (item,) = items(tmp_path, "m.jsonl", json.dumps({"image": "a", "question": "?", "markers": markers}))
    assert len(item.markers) == count


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image": None}, "it has no image"),
        ({"image": ""}, "its image is no path or URL"),
        ({"image": ["a.jpg"]}, "its image is no path or URL"),
        ({"question": 5}, "its question is no text"),
        ({"question": " "}, "it has no question, and no -q asks one"),
        ({"markers": [[1, 2, 3, 4]]}, 'its markers are no list of texts, like ["40,30,200,180"]'),
        ({"markers": 0}, 'its markers are no list of texts, like ["40,30,200,180"]'),
        ({"markers": False}, 'its markers are no list of texts, like ["40,30,200,180"]'),
        ({"markers": {"box": "1,2,3,4"}}, 'its markers are no list of texts, like ["40,30,200,180"]'),
        ({"id": True}, "its id is neither text nor a number"),
        ({"id": {}}, "its id is neither text nor a number"),
    ],
)
def test_a_line_that_cant_be_asked_is_said_and_the_rest_goes_on(tmp_path, change, sentence):
    good = {"image": "a.jpg", "question": "?"}
    found = items(tmp_path, "m.jsonl", f"{json.dumps(good)}\n{json.dumps({**good, **change})}\n{json.dumps(good)}")
    assert bad(found) == [("m.jsonl, line 2", sentence)]
    assert [one.id for one in found] == ["line 1", "line 2", "line 3"]


@pytest.mark.parametrize(
    "line", ["no", "[1]", "null", '{"image": "a"', '{"image": "a"}}', "[" * 5000, '{"n": ' + "9" * 5000 + "}", "\ud800"]
)
def test_what_is_no_json_object_is_said_with_its_line(tmp_path, line):
    content = ('{"image": "a", "question": "?"}\r\n\r\n' + line + "\r\n").encode("utf-8", "surrogatepass")
    found = items(tmp_path, "m.jsonl", content)
    assert bad(found) == [("m.jsonl, line 3", "it is no JSON object")]


@pytest.mark.parametrize(("given", "name"), [("x", "x"), (5, "5"), (1.5, "1.5"), ("", "line 1"), (None, "line 1")])
def test_an_id_is_text_or_a_number_or_else_the_line(tmp_path, given, name):
    (item,) = items(tmp_path, "m.jsonl", json.dumps({"id": given, "image": "a", "question": "?"}))
    assert item.id == name


def test_numbers_that_json_cant_hold_are_carried_through_as_text(tmp_path):
    (item,) = items(tmp_path, "m.jsonl", '{"image": "a", "question": "?", "a": NaN, "b": [-Infinity], "c": 1e999}')
    assert item.fields == {"a": "NaN", "b": ["-Infinity"], "c": "1e999"}
    json.dumps(dict(item.fields), allow_nan=False)


def test_values_may_be_nested_but_not_without_end(tmp_path):
    line = '{"image": "a", "question": "?", "deep": %s}'
    content = "\n".join(line % ("[" * depth + "]" * depth) for depth in (49, 60, 800))
    sentence = "it has more than 50 lists or objects in each other"
    assert bad(items(tmp_path, "m.jsonl", content)) == [(f"m.jsonl, line {n}", sentence) for n in (2, 3)]


def test_a_byte_order_mark_and_bytes_that_arent_utf8_do_no_harm(tmp_path):
    (item,) = items(tmp_path, "m.jsonl", b'\xef\xbb\xbf{"image": "\xff.jpg", "question": "\xe9?", "n\xff": 1}\n')
    assert item.image == str(tmp_path / "\udcff.jpg")
    assert item.fields == {"n\udcff": 1}


# Pictures


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        ("a.jpg", "m/a.jpg"),
        ("../a.jpg", "m/../a.jpg"),
        ("/a.jpg", "/a.jpg"),
        ("https://x/a.jpg", "https://x/a.jpg"),
        ("DATA:image/png;base64,AA==", "DATA:image/png;base64,AA=="),
        ("-", "m/-"),
    ],
)
def test_relative_pictures_lie_beside_the_manifest(image, seen):
    assert placed(image, Path("m")) == seen


@pytest.mark.parametrize("base", [None, Path(".")])
def test_a_picture_called_dash_is_a_file_and_never_standard_input(base):
    assert placed("-", base) == "./-"


# Masks


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("mask:cat.png", "mask:m/cat.png"),
        ("MASK:cat=../cat.png@red,width=4", "MASK:cat=m/../cat.png@red,width=4"),
        ("mask:12.png", "mask:m/12.png"),
        ("mask:/cat.png", "mask:/cat.png"),
        ("mask:https://x/cat.png", "mask:https://x/cat.png"),
        ("mask:a=1,2,3,4,5,6", "mask:a=1,2,3,4,5,6"),
        ("mask:1,2 3%,4,1e2,6@red", "mask:1,2 3%,4,1e2,6@red"),
        ("mask:", "mask:"),
        ("box:cat.png", "box:cat.png"),
        ("1,2,3,4", "1,2,3,4"),
    ],
)
def test_relative_masks_lie_beside_the_manifest(text, seen):
    assert placed_marker(text, Path("m")) == seen
    assert placed_marker(text, Path(".")) == placed_marker(text, None) == text


@pytest.mark.parametrize("name", ["m.jsonl", "m.csv", "r.jsonl"])
def test_a_mask_of_a_list_is_found_from_whatever_folder(tmp_path, monkeypatch, name):
    (tmp_path / "lists").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "lists" / "a.png")
    mask = Image.new("L", (40, 30))
    mask.paste(255, (10, 10, 20, 20))
    mask.save(tmp_path / "lists" / "cat.png")
    url = {"type": "image_url", "image_url": {"url": "a.png"}, "markers": ["mask:cat=cat.png@red"]}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is @cat?"}, url]}]
    row = {"image": "a.png", "question": "What is @cat?", "markers": "mask:cat=cat.png@red"}
    content = {
        "m.jsonl": json.dumps(row),
        "m.csv": "image,question,markers\na.png,What is @cat?,mask:cat=cat.png@red\n",
        "r.jsonl": json.dumps({"custom_id": "r", "body": {"messages": messages}}),
    }
    (tmp_path / "lists" / name).write_text(content[name])
    for folder, path in ((tmp_path, Path("lists")), (tmp_path / "lists", Path()), (Path("/"), tmp_path / "lists")):
        monkeypatch.chdir(folder)
        (item,) = open_source([str(path / name)], Asking()).items()
        drawn = prepare(item, Facts(28)).markers
        assert drawn == (f"mask:cat={path / 'cat.png'}@red",)


# CSV


def test_a_csv_file_has_a_header_and_its_columns_in_any_order(tmp_path):
    content = 'label , question,markers,image,id\ncat,Is @1 a {label}?,"1,2,3,4; point:5,6;",a.jpg,x\n'
    (item,) = items(tmp_path, "m.csv", content)
    assert (item.id, item.question) == ("x", "Is @1 a {label}?")
    assert [one.text for one in item.markers] == ["1,2,3,4", " point:5,6"]
    assert item.fields == {"label": "cat"}


def test_markers_of_a_csv_file_may_be_a_json_list(tmp_path):
    content = 'image,question,markers\na,?,"[""1,2"", ""mask:a;b.png""]"\na,?,[1\na,?,[1]\na,?, \n'
    first, *others, last = items(tmp_path, "m.csv", content)
    assert [one.text for one in first.markers] == ["1,2", f"mask:{tmp_path}/a;b.png"]
    assert [one.sentence for one in others] == ['its markers are no list of texts, like ["40,30,200,180"]'] * 2
    assert others[0].image == str(tmp_path / "a"), "as every item has it"
    assert last.markers == ()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_quoted_lines_ends_and_marks_of_any_system(tmp_path, end, mark):
    lines = ["image,question,note", 'a.jpg,"one,', 'two",', "", "a.jpg,b", 'b.jpg,"say ""hi""",3', ""]
    first, second, third = items(tmp_path, "m.csv", mark + end.join(lines))
    assert (first.question, first.fields, first.where) == (f"one,{end}two", {}, "m.csv, line 2")
    assert (second.where, second.sentence) == ("m.csv, line 5", "it has 2 columns and the header 3")
    assert (third.question, third.fields, third.id) == ('say "hi"', {"note": "3"}, "line 6")


def test_a_quote_that_isnt_closed_is_an_error_and_not_the_rest_of_the_file(tmp_path):
    content = 'image,question\na,fine\nb,"open\nc,?\nd,?\n'
    found = items(tmp_path, "m.csv", content)
    assert found[0].question == "fine"
    assert bad(found) == [("m.csv, line 3", "it can't be read up to line 5: unexpected end of data")]
    found = items(tmp_path, "m.csv", 'image,question\na,"x" y\nb,?\n')
    assert bad(found) == [("m.csv, line 2", "it can't be read: ',' expected after '\"'")]
    assert found[1].question == "?"


def test_a_picture_as_a_data_uri_fits_into_a_csv_field(tmp_path):
    image = "data:image/png;base64," + "A" * 1_000_000
    (item,) = items(tmp_path, "m.csv", f'image,question\n"{image}",?\n')
    assert item.image == image


def test_zero_bytes_and_empty_fields_do_no_harm(tmp_path):
    first, second = items(tmp_path, "m.csv", "image,question,x\na\0.jpg,\0,\n,?,\n")
    assert (first.image, first.question, first.fields) == (str(tmp_path / "a\0.jpg"), "\0", {})
    assert second.sentence == "it has no image"


def test_columns_without_a_name_are_called_by_their_number(tmp_path):
    (item,) = items(tmp_path, "m.csv", "image,question,,\na,?,x,y\n")
    assert item.fields == {"column 3": "x", "column 4": "y"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty: its first line names the columns"),
        ("picture,question\na,?\n", "has no column 'image'; it has picture, question"),
        ("image;question\na;?\n", "has no column 'image'; it has image;question alone (commas separate columns)"),
        ("image,id\na,1\n", "has no column 'question', and no -q asks a question; it has image, id"),
        ("image,question,x,x\n", "has two columns 'x'"),
        ('image,"question', "the names of its columns can't be read: unexpected end of data"),
        ("im\x1bage,question\n", "it has im\\x1bage, question"),
    ],
)
def test_a_header_that_lacks_something_is_said_before_any_work(tmp_path, content, sentence):
    path = write(tmp_path, {"m.csv": content}) / "m.csv"
    with pytest.raises(UsageError) as caught:
        open_source([str(path)], Asking())
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "template", "sentence"),
    [
        ("image,label", "A {lable}?", "the question has {lable}, which PATH lacks; it has {label}, {id} (and {{ is a"),
        ("image,markers", "{nam}", "the question has {nam}, which PATH lacks; it has {id}, {name} (and {{ is a brace)"),
        ("image,question", "{image}", "the question has {image}, which PATH lacks; it has {question}, {id} (and {{ is"),
    ],
)
def test_a_name_that_is_no_column_is_said_before_any_work(tmp_path, columns, template, sentence):
    path = write(tmp_path, {"m.csv": f"{columns}\na,\n"}) / "m.csv"
    with pytest.raises(UsageError) as caught:
        open_source([str(path)], Asking(template))
    assert str(caught.value).startswith(sentence.replace("PATH", quote(str(path))))


def test_a_column_that_is_empty_concerns_its_line_alone(tmp_path):
    first, second = items(tmp_path, "m.csv", "image,label\na,\nb,cat\n", Asking("A {label}?"))
    assert first.sentence == "the question has {label}, which this item lacks; it has {id} (and {{ is a brace)"
    assert second.question == "A cat?"


def test_a_question_of_the_command_line_needs_no_column(tmp_path):
    (item,) = items(tmp_path, "m.csv", "image,label\na,cat@home\n", Asking("A {label}?"))
    assert item.question == "A cat@@home?"
    (item,) = items(tmp_path, "m.csv", "image,question\na,How?\n", Asking("{question} Say why."))
    assert item.question == "How? Say why."


def test_each_asks_about_every_marker_of_a_line(tmp_path):
    found = items(tmp_path, "m.csv", 'image,markers\na,"1,2;cat=3,4"\n', Asking("{name}", each=True))
    assert [(one.id, one.question) for one in found] == [("line 2#1", "1"), ("line 2#2", "cat")]


def test_a_list_that_cant_be_read_is_said(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    for name in ("m.csv", "m.jsonl", "m.txt"):
        path = write(tmp_path, {name: "image\n"}) / name
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refuse)
            with pytest.raises(UsageError, match=r"can't be read: Permission denied"):
                list(open_source([str(path)], Asking("?")).items())


# Whatever stands in it

_JSON = b'{"id": "a", "image": "x/a.jpg", "question": "Is @1 a {b}? \\u00e9", "markers": ["1,2,3,4@red"], "b": 1.5e3}\n'
_CSV = b'id,image,question,markers,b\r\n1,"a ""1"".jpg","Is @1\na {b}?","1,2,3,4;5,6",x\r\n2,b.jpg,?,"[""1,2""]",\r\n'
_BITS = [
    b"\xff",
    b"\0",
    b'"',
    b"'",
    b"\n",
    b"\r",
    b",",
    b";",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\ud800",
    b"\\",
    b"NaN",
    b"1e999",
]
_BITS += [b"null", b"true", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b":", b'"id":7,', b"-", b"data:"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@pytest.mark.parametrize(("name", "content"), [("m.jsonl", _JSON * 3), ("m.csv", _CSV)])
@settings(max_examples=125, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_of_mutated_lines_come_items_or_sentences_and_nothing_else(folder, name, content, data):
    """125 files of each kind, in which at least two lines are mutated: 500 lines."""
    for _ in range(data.draw(st.integers(2, 5))):
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(st.sampled_from(_BITS)) + content[at + data.draw(st.integers(0, 9)) :]
    asking = data.draw(st.sampled_from([Asking(), Asking("{b} {id}"), Asking("{name}?", each=True)]))
    found: list[Item | BadItem] = []
    with contextlib.suppress(UsageError):  # of the header
        found = items(folder, name, content, asking)
    for one in found:
        assert one.id
        assert one.where.startswith("m.")
        if isinstance(one, BadItem):
            assert plain(one.sentence) == one.sentence
        else:
            json.dumps([one.id, one.image, one.question, dict(one.fields)], allow_nan=False)
            assert one.question.strip()
            assert one.digest(None) == one.digest(None)
