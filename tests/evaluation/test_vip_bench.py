"""ViP-Bench in the layout that it is published in, on a few records."""

import json
from pathlib import Path

import pytest
from evaluation.authors import SIZE, lay, picture, prepared, texts

from vipcli.errors import UsageError
from vipcli.evaluation.cases import Reading
from vipcli.evaluation.styles import AUTHORS, Style, all_styles
from vipcli.evaluation.tasks import task_of

PAGE = "https://huggingface.co/datasets/mucai/ViP-Bench"
META = {
    "v1_0": {
        "image_source": "v1_1.png",
        "image": "v1_1_0.png",
        "question": "What is the value of the variable in the equation <obj>?",
        "answer": "0.75<OR>x=0.75<OR>3/4",
        "capability": ["ocr", "math"],
    },
    "v1_1": {
        "image_source": "v1_1.png",
        "image": "v1_1_1.png",
        "question": "Between the object <obj1> and the object <obj2>, is the object <obj1> larger?",
        "answer": "yes",
        "capability": ["rel", "rec"],
    },
    "v1_2": {
        "image_source": "v1_2.jpg",
        "image": "v1_2_0.jpg",
        "question": "What is this, in me@home.org's picture?",
        "answer": "a cat<AND>a dog",
        "capability": ["rec", "know", "lang"],
    },
}
QUESTIONS = {
    "bbox": [
        "What is the value of the variable in the equation within the blue rectangle?",
        "Between the object within the red rectangle and the object within the grey rectangle, is the first larger?",
        "What is this, in me@home.org's picture?",
    ],
    "human": [
        "What is the value of the variable in the equation pointed to by the purple arrow?",
        "Between the object marked by the pink dot and the object within the brown ellipse, is the first larger?",
        "What is this, in me@home.org's picture?",
    ],
}


def shape(label, points, kind="rectangle"):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}}


def labelme(name, shapes):
    return {
        "version": "5.3.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": f"..\\pictures\\{name}",
        "imageData": None,
        "imageHeight": SIZE[1],
        "imageWidth": SIZE[0],
    }


SHAPES = [
    shape("obj", [[50, 40], [10, 20]]),
    shape("obj1", [[100, 10], [150, 10], [150, 60]], "polygon"),
    shape("obj2", [[5, 70], [45, 95]]),
]


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def files():
    found = {
        "vip-bench-meta-data.json": META,
        "source_image/v1_1.json": labelme("v1_1.png", SHAPES),
        "source_image/v1_2.json": labelme("v1_2.jpg", SHAPES),
        **{f"source_image/{one['image_source']}": picture() for one in META.values()},
    }
    for split, questions in QUESTIONS.items():
        rows = [
            {"question_id": number, "image": one["image"], "text": text, "category": "default"}
            for number, (one, text) in enumerate(zip(META.values(), questions, strict=True))
        ]
        found[f"{split}/questions.jsonl"] = jsonl(rows)
        found |= {f"{split}/images/{one['image']}": picture() for one in META.values()}
    return found


TASK = task_of("vip-bench")


def cases(folder, **how):
    return list(TASK.read(Reading(folder, **how)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return lay(tmp_path, files())


@pytest.mark.parametrize("split", ["bbox", "human"])
def test_pictures_and_questions_are_those_of_the_split(data, split):
    found = cases(data, split=split)
    assert [case.id for case in found] == ["v1_0", "v1_1", "v1_2"]
    assert [prepared(case).question for case in found] == QUESTIONS[split]
    assert [Path(case.image) for case in found] == [data / split / "images" / one["image"] for one in META.values()]
    assert [case.markers for case in found] == [(), (), ()]
    assert [case.truth for case in found] == [one["answer"] for one in META.values()]
    assert {case.rule for case in found} == {"judged"}
    assert found[1].where == f"{split}/questions.jsonl, line 2"


def test_capabilities_are_called_as_in_the_paper(data):
    assert [case.groups for case in cases(data)] == [
        {"capability": ("OCR", "Math")},
        {"capability": ("Rec", "Rel")},
        {"capability": ("Rec", "Know", "Lang")},
    ]


def test_the_box_split_is_asked_where_nothing_is_said(data):
    assert cases(data)[0].question == QUESTIONS["bbox"][0]
    assert TASK.splits[0] == "bbox"


def test_with_a_style_markers_are_drawn_where_labelme_has_them_and_the_words_follow(data):
    one, two, three = cases(data, split="human", style=Style("arrow", "blue", None))
    assert one.question == "What is the value of the variable in the equation pointed to by the blue arrow?"
    assert Path(one.image) == data / "source_image/v1_1.png"
    assert one.size == SIZE
    assert len(one.markers) == 1
    assert two.question.startswith(
        "Between the object pointed to by the blue arrow and the object pointed to by the yellow arrow,"
    )
    assert two.question.endswith("is the object pointed to by the blue arrow larger?")
    assert [one.groups["marking"], three.groups["marking"]] == [("drawn",), ("published",)]
    assert three.image == str(data / "human/images/v1_2_0.jpg")


def test_the_regions_are_those_of_the_labels(data):
    one, two, _ = cases(data, style=AUTHORS)
    assert texts(one) == ["box:10,20,50,40@red,w=3"] or texts(one)[0].startswith("box:10,20,50,40")
    assert texts(two)[0].startswith("box:100,10,150,60")
    contour = cases(data, style=Style("contour"))[1]
    assert texts(contour)[0].startswith("contour:100,10,150,10,150,60")


def test_every_style_can_be_drawn(data):
    for style in all_styles():
        for case in cases(data, style=style):
            assert "<obj" not in prepared(case).question


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param([shape("obj", [[1, 1], [9, 9]]), *SHAPES], id="a label that two regions have"),
        pytest.param(SHAPES[1:], id="no region of the label"),
        pytest.param([shape("obj", [[900, 900], [950, 950]]), *SHAPES], id="a label of a region and of one outside"),
        pytest.param([], id="no regions"),
    ],
)
def test_what_cannot_be_surely_drawn_stays_as_published(data, shapes):
    lay(data, {"source_image/v1_1.json": labelme("v1_1.png", shapes)})
    one = cases(data, style=AUTHORS)[0]
    assert one.groups["marking"] == ("published",)
    assert one.question == QUESTIONS["bbox"][0]
    assert one.markers == ()


