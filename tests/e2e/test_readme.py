"""README.md, "From one machine to many": its commands run as they stand."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.fleet import database_of_its_own
from tests.e2e.service import PATIENCE, picture, size_of
from tests.s3_server import new_bucket

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="signals of Unix"),
    pytest.mark.slow,
]

TEXT = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
(SECTION,) = re.findall(r"^## From one machine to many\n(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
EVERYWHERE, BUCKET, SERVE, WORK, ASK = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
POSTGRES = os.environ.get("SUPERRES_TEST_POSTGRES", "")


class Desk:
    """Somebody who copies from the README into terminals.

    Attributes:
        folder: where they sit.
        everywhere: what is typed first in each terminal.
        port: instead of the one in the README, which may be in use.
    """

    def __init__(self, folder: Path, everywhere: str) -> None:
        self.folder, self.everywhere = folder, everywhere
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SUPERRES_SERVER__PORT": str(self.port),
            "SUPERRES_ENGINE__DEVICE": "fake",
        }

    @contextlib.contextmanager
    def runs(self, commands: str, sign: str, name: str) -> Iterator[Callable[[], str]]:
        """``commands`` in a terminal of their own, once ``sign`` appears there, to Ctrl-C."""
        log = self.folder / name
        with log.open("wb") as stream:
            process = subprocess.Popen(
                ["sh", "-c", f"{self.everywhere}\nexec {commands}"],
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            end = time.monotonic() + PATIENCE
            while sign not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)
            yield log.read_text
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0, log.read_text()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)

    def types(self, commands: str) -> subprocess.CompletedProcess[str]:
        """``commands``, to their end."""
        here = commands.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{self.port}")
        return subprocess.run(
            ["sh", "-c", f"{self.everywhere}\n{here}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )


@pytest.fixture(params=["folder", "bucket"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    if not POSTGRES:
        pytest.skip("SUPERRES_TEST_POSTGRES does not name a PostgreSQL")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "photo.jpg").write_bytes(picture(60, 40, "JPEG"))
    first, second, third = EVERYWHERE.splitlines()
    with database_of_its_own(POSTGRES) as url:
        first = re.sub(r"postgresql:\S+", url, first)
        if request.param == "folder":
            second = second.replace("/srv/superres", str(tmp_path / "store"))
        else:
            s3 = request.getfixturevalue("s3")
            second = BUCKET.strip().replace("http://127.0.0.1:9000", s3["AWS_ENDPOINT_URL"])
            second = second.replace("s3://superres", f"s3://{new_bucket(s3)}")
        yield Desk(tmp_path, "\n".join((first, second, third)))


def test_a_job_across_machines(desk: Desk) -> None:
    serve = "env SUPERRES_JOBS__CONCURRENCY=0 " + SERVE.strip()
    with (
        desk.runs(serve, f"is at http://127.0.0.1:{desk.port}", "a") as server,
        desk.runs(WORK.strip(), "superres does jobs", "b") as worker,
    ):
        done = desk.types(ASK)
        told = f"{done.stdout}\n{done.stderr}\n{server()}\n{worker()}"
        assert done.returncode == 0, told
        assert done.stderr == ""
        *_, last = (line for line in done.stdout.splitlines() if line.startswith("data: "))
        assert '"state":"done"' in last, told
        assert "60×40 → 120×80" in " ".join(done.stdout.split()), told
    assert size_of((desk.folder / "photo_x2.png").read_bytes()) == (120, 80)
    # What the machines share is not in their folders.
    kept = {
        path.name for name in ("machine-a", "machine-b") for path in desk.folder.glob(f"{name}/*")
    }
    assert kept == {"spool"}


def test_the_server_alone_does_them_too(desk: Desk) -> None:
    with desk.runs(SERVE.strip(), f"is at http://127.0.0.1:{desk.port}", "a") as server:
        done = desk.types(ASK)
        assert '"state":"done"' in done.stdout, f"{done.stdout}\n{done.stderr}\n{server()}"
