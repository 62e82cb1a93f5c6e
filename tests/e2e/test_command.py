"""The command as a process of its own: signals, pipes, terminals, start-up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import superres

COMMAND = [sys.executable, "-m", "superres.cli"]
# The fake engine with a pause before every tile, so that there is something to interrupt.
SLOW = [
    sys.executable,
    "-c",
    """
import time
from superres.engines.fake import FakeSession
submit = FakeSession.submit
FakeSession.submit = lambda self, image: (time.sleep(0.05), submit(self, image))[1]
from superres.cli import main
main()
""",
]
unix = pytest.mark.skipif(os.name == "nt", reason="signals and pipes of Unix")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a person with no settings, a plain terminal and the fake engine."""
    loud = (
        "NO_COLOR",
        "FORCE_COLOR",
        "PY_COLORS",
        "GITHUB_ACTIONS",
        "PYTHONIOENCODING",
        "PYTHONUNBUFFERED",
    )
    kept = {name: value for name, value in os.environ.items() if name not in loud}
    kept |= {"SUPERRES_ENGINE__DEVICE": "fake", "COLUMNS": "80", "TERM": "xterm"}
    kept["SUPERRES_ENGINE__SCRATCH_DIR"] = str(tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    kept["PYTHONPATH"] = str(Path(superres.__file__).parents[1])
    return kept


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two small pictures, and one that takes a while."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, side in (("a", 40), ("b", 60), ("z", 500)):
        Image.effect_noise((side, side), 40).convert("RGB").save(folder / f"{name}.jpg")
    return tmp_path


def obedient() -> None:
    """Hear signals even where the tests run in the background and ignore them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < until
        time.sleep(0.02)


@unix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupted_and_resumed(
    place: Path, environ: dict[str, str], number: int, code: int, jobs: str
) -> None:
    words = ["upscale", "in", "-s", "16", "-o", "out", "--jobs", jobs]
    process = subprocess.Popen(
        SLOW + words,
        cwd=place,
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=obedient,
    )
    wait_for(place / "out" / "b_x16.png", process)
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert out == ""
    assert "Stopping" in err
    assert "Stopped: 2 of 3 files finished, none half-written." in err
    assert "--resume" in err
    assert "Traceback" not in err
    assert files(place) == ["in/a.jpg", "in/b.jpg", "in/z.jpg", "out/a_x16.png", "out/b_x16.png"]
    before = {}
    for name, side in (("a", 640), ("b", 960)):
        path = place / "out" / f"{name}_x16.png"
        before[path] = path.stat().st_mtime_ns
        with Image.open(path) as image:
            image.load()
            assert image.size == (side, side)

    again = subprocess.run(
        COMMAND + words + ["--resume", "--json"],
        cwd=place,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    records = [json.loads(line) for line in again.stdout.splitlines()]
    assert [r["input"] for r in records if "skipped" not in r] == [str(Path("in", "z.jpg"))]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with Image.open(place / "out" / "z_x16.png") as image:
        assert image.size == (8000, 8000)


@unix
def test_the_second_signal_ends_it_at_once(place: Path, environ: dict[str, str]) -> None:
    stubborn = [SLOW[0], SLOW[1], SLOW[2].replace("0.05", "30")]
    with subprocess.Popen(
        [*stubborn, "upscale", "in"],
        cwd=place,
        env=environ,
        text=True,
        stderr=subprocess.PIPE,
        preexec_fn=obedient,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the line before the work
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C again stops at once" in process.stderr.readline()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130


@unix
@pytest.mark.parametrize(
    "words",
    [
        ["upscale", "in", "-s", "2", "--json", "-q"],
        ["upscale", "in/z.jpg", "-o", "-", "-q"],
        ["models", "list", "--json"],
        ["upscale", "--help"],
    ],
)
def test_nobody_reads_standard_output(
    place: Path, environ: dict[str, str], words: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            COMMAND + words,
            cwd=place,
            env=environ,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writer)
    assert done.returncode != 0
    assert done.stderr == ""


@unix
def test_a_pipe(place: Path, environ: dict[str, str]) -> None:
    with (place / "in" / "a.jpg").open("rb") as source:
        done = subprocess.run(
            [*COMMAND, "upscale", "-", "-s", "2"], env=environ, stdin=source, capture_output=True
        )
    assert done.returncode == 0, done.stderr
    (place / "out.png").write_bytes(done.stdout)
    with Image.open(place / "out.png") as image:
        image.load()
        assert image.size == (80, 80)


@unix
@pytest.mark.parametrize(
    ("columns", "extra"),
    [(80, {}), (40, {}), (80, {"NO_COLOR": "1"}), (80, {"TERM": "dumb"})],
)
def test_on_a_terminal(
    place: Path, environ: dict[str, str], columns: int, extra: dict[str, str]
) -> None:
    text = on_terminal([*COMMAND, "upscale", "in", "in/none.jpg"], place, environ | extra, columns)
    assert "Traceback" not in text
    assert "a_x4.png" in text.replace("\r\n", "")
    assert "3 files enlarged" in " ".join(text.split())
    colours = "\x1b[3" in text or "\x1b[1;3" in text
    assert colours == (not extra)
    # The bars take back what they drew; a dumb terminal could not.
    assert ("\x1b[2K" in text) == (extra.get("TERM") != "dumb")
    assert ("\x1b[?25h" in text) == (extra.get("TERM") != "dumb")


def on_terminal(command: list[str], cwd: Path, env: dict[str, str], columns: int) -> str:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    env = {name: value for name, value in env.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert process.wait() == 1  # none.jpg
    return text.decode()


def test_nothing_heavy_is_loaded_for_the_help(environ: dict[str, str]) -> None:
    code = """
import sys
sys.argv = ["superres", *{words!r}]
from superres.cli import main
try:
    main()
except SystemExit:
    pass
heavy = {{"numpy", "openvino", "pyvips", "onnx", "rich.progress", "superres.pipeline"}}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    for words in (["--version"], ["--help"], ["upscale", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code.format(words=words)],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == "[]\n", words


def test_start_up_is_quick(environ: dict[str, str]) -> None:
    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run([*COMMAND, "--help"], env=environ, capture_output=True, check=True)
        return time.perf_counter() - began

    # 0.3 s on a quiet machine; the limit leaves room for a busy one.
    assert min(seconds() for _ in range(5)) < 0.6