def test_a_shape_that_no_question_names_may_be_anything(data):
    odd = [shape("odd", [[900, 900], [950, 950]]), shape("odder", [[1, 1], [9, 9]], "linestrip3d")]
    lay(data, {"source_image/v1_1.json": labelme("v1_1.png", [*odd, *SHAPES])})
    assert cases(data, style=AUTHORS)[0].groups["marking"] == ("drawn",)


def test_a_limit_takes_questions_from_all_over(data):
    assert [case.id for case in cases(data, limit=2)] == ["v1_0", "v1_1"]
    assert [case.id for case in cases(data, limit=1)] == ["v1_0"]
    assert len(cases(data, limit=9)) == 3


def broken(change):
    found = files()
    change(found)
    return found


def without_meta(found):
    found["vip-bench-meta-data.json"] = {key: value for key, value in META.items() if key != "v1_1"}


def changed(key, **values):
    def change(found):
        found["vip-bench-meta-data.json"] = META | {key: META[key] | values}

    return change


FAULTS = {
    "no meta data": (
        lambda found: found.pop("vip-bench-meta-data.json"),
        f"has no vip-bench-meta-data.json: .* {PAGE}",
    ),
    "no questions": (lambda found: found.pop("bbox/questions.jsonl"), f"has no bbox/questions.jsonl: .* {PAGE}"),
    "half the meta data": (
        without_meta,
        f"meta-data.json lacks 1 of the 3 questions of questions.jsonl, first v1_1: .* {PAGE}",
    ),
    "half the questions": (
        lambda found: found.update({"bbox/questions.jsonl": found["bbox/questions.jsonl"].splitlines(True)[0]}),
        "questions.jsonl lacks 2 of the 3 questions of vip-bench-meta-data.json, first v1_1",
    ),
    "meta data cut off": (
        lambda found: found.update({"vip-bench-meta-data.json": b'{"v1_0": {"image'}),
        f"vip-bench-meta-data.json isn.t whole JSON: .*{PAGE}",
    ),
    "a picture missing": (lambda found: found.pop("bbox/images/v1_1_0.png"), "1 of the 3 pictures .* are missing"),
    "a line that is no JSON": (
        lambda found: found.update({"bbox/questions.jsonl": b"{}\nno\n"}),
        "bbox/questions.jsonl, line 1: its question_id must be a number, got nothing",
    ),
    "one question twice": (
        lambda found: found.update({"bbox/questions.jsonl": found["bbox/questions.jsonl"] * 2}),
        "line 4: its question_id 0 is that of bbox/questions.jsonl, line 1 too",
    ),
    "a capability of another benchmark": (
        changed("v1_1", capability=["spat"]),
        "v1_1: its capability must be a list of rec, ocr",
    ),
    "no answer": (changed("v1_1", answer=None), "v1_1: its answer must be a text, got nothing"),
    "an address for a picture": (
        lambda found: found.update(
            {"bbox/questions.jsonl": found["bbox/questions.jsonl"].replace(b'"v1_1_0.png"', b'"http://a/b.png"')}
        ),
        "line 1: its image must be the path of a file",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_data_that_are_not_whole_are_refused_in_one_sentence(tmp_path, name):
    change, sentence = FAULTS[name]
    with pytest.raises(UsageError, match=sentence) as caught:
        cases(lay(tmp_path, broken(change)))
    assert "\n" not in str(caught.value)


def test_without_regions_no_style_is_drawn(data):
    (data / "source_image/v1_1.json").unlink()
    with pytest.raises(UsageError, match=rf"v1_0: its regions are missing, .*v1_1.json: they are published at {PAGE}"):
        cases(data, style=AUTHORS)


def test_a_split_that_there_is_not(data):
    with pytest.raises(UsageError, match="vip-bench has no split boxes: use bbox or human"):
        cases(data, split="boxes")


def test_a_folder_must_be_given():
    with pytest.raises(UsageError, match=r"--data must name the folder with vip-bench-meta-data.json"):
        cases(None)


def test_figures_of_the_paper_stand_beside_it():
    assert TASK.published == {"7b bbox": 48.4, "7b human": 48.3, "13b bbox": 48.3, "13b human": 48.2}
    assert TASK.can_restyle
    assert not TASK.marks
