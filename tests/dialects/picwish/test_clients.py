"""Clients as people have them, against a real server: only the host is changed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx
import pytest
import requests

from tests.dialects.picwish.conftest import (
    PATIENCE,
    base64_of,
    complete,
    loaded,
    opened,
    picture,
    refused,
    unfinished,
)


def run(*command: str, text: str | None = None, **how: object) -> str:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=PATIENCE, check=False, **how
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def as_response(text: str) -> requests.Response:
    """What a program printed, to be checked like every other answer."""
    response = requests.Response()
    response.status_code = 200
    response._content = text.encode()
    response.headers["content-type"] = "application/json"
    return response


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo one.jpg"
    path.write_bytes(picture(30, 20, "JPEG"))
    return path


# --- every form of body, at both doors ----------------------------------------------------


FIELDS = {"type": "clean", "scale_factor": "2", "sync": "1"}


@pytest.mark.parametrize("source", ["image_url", "image_base64", "data uri"])
@pytest.mark.parametrize("form", ["urlencoded", "multipart", "query", "json", "mixed", "split"])
@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_forms(either, web, source, form, library):
    content = picture(30, 20)
    values = {
        "image_url": {"image_url": web.put("form.png", content)},
        "image_base64": {"image_base64": base64_of(content)},
        "data uri": {"image_base64": f"data:image/png;base64,{base64_of(content)}"},
    }[source]
    fields = {**FIELDS, **values}
    how: dict = {
        "urlencoded": {"data": fields},
        "multipart": {"files": {name: (None, value) for name, value in fields.items()}},
        "query": {"params": fields},
        "json": {"json": {**fields, "scale_factor": 2, "sync": 1}},
        # What the body says wins.
        "mixed": {"params": {**fields, "scale_factor": 4, "type": "face"}, "data": fields},
        "split": {"params": FIELDS, "json": values},
    }[form]
    post = requests.post if library == "requests" else httpx.post
    if library == "httpx" and "files" in how:
        how = {"files": {name: (None, value.encode()) for name, value in fields.items()}}
    if form == "query" and source != "image_url":
        assert len(str(how)) < 30_000
    answer = post(either.url, headers=either.headers, timeout=PATIENCE, **how)
    data = complete(as_response(answer.text))
    assert (data["image_width"], data["image_height"], data["type"]) == (60, 40, "clean")


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "text/plain", "x-www-form-urlencoded/none"]
)
def test_json_whose_content_type_says_nothing(either, web, content_type):
    """As Guzzle sends it when it is given a body: without a Content-Type."""
    body = json.dumps(
        {
            "type": "face",
            "fix_face_only": 0,
            "return_type": 1,
            "sync": 1,
            "image_url": web.put("php.png", picture()),
        }
    ).replace("/", "\\/")
    request = urllib.request.Request(either.url, method="POST")
    connection = requests.Session()
    prepared = connection.prepare_request(
        requests.Request("POST", request.full_url, data=body.encode())
    )
    prepared.headers.pop("Content-Type", None)
    prepared.headers.update(either.headers | {"Accept": "application/json"})
    if content_type:
        prepared.headers["Content-Type"] = content_type
    data = complete(connection.send(prepared, timeout=PATIENCE))
    assert data["type"] == "face"


# --- curl -------------------------------------------------------------------------------


def headers_of(client) -> list[str]:
    return [word for name, value in client.headers.items() for word in ("-H", f"{name}: {value}")]


def test_curl_with_a_form(either, photo):
    out = run(
        "curl", "-sk", either.url, *headers_of(either),
        "-F", "sync=1", "-F", "type=clean", "-F", f"image_file=@{photo}",
    )  # fmt: skip
    assert loaded(complete(as_response(out))["image"]).format == "JPEG"


def test_curl_with_a_content_type_that_lacks_its_boundary(either, photo):
    """As in the vendor's PHP samples; curl mends it."""
    out = run(
        "curl", "-sk", either.url, *headers_of(either), "-H", "Content-Type: multipart/form-data",
        "-F", "sync=1", "-F", "type=clean", "-F", f"image_file=@{photo}",
    )  # fmt: skip
    complete(as_response(out))


def test_curl_with_data(either, web):
    link = web.put("curl.png", picture())
    complete(as_response(run(
        "curl", "-s", either.url, *headers_of(either),
        "--data-urlencode", f"image_url={link}", "-d", "type=clean&sync=1",
    )))  # fmt: skip
    # What -d gives is called urlencoded, whatever it is.
    complete(as_response(run(
        "curl", "-s", either.url, *headers_of(either),
        "-d", json.dumps({"image_url": link, "type": "clean", "sync": 1}),
    )))  # fmt: skip
    complete(as_response(run(
        "curl", "-s", "-G", "-X", "POST", either.url, *headers_of(either),
        "--data-urlencode", f"image_url={link}", "-d", "type=clean&sync=1",
    )))  # fmt: skip


