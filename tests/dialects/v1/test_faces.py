"""Faces: asked for in every form, listed in every answer."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import httpx
import pytest

from superres.faces import Face, FaceReport
from superres.pipeline import UpscaleOptions
from superres.server.v1.answers import faces_headers
from tests.dialects.v1.conftest import Worker, error_of, opened, picture

JSON = {"Accept": "application/json"}
EVENTS = {"Accept": "text/event-stream"}


def check(faces: object) -> None:
    """One face was found, where it is."""
    assert isinstance(faces, list)
    (face,) = faces
    assert set(face) == {"box", "score", "tier"}
    assert set(face["box"]) == {"x", "y", "width", "height"}
    box = face["box"]
    assert box["x"] < 72 < box["x"] + box["width"]
    assert box["y"] < 122 < box["y"] + box["height"]
    assert 0.865 <= face["score"] <= 1
    assert face["tier"] == "enhanced"


def test_a_form_and_json_in_the_answer(client, portrait):
    response = client.post(
        "/v1/upscale",
        files={"file": ("a.png", portrait)},
        data={"face": "true", "scale": "2"},
        headers=JSON,
    )
    assert response.status_code == 200, response.text
    check(response.json()["faces"])
    assert "x-faces" not in response.headers


def test_json_and_the_picture_with_a_header(client, portrait):
    body = {"img": base64.b64encode(portrait).decode(), "face": True, "scale": 2}
    response = client.post("/v1/upscale", json=body)
    assert opened(response.content).size == (400, 440)
    check(json.loads(response.headers["x-faces"]))
    assert response.headers["x-faces-found"] == "1"


def test_the_address_and_events(client, portrait):
    response = client.post("/v1/upscale?face=TRUE&scale=2", content=portrait, headers=EVENTS)
    event, data = response.text.rstrip().splitlines()[-2:]
    assert event == "event: result"
    check(json.loads(data.removeprefix("data: "))["faces"])


def test_none_is_not_nobody_asked(client):
    """An empty list: there is none; null, and no header: nobody looked."""

    def told(fields: str) -> tuple[object, object]:
        path = f"/v1/upscale?{fields}"
        bare = client.post(path, content=picture())
        described = client.post(path, content=picture(), headers=JSON)
        return described.json()["faces"], bare.headers.get("x-faces")

    assert told("face=true") == ([], "[]")
    assert told("face=false") == (None, None)
    assert told("restore_strength=0.5") == (None, None)
    assert told("face=true&model=anime") == (None, None)  # of drawings nobody does


def test_as_many_as_the_setting_says(start_server, portrait):
    server = start_server({"faces.threshold": 1.0})
    response = httpx.post(f"{server.url}/v1/upscale?face=true", content=portrait, timeout=60)
    assert response.headers["x-faces"] == "[]"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"face": "perhaps"}, "face is 'perhaps'; it should be a valid boolean."),
        ({"restore_strength": "1.1"}, "restore_strength is '1.1'; it should be less than or equal"),
        ({"restore_strength": "nan"}, "restore_strength is 'nan'; it should be a finite number."),
        ({"restore": "gfpgam"}, "did you mean 'gfpgan'?"),
        ({"faces": "true"}, "There is no parameter 'faces'; did you mean 'face'?"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/upscale", "/v1/jobs"])
def test_what_is_refused(client, path, fields, said):
    response = client.post(path, files={"file": ("a.png", picture())}, data=fields)
    assert response.status_code == 400
    assert said in error_of(response)["message"]


@pytest.mark.parametrize("path", ["/v1/upscale", "/v1/jobs"])
def test_drawings_go_without_restore(client, path):
    fields = {"restore": "gfpgan", "model": "anime"}
    response = client.post(path, files={"file": ("a.png", picture())}, data=fields)
    assert response.status_code == 400
    assert "not looked for in drawings" in error_of(response)["message"]


def test_an_estimate_with_faces(client):
    size = {"width": 400, "height": 300}
    plain = client.get("/v1/estimate", params=size).json()
    faced = client.get("/v1/estimate", params={**size, "face": "true"}).json()
    assert faced["scratch_bytes"] > plain["scratch_bytes"]
    assert faced["memory_bytes"] >= plain["memory_bytes"]
    assert client.get("/v1/estimate", params={**size, "restore": "gfpgan"}).status_code == 501


def test_a_header_has_the_largest_that_fit_and_says_how_many_there_are():
    faces = tuple(
        FaceReport(Face(1234.5, 2345.6, 300 - n, 300.25, 0.98765, ((0, 0),) * 5), "enhanced")
        for n in range(100)
    )

    def headers(count):
        report = SimpleNamespace(faces=faces[:count])
        return faces_headers(UpscaleOptions(face=True), report)

    for count in (0, 1, 30, 100):
        told = headers(count)
        listed = json.loads(told["X-Faces"])
        assert listed == [each.as_record() for each in faces[: len(listed)]]
        assert len(listed) == min(count, len(json.loads(headers(100)["X-Faces"])))
        assert told["X-Faces-Found"] == str(count)
        assert len(told["X-Faces"]) <= 4096
    assert 4096 - len(headers(100)["X-Faces"]) < 120, "as many as fit"
    assert faces_headers(UpscaleOptions(), SimpleNamespace(faces=())) == {}


@pytest.mark.parametrize("where", ["params", "data"])
@pytest.mark.parametrize("path", ["/v1/upscale", "/v1/jobs"])
def test_a_network_that_is_not_installed(client, path, where):
    asked = {where: {"restore": "gfpgan"}}
    response = client.post(path, files={"file": ("a.png", picture())}, **asked)
    assert response.status_code == 501
    error = error_of(response)
    assert error["code"] == "weights_missing"
    assert "superres models pull gfpgan" in error["message"]


def test_the_models_say_what_can_be_asked(client):
    told = client.get("/v1/models").json()
    assert told["restorers"] == []
    looked_for = {model["name"]: model["faces"] for model in told["models"]}
    assert looked_for["general"] is True
    assert looked_for["anime"] is False


def test_a_job_keeps_the_faces_of_each_picture(worker: Worker, portrait):
    job = worker.submit(portrait, picture(), face="true", scale="2")
    first, second = worker.finished(job["id"])["images"]
    check(first["result"]["faces"])
    assert second["result"]["faces"] == []
    plain = worker.finished(worker.submit(picture())["id"])
    assert plain["images"][0]["result"]["faces"] is None
