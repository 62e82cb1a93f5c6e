"""Real clients, unmodified, against a real server: only the host is changed."""

from __future__ import annotations

import ast
import base64
import http.client
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from tests.dialects.ai_solution_kit import samples
from tests.dialects.ai_solution_kit.captures import SIGNERS
from tests.dialects.ai_solution_kit.conftest import picture_of, png, request_body
from tests.dialects.conftest import running_command

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """Address of a picture on a web server."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "a.png").write_bytes(png(10, 8))

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/a.png"
        server.shutdown()


def run(command, **how):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ------------------------------------------------------------------------- signing clients


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("content_type", [None, "application/json"])
def test_signing_clients(kit, signer, content_type):
    how = {"key": kit.credential.id, "secret": kit.credential.secret, "content_type": content_type}
    answer = SIGNERS[signer](kit.url("iam"), request_body(png(10, 8), scale=4), **how)
    data = answer.content if isinstance(answer, requests.Response) else answer.data
    assert picture_of(data).size == (40, 32)


@pytest.mark.parametrize("signer", SIGNERS)
def test_signing_clients_with_a_wrong_secret(kit, signer):
    how = {"key": kit.credential.id, "secret": "wrong"}
    answer = SIGNERS[signer](kit.url("iam"), request_body(), **how)
    assert 403 in (getattr(answer, "status", None), getattr(answer, "status_code", None))


@pytest.mark.parametrize("signer", SIGNERS)
def test_signing_clients_with_a_temporary_credential(kit, signer):
    made = kit.server.access.temporary(kit.credential.id, timedelta(minutes=5))
    how = {"key": made.id, "secret": made.secret, "token": made.session_token}
    answer = SIGNERS[signer](kit.url("iam"), request_body(png(10, 8), scale=4), **how)
    data = answer.content if isinstance(answer, requests.Response) else answer.data
    assert picture_of(data).size == (40, 32)
    for wrong in ({"token": made.session_token + "A"}, {"token": None}, {"secret": "wrong"}):
        answer = SIGNERS[signer](kit.url("iam"), request_body(), **{**how, **wrong})
        assert 403 in (getattr(answer, "status", None), getattr(answer, "status_code", None))


# ---------------------------------------------------------------------- the vendor's samples


def test_python_sample_with_iam(kit, picture):
    script = samples.filled(samples.PYTHON_AWS_IAM, kit.server.url, "iam", picture)
    keys = {
        "AWS_ACCESS_KEY_ID": kit.credential.id,
        "AWS_SECRET_ACCESS_KEY": kit.credential.secret,
    }
    out = run([sys.executable, "-c", script], env={**os.environ, **keys})
    answer = ast.literal_eval(out)
    assert picture_of(json.dumps(answer).encode()).size == (20, 16)


def test_python_sample_without_authorisation(kit, picture):
    script = samples.filled(samples.PYTHON_NONE, kit.server.url, "prod", picture)
    assert picture_of(run([sys.executable, "-c", script]).encode()).size == (20, 16)


def test_curl_sample(kit, picture):
    script = samples.filled(samples.CURL, kit.server.url, "prod", picture)
    assert picture_of(run(["sh", "-c", script]).encode()).size == (20, 16)


def okhttp_jars() -> str | None:
    """Class path of OkHttp, from $SUPERRES_TEST_OKHTTP or Maven's folder."""
    if "SUPERRES_TEST_OKHTTP" in os.environ:
        return os.environ["SUPERRES_TEST_OKHTTP"]
    maven = Path.home() / ".m2" / "repository"
    wanted = ("com/squareup/okhttp3/okhttp", "com/squareup/okio/okio-jvm")
    jars = [max(maven.glob(f"{name}/*/*.jar"), default=None) for name in wanted]
    jars.append(max(maven.glob("org/jetbrains/kotlin/kotlin-stdlib/*/*.jar"), default=None))
    return None if None in jars else os.pathsep.join(map(str, jars))