def test_curl_with_base64_that_is_not_escaped(either, tmp_path):
    text = base64_of(picture(90, 70))
    assert "+" in text
    (tmp_path / "body").write_text("type=clean&sync=1&image_base64=" + text)
    out = run("curl", "-s", either.url, *headers_of(either), "-d", f"@{tmp_path / 'body'}")
    assert complete(as_response(out))["image_width"] == 360


def test_curl_for_raw_bytes(either, photo, tmp_path):
    target = tmp_path / "large.jpg"
    run(
        "curl", "-sf", either.url, *headers_of(either), "-o", str(target),
        "-F", "sync=1", "-F", "type=clean", "-F", "return_type=3", "-F", f"image_file=@{photo}",
    )  # fmt: skip
    assert opened(target.read_bytes()).size == (120, 80)


# --- programs ---------------------------------------------------------------------------

# As public clients are written: send a form, read data.task_id, ask while the state is 4.
PYTHON = """
import sys, time, requests

API, KEY, PHOTO, TARGET = sys.argv[1:]
headers = {"X-API-KEY": KEY}
with open(PHOTO, "rb") as file:
    made = requests.post(API, headers=headers, data={"sync": "0"}, files={"image_file": file})
made = made.json()
assert made["status"] == 200
for _ in range(60):
    result = requests.get(API + "/" + made["data"]["task_id"], headers=headers).json()
    assert result["status"] == 200
    state = result["data"]["state"]
    if state == 1:
        open(TARGET, "wb").write(requests.get(result["data"]["image"]).content)
        break
    if state < 0:
        sys.exit("failed: " + result["message"])
    time.sleep(0.2)
else:
    sys.exit("not done")
"""

JAVASCRIPT = """
const [api, key, photo, target] = process.argv.slice(2);
const fs = require("fs");

async function main() {
  const form = new FormData();
  form.append("image_file", new Blob([fs.readFileSync(photo)]), "photo.jpg");
  const made = await (await fetch(api, {
    method: "POST", headers: { "X-API-KEY": key }, body: form,
  })).json();
  if (!made?.data?.task_id) throw new Error("no task id");
  for (let tries = 0; tries < 60; tries++) {
    const { data } = await (await fetch(`${api}/${made.data.task_id}`, {
      headers: { "X-API-KEY": key },
    })).json();
    if (data.state !== 4) {
      const image = await fetch(data.image);
      fs.writeFileSync(target, Buffer.from(await image.arrayBuffer()));
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error("not done");
}
main();
"""


def test_python_that_polls(native, token, photo, tmp_path):
    target = tmp_path / "large.jpg"
    run(sys.executable, "-c", PYTHON, native.url, token, str(photo), str(target))
    assert opened(target.read_bytes()).size == (120, 80)


def test_javascript_that_polls(native, token, photo, tmp_path):
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    target, script = tmp_path / "large.jpg", tmp_path / "client.cjs"
    script.write_text(JAVASCRIPT)
    run("node", str(script), native.url, token, str(photo), str(target))
    assert opened(target.read_bytes()).size == (120, 80)


def test_httpx_with_a_file(either):
    answer = httpx.post(
        either.url,
        headers=either.headers,
        data={"type": "clean", "sync": "1", "return_type": "2"},
        files={"image_file": ("a.webp", picture(30, 20, "WEBP"), "image/webp")},
        timeout=PATIENCE,
    )
    data = complete(as_response(answer.text), 2)
    assert opened(base64.b64decode(data["image"])).size == (120, 80)


def test_a_browser_that_sends_an_empty_file(native, web):
    """What an HTML form sends when no file was chosen."""
    link = web.put("chosen.png", picture())
    body = (
        '--a\r\nContent-Disposition: form-data; name="image_file"; filename=""\r\n'
        "Content-Type: application/octet-stream\r\n\r\n\r\n"
        f'--a\r\nContent-Disposition: form-data; name="image_url"\r\n\r\n{link}\r\n'
        '--a\r\nContent-Disposition: form-data; name="submit"\r\n\r\nSend\r\n--a--\r\n'
    )
    form = {"Content-Type": "multipart/form-data; boundary=a"}
    unfinished(native.send(data=body, headers=form))
    alone = body.replace(link, "")
    refused(native.send(data=alone, headers=form), 400, "no picture")
