"""The service talks to nobody: every connection it opens, seen by the kernel.

strace watches the server and its workers from start to stop, with pictures enlarged between:
no library's telemetry, no update check, no name looked up.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

STRACE = shutil.which("strace")

_CALL = re.compile(r"(connect|sendto|sendmsg|sendmmsg)\(")
_INET = re.compile(
    r'sa_family=AF_INET6?, .*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")'
)


def reached(trace: str) -> set[str]:
    """Internet addresses that were connected or sent to."""
    lines = [line for line in trace.splitlines() if _CALL.search(line)]
    found = (_INET.search(line) for line in lines)
    return {match[1] or match[2] for match in found if match is not None}


def test_the_reader_of_traces_sees_an_address() -> None:
    assert reached(
        "12 connect(7, {sa_family=AF_INET, sin_port=htons(53), "
        'sin_addr=inet_addr("9.9.9.9")}, 16) = 0\n'
        "12 connect(7, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
        'inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1\n'
        '12 connect(7, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0\n'
    ) == {"9.9.9.9", "2001:db8::1"}


@pytest.mark.skipif(STRACE is None, reason="strace is not installed: make test-tools")
def test_no_connection_that_nobody_asked_for(tmp_path: Path) -> None:
    trace, log, data = tmp_path / "trace", tmp_path / "log", tmp_path / "data"
    picture = tmp_path / "in.png"
    Image.effect_noise((32, 32), 40).convert("RGB").save(picture)
    command = [sys.executable, "-m", "superres", "serve", "--port", "0", "--data-dir", str(data)]
    calls = "connect,sendto,sendmsg,sendmmsg"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [str(STRACE), "-f", "-qq", "-e", f"trace={calls}", "-o", str(trace), *command],
            stderr=stderr,
        )
    try:
        url = address(log, process)
        for path in ("/", "/docs", "/openapi.json", "/v1/models"):
            with urllib.request.urlopen(url + path, timeout=60) as answer:
                assert answer.status == 200
        request = urllib.request.Request(
            f"{url}/v1/upscale?scale=2",
            picture.read_bytes(),
            {"Content-Type": "image/png", "Accept": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.load(answer)["width"] == 64
    finally:
        # strace passes the signal on to nobody: the server is its child.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        subprocess.run(["kill", "-TERM", *children], check=False)
        process.wait(60)
    text = trace.read_text(errors="replace")
    assert "AF_UNIX" in text or "socket" in text or text, "strace saw nothing at all"
    assert {a for a in reached(text) if a != "::1" and not a.startswith("127.")} == set()


def address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the server says it listens, once it is ready."""
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(errors="replace"))
        if found:
            try:
                with urllib.request.urlopen(found[0] + "/readyz", timeout=10):
                    return found[0]
            except OSError:
                pass
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace"))