def test_java_sample(kit, picture, tmp_path):
    jars = okhttp_jars()
    if jars is None or shutil.which("javac") is None:
        pytest.skip("OkHttp or javac is not installed (SUPERRES_TEST_OKHTTP: its class path)")
    source = tmp_path / "Sample.java"
    source.write_text(samples.filled(samples.JAVA, kit.server.url, "prod", picture))
    run(["javac", "-nowarn", "-cp", jars, "-d", str(tmp_path), str(source)])
    out = run(["java", "-cp", os.pathsep.join((jars, str(tmp_path))), "Sample"])
    assert picture_of(out.encode()).size == (20, 16)


# ------------------------------------------------------------------------------- others


def test_curl_as_people_type_it(kit, tmp_path):
    """``curl -d @file``: a form's content type, and Expect: 100-continue when it is large."""
    body = tmp_path / "body.json"
    body.write_bytes(request_body(png(60, 60, compress_level=0), scale=2) + b" " * 20_000)
    headers = ["-H", "Expect: 100-continue", "-H", f"x-api-key: {kit.credential.token}"]
    command = ["curl", "-sS", "--max-time", "60", *headers, kit.url("keyed"), "-d", f"@{body}"]
    assert picture_of(run(command).encode()).size == (120, 120)


def test_requests_with_json(kit):
    image = base64.b64encode(png(10, 8)).decode()
    answer = requests.post(kit.url(), json={"img": image, "scale": 4, "face": True}, timeout=60)
    assert picture_of(answer.content).size == (40, 32)


def test_no_content_type_at_all(kit):
    """As OkHttp sends a body that was made without a media type."""
    body = request_body(png(10, 8))
    with closing(http.client.HTTPConnection(kit.server.host, timeout=60)) as connection:
        connection.putrequest("POST", "/prod/image_super_resolution", skip_accept_encoding=True)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse().read()
    assert picture_of(answer).size == (20, 16)


def test_http_1_0(kit):
    out = run(
        ["curl", "-sS", "--http1.0", "--max-time", "60", kit.url(), "--data-binary", "@-"],
        input=request_body(png(10, 8)).decode(),
    )
    assert picture_of(out.encode()).size == (20, 16)


def test_postman(kit):
    """Postman's own runtime, with its AWS Signature."""
    newman = os.environ.get("SUPERRES_TEST_NEWMAN") or shutil.which("newman")
    if newman is None:
        pytest.skip("newman is not installed (SUPERRES_TEST_NEWMAN: the command)")
    values = {
        "host": kit.server.url,
        "accessKey": kit.credential.id,
        "secretKey": kit.credential.secret,
        "token": kit.credential.token,
        "picture": base64.b64encode(png(10, 8)).decode(),
    }
    variables = [
        part for name, value in values.items() for part in ("--env-var", f"{name}={value}")
    ]
    command = [newman, "run", str(HERE / "postman.json"), "--reporters", "cli,json"]
    report = kit.server.app.settings.server.data_dir / "newman.json"
    run([*command, "--reporter-json-export", str(report), *variables])
    stats = json.loads(report.read_text())["run"]["stats"]
    assert (stats["assertions"]["total"], stats["assertions"]["failed"]) == (4, 0)


# ------------------------------------------------------------------- with the real network


@pytest.mark.slow
def test_the_command_with_the_real_network(tmp_path, photos):
    """``superres serve`` with its defaults: the first request that a new customer makes."""
    photo = photos["astronaut"][60:124, 170:266]
    sent = io.BytesIO()
    Image.fromarray(photo).save(sent, "PNG")
    with running_command(tmp_path / "data", {}) as url:
        answer = requests.post(
            f"{url}/prod/image_super_resolution", data=request_body(sent.getvalue()), timeout=120
        )
    picture = picture_of(answer.content)
    assert picture.size == (192, 128)
    small = np.asarray(picture.resize((96, 64), Image.Resampling.BOX), np.float32)
    assert np.abs(small - photo).mean() < 6
