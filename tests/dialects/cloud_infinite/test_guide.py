"""docs/cloud-infinite.md and the README's example: they run as they stand, and say what is so."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from superres.access import Policy
from superres.cli import app
from superres.server.dialects.cloud_infinite import errors, operations, pic_operations
from superres.server.errors import ClientGone
from superres.settings import Settings
from superres.settings.sections import BucketsSettings, CloudInfiniteSettings
from tests.dialects.conftest import RunningServer, StartServer
from tests.dialects.picwish.conftest import PATIENCE, Web, picture

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "cloud-infinite.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
BUCKET = "photos-1250000000"
MODULES = Path(sys.prefix) / "node" / "node_modules"


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


[SIGN] = [block for block in blocks("python") if "sys.argv" in block]
START, *PARTS = [block for block in blocks("python") if block != SIGN]
CURLS = [block for block in blocks("sh") if "curl" in block]
KEEPING = [
    line for block in blocks("sh") if block not in CURLS for line in block.strip().splitlines()
]


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> RunningServer:
    return start_server({"sources.allow_networks": ["127.0.0.0/8"]})


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.close()


@pytest.fixture
def environment(server: RunningServer, web: Web) -> dict[str, str]:
    """What the page asks for: a credential, its bucket, and the link of a picture."""
    made = server.access.create(os.urandom(8).hex())
    buckets = server.app.buckets
    if BUCKET in [each.name for each in buckets.list()]:
        buckets.give(BUCKET, made.id)
    else:
        buckets.create(BUCKET, made.id)
    photo = web.put("photo.jpg", picture(60, 40, "JPEG"))
    return {
        **os.environ,
        "SECRET_ID": made.id,
        "SECRET_KEY": made.secret,
        "PHOTO": photo,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NODE_PATH": str(MODULES),
    }


@pytest.fixture
def desk(tmp_path: Path, server: RunningServer) -> Path:
    """A folder with what the page takes for granted."""
    (tmp_path / "photo.jpg").write_bytes(picture(60, 40, "JPEG"))
    (tmp_path / "sign.py").write_text(here(SIGN, server))
    return tmp_path


def here(block: str, server: RunningServer) -> str:
    """A block with the port of the server under test."""
    return block.replace("8000", server.url.rpartition(":")[2])


def ran(command: list[str], environment: dict[str, str], folder: Path) -> str:
    run = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return run.stdout


def sizes(folder: Path) -> dict[str, tuple[str, tuple[int, int]]]:
    """Format and size of each picture that the page made."""
    found = {}
    for path in sorted(folder.glob("*_x*")):
        with Image.open(path) as image:
            image.load()
            found[path.name] = (image.format, image.size)
    return found


def stored(server: RunningServer) -> set[str]:
    """The keys in the bucket, which is empty afterwards."""
    objects = server.app.buckets.objects
    keys = {each.key for each in objects.list(BUCKET).objects}
    objects.delete(BUCKET, *keys)
    return keys


# ---------------------------------------------------------------- what can be run


def test_the_first_sample_runs(server, environment, desk):
    assert ran([sys.executable, "-c", here(START, server)], environment, desk) == ""
    assert sizes(desk) == {"photo_x2.png": ("PNG", (120, 80))}
    assert stored(server) == {"p1/photo.jpg"}


def test_the_sample_in_the_readme_runs(server, environment, desk):
    [sample] = [block for block in blocks("python", README) if "qcloud_cos" in block]
    assert ran([sys.executable, "-c", here(sample, server)], environment, desk) == ""
    assert sizes(desk) == {"photo_x2.png": ("PNG", (120, 80))}
    # The same two lines are new in both.
    news = [re.findall(r"^ *(.*?)  # new$", text, re.MULTILINE) for text in (sample, START)]
    assert news[0] == news[1]
    assert len(news[0]) == 2
    stored(server)


@pytest.mark.parametrize(
    ("number", "said", "files", "keys"),
    [
        (
            0,
            "",
            {"photo_x4.png": ("PNG", (240, 160)), "elsewhere_x2.png": ("PNG", (120, 80))},
            set(),
        ),
        (
            1,
            "large/photo.webp 240 160\np1/photo_x2.jpg 120 80\n",
            {},
            {"p1/photo_x2.jpg", "large/photo.webp"},
        ),
        (2, f"{BUCKET}.cos.ap-chengdu.myqcloud.com/p1/photo.png\n", {}, {"p1/photo.png"}),
    ],
)
def test_the_three_ways_run_behind_it(server, environment, desk, number, said, files, keys):
    assert len(PARTS) == 3
    whole = here(START + PARTS[number], server)
    out = ran([sys.executable, "-W", "ignore", "-c", whole], environment, desk)
    assert sorted(out.splitlines()) == sorted(said.splitlines())
    assert sizes(desk) == {"photo_x2.png": ("PNG", (120, 80)), **files}
    assert stored(server) == {"p1/photo.jpg"} | keys


def test_the_sample_for_node_runs(server, environment, desk):
    if shutil.which("node") is None or not (MODULES / "cos-nodejs-sdk-v5").is_dir():
        pytest.skip("Node and its SDK are not installed; see make test-tools")
    [sample] = blocks("js")
    assert ran(["node", "-e", here(sample, server)], environment, desk) == ""
    assert sizes(desk) == {"photo_x4.png": ("PNG", (240, 160))}
    stored(server)


@pytest.mark.parametrize("block", CURLS)
def test_commands_with_curl_run(server, environment, desk, block):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    out = ran(["sh", "-e", "-c", here(block, server)], environment, desk)
    if "photo.part" in block:
        assert out == ""
        assert sizes(desk) == {"photo_x4.png": ("PNG", (240, 160))}
        assert (desk / "photo.part").read_bytes() == (desk / "photo.jpg").read_bytes()[:1000]
        assert stored(server) == {"p1/photo.jpg"}
    else:
        assert out.count("<Key>p1/photo_x2.png</Key>") == 2
        assert out.count("<Width>60</Width>") == 2
        shown = next(each for each in blocks("xml") if "UploadResult" in each)
        assert re.findall(r"<(\w+)>", out) == re.findall(r"<(\w+)>", shown) * 2
        assert stored(server) == {"p1/photo.jpg", "p1/photo_x2.png"}


def test_commands_of_the_keeper_run_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERRES_SERVER__DATA_DIR", str(tmp_path / "data"))
    assert len(KEEPING) == 7
    for line in KEEPING:
        name, *words = shlex.split(line)
        assert name == "superres"
        done = CliRunner().invoke(app, words)
        assert (done.exit_code, done.stderr) == (0, ""), line
        assert done.stdout


# ---------------------------------------------------------------- what is told


@pytest.mark.parametrize("block", blocks("json"))
def test_the_policies_shown_are_policies(block):
    policy = Policy.from_json(block)
    assert policy.statements
    known = set(re.findall(r"`(c[io]s?:\w+)`", TEXT))
    for statement in policy.statements:
        for action in statement.actions:
            assert action in known | {"cos:*", "ci:*", "cos:Delete*"}


def test_every_action_that_is_asked_for_is_told():
    source = Path(operations.__file__).parent
    asked = {
        action
        for file in source.glob("*.py")
        for action in re.findall(r'"((?:cos|ci):\w+)"', file.read_text("utf-8"))
    }
    assert len(asked) > 15
    assert asked == set(re.findall(r"`((?:cos|ci):\w+)`", TEXT))


def test_every_code_is_told_with_its_status():
    told = {
        (int(status), code)
        for status, codes in re.findall(r"^\| (\d{3}) \| ([^|]+) \|", TEXT, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    source = Path(operations.__file__).parent
    refused = {
        (int(status), code)
        for file in source.glob("*.py")
        for status, code in re.findall(
            r'(?:Refused|Answer|_refusing)\(\s*(\d{3}),\s*"(\w+)"', file.read_text("utf-8")
        )
    }
    given = {(a.status, a.code) for cls, a in errors.STATUS.items() if cls is not ClientGone}
    assert len(refused) > 20
    assert told == refused | given


def test_every_setting_is_told_with_its_default():
    rows = dict(re.findall(r"^\| `(\[\w+\] \w+)`[^|]* \| ([^|]*) \|", TEXT, re.MULTILINE))
    for section, name, held in (
        (CloudInfiniteSettings, "cloud_infinite", Settings().cloud_infinite),
        (BucketsSettings, "buckets", Settings().buckets),
    ):
        for field in fields(section):
            assert f"`[{name}] {field.name}`" in TEXT
            default = getattr(held, field.name)
            shown = rows.get(f"[{name}] {field.name}")
            if shown is None or field.name == "suffixes":
                continue
            known = {True: "true", False: "false", None: "auto", "": ""}
            plain = shown.strip().strip("`")
            if plain.endswith("GiB"):
                plain = str(int(plain.split()[0]) << 30)
            expected = (
                known[default]
                if default in known
                else f"{default:g}"
                if isinstance(default, float)
                else str(default)
            )
            assert plain == expected, field.name
    for suffix in Settings().cloud_infinite.suffixes:
        assert f"`{suffix}`" in TEXT


def test_the_limits_told_are_those_that_hold():
    assert Settings().limits.max_input_bytes == 256 << 20
    assert pic_operations.MAX_RULES == 5
    assert "1 to 5 of these" in TEXT
    assert set(pic_operations._FORMATS) == set(re.findall(r"`(\.\w+)`", TEXT)) - {".localhost"}
