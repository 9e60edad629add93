"""``/v1/mark``, and the page's files."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from server.serving import MEADOW, Served, data_uri, error_of

from vipcli import mark
from vipcli.engine import MODELS, input_square
from vipcli.images import fit

MARKERS = ["mushroom=448,126,590,275@blue", "arrow:20,20,120,80", "mask:10,10,60,10,60,60@red,alpha=0.3"]


def pixels(response) -> np.ndarray:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.content)))


@pytest.mark.parametrize("tags", [False, True])
def test_it_is_the_picture_of_vip_mark(served: Served, tags: bool):
    response = served.post("/v1/mark", {"image": data_uri(), "markers": MARKERS, "tags": tags})
    marked = mark(MEADOW, MARKERS, tags=tags)
    assert (pixels(response) == marked.picture).all()
    assert json.loads(response.headers["Vip-Markers"])[0] == "box:mushroom=448,126,590,275@blue"
    assert json.loads(response.headers["Vip-Warnings"]) == []


def test_as_the_model_sees_it_is_the_models_square(served: Served):
    response = served.post("/v1/mark", {"image": data_uri(), "markers": MARKERS, "as_model_sees_it": True})
    square = input_square(MODELS["tiny"])
    assert square is not None
    assert (pixels(response) == fit(mark(MEADOW, MARKERS).picture, square.side).picture).all()


def test_what_may_not_be_seen_is_said(served: Served):
    response = served.post("/v1/mark", {"image": data_uri(), "markers": ["600,400,700,500"]})
    (warning,) = json.loads(response.headers["Vip-Warnings"])
    assert "clipped" in warning or "outside" in warning


@pytest.mark.parametrize(
    ("body", "param", "sentence"),
    [
        ({}, "image", "image must be a data: URI"),
        ({"image": 5}, "image", "image must be a data: URI"),
        ({"image": data_uri(), "boxes": []}, "boxes", "there is no field boxes"),
        ({"image": data_uri(), "tags": "yes"}, "tags", "tags must be true or false"),
        ({"image": data_uri(), "markers": ["1,2"]}, "markers", "a box needs 4 numbers"),
        ({"image": data_uri(), "markers": ["mask:http://host/a.png"]}, "markers[0]", "reads no mask file"),
        ({"image": "data:image/png;base64,"}, "image", "the data: URI is empty"),
        ([], None, "the body must be a JSON object"),
    ],
)
def test_what_cant_be_marked_is_one_sentence(served: Served, body, param, sentence):
    response = served.post("/v1/mark", body)
    assert response.status_code == 400
    assert sentence in error_of(response)["message"]
    assert error_of(response)["param"] == param


def test_the_page_is_there_with_all_that_it_names(served: Served):
    import re

    page = served.get("/")
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        assert served.get(name).status_code == 200, name


def test_what_isnt_there_is_said_as_an_api_does(served: Served):
    for response, status in ((served.get("/v1/nothing"), 404), (served.get("/v1/mark"), 405)):
        assert response.status_code == status
        assert error_of(response)["type"] == "invalid_request_error"
    assert served.get("/v1/models/gpt-4").status_code == 404
