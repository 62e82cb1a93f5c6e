"""docs/api.md: its commands run as they stand, its tables are those of the code."""

import http.server
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from superres import errors
from superres.errors import SuperresError
from superres.server.errors import ClientGone
from superres.server.v1.errors import STATUS
from superres.server.v1.fields import UpscaleFields
from tests.dialects.conftest import RunningServer, StartServer
from tests.dialects.v1.conftest import opened, picture

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "api.md"
TEXT = GUIDE.read_text("utf-8")
BLOCKS = [block.split("\n")[:-1] for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)]
SETS = re.compile(r"[A-Z]+=")
# Each command with what its block sets before it.
COMMANDS = [
    "\n".join([*(line for line in block[:at] if SETS.match(line)), command])
    for block in BLOCKS
    for at, command in enumerate(block)
    if not SETS.match(command)
]


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> RunningServer:
    return start_server({"jobs.concurrency": 3, "sources.allow_networks": ["127.0.0.0/8"]})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_as_they_stand(command, server, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "photo.jpg").write_bytes(picture(120, 90, "JPEG"))
    here = command.replace("http://127.0.0.1:8000", server.url)
    run = subprocess.run(
        ["sh", "-c", here], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert '{"error"' not in run.stdout
    written = re.search(r"-o (\S+)", command)
    if written:
        image = opened((tmp_path / written[1]).read_bytes())
        assert image.width in (240, 1200)
    else:
        assert run.stdout
    if "DELETE" in command:
        assert run.stdout == "204"
    if "/events" in command:
        assert '"state":"done"' in run.stdout


def test_a_webhook_is_genuine_by_the_guides_own_words(server):
    """What the guide says to check is true of what is sent, and of nothing else."""
    told: list[tuple[dict[str, str], bytes]] = []
    came = threading.Event()

    class Told(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()
            came.set()

    made = server.access.create("told")
    bearer = {"Authorization": f"Bearer {made.token}"}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        answer = httpx.post(
            f"{server.url}/v1/jobs",
            files=[("file", ("a.png", picture())), ("file", ("b.png", b"nonsense"))],
            data={"scale": "2", "webhook": f"http://127.0.0.1:{site.server_port}/told?x=1"},
            headers=bearer,
        )
        assert answer.status_code == 202, answer.text
        assert answer.json()["webhook"] == {"state": "waiting", "error": None}
        assert came.wait(30)
        site.shutdown()
    ((headers, body),) = told
    spoken: dict[str, Callable[..., bool]] = {}
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, spoken)
    genuine = spoken["genuine"]
    assert genuine(made.secret, headers, body)
    assert not genuine(made.secret, headers, body + b" ")
    assert not genuine(made.secret[::-1], headers, body)
    assert not genuine(made.secret, {**headers, "webhook-timestamp": "1700000000"}, body)
    job = until_delivered(server, answer.json()["id"], bearer)
    said = json.loads(body)
    assert (said["type"], said["timestamp"]) == ("job.finished", job["finished"])
    assert headers["webhook-id"] == job["id"]
    link = said["data"]["images"][0]["result"]["url"]
    assert link == server.url + job["images"][0]["result"]["url"]
    assert opened(httpx.get(link).content).size == (48, 32)
    said["data"]["images"][0]["result"]["url"] = job["images"][0]["result"]["url"]
    assert said["data"] == {**job, "webhook": {"state": "waiting", "error": None}}
    assert job["images"][1]["state"] == "failed"


def until_delivered(server: RunningServer, job_id: str, headers: dict[str, str]) -> dict:
    until = time.monotonic() + 20
    while True:
        job = httpx.get(f"{server.url}/v1/jobs/{job_id}", headers=headers).json()
        if job["webhook"] == {"state": "delivered", "error": None}:
            return job
        assert time.monotonic() < until, job
        time.sleep(0.1)


def test_every_parameter_is_in_the_table():
    rows = re.findall(r"^\| (`[^|]+) \|", TEXT, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(
        UpscaleFields.model_fields
    )


# What nobody can ask for at this door: it keeps no objects.
OF_BUCKETS = (
    errors.BucketExists,
    errors.BucketNotEmpty,
    errors.InvalidPart,
    errors.UploadNotFound,
)


def test_every_code_is_in_the_table_under_its_status():
    told: dict[str, set[int]] = {}
    for statuses, codes in re.findall(r"^\| (\d[\d, ]*) \| (.*) \|$", TEXT, re.MULTILINE):
        for code in re.findall(r"`(\w+)`", codes):
            told[code] = {int(status) for status in statuses.split(",")}
    for cls, status in STATUS.items():
        if cls is not ClientGone and cls not in OF_BUCKETS and not has_kinds(cls):
            assert status in told[cls.code], cls.code


def has_kinds(cls: type[SuperresError]) -> bool:
    return any(kind is not ClientGone for kind in cls.__subclasses__())
