"""Settings: where a value comes from, what it may look like, and what is refused."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres import settings
from superres.errors import BadParameter
from superres.settings import Settings, describe, environment, kinds, load

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def empty_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, with an empty configuration folder of the user's."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(settings.folders, "user_dir", lambda kind: tmp_path / "user" / kind)
    return tmp_path


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(content: str) -> Path:
        path = tmp_path / "given" / "superres.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    return to_file


@dataclasses.dataclass(frozen=True)
class Door:
    """A section with the kinds that the real sections do not use yet."""

    key: str = kinds.setting("", kinds.TEXT, "The key.", secret=True)
    open: bool = kinds.setting(False, kinds.FLAG, "Whether it is open.")
    width: float = kinds.setting(1.0, kinds.number(0.5), "How wide it is.")


@dataclasses.dataclass(frozen=True)
class House(Settings):
    door: Door = dataclasses.field(default_factory=Door)


def house(**given: object) -> House:
    return settings._load(House, None, {f"door.{k}": v for k, v in given.items()}, {})


def values(result: Settings) -> dict[str, str]:
    return {row.name: row.value for row in describe(result)}


# ------------------------------------------------------------------ where from


def test_defaults() -> None:
    result = load(environ={})
    assert result == Settings()
    assert result.engine.memory_ceiling == 1_610_612_736
    assert result.engine.cache_dir.is_absolute()
    assert result.limits.max_input_pixels == 268_435_456
    assert result.limits.max_output_pixels == 4_294_967_296
    assert result.models.default == "general"
    assert (result.faces.most, result.faces.threshold) == (10, 0.865)


def test_each_source_beats_the_one_before(write: Write) -> None:
    file = write("[engine]\nstreams = 1\nthreads = 1\ndevice = 'cpu'\n")
    environ = {"SUPERRES_ENGINE__STREAMS": "2", "SUPERRES_ENGINE__THREADS": "2"}
    result = load(file, {"engine.streams": 3, "engine.device": None}, environ)
    assert (result.engine.streams, result.engine.threads, result.engine.device) == (3, 2, "cpu")
    sources = {row.name: row.source for row in describe(result)}
    assert sources["engine.streams"] == "command line"
    assert sources["engine.threads"] == "environment"
    assert sources["engine.device"] == str(file)
    assert sources["models.default"] == "default"


def test_file_is_looked_for_here_then_with_the_user(empty_folders: Path) -> None:
    user = empty_folders / "user" / "config"
    user.mkdir(parents=True)
    (user / "superres.toml").write_text("[models]\ndefault = 'anime'\n")
    assert load(environ={}).models.default == "anime"
    Path("superres.toml").write_text("[models]\ndefault = 'photo'\n")
    assert load(environ={}).models.default == "photo"


def test_test_variables_are_left_alone() -> None:
    assert load(environ={"SUPERRES_TEST_POSTGRES": "x", "PATH": "y"}) == Settings()


def test_file_with_byte_order_mark(write: Write) -> None:
    assert load(write("\ufeff[engine]\nstreams = 4\n"), environ={}).engine.streams == 4


def test_paths_in_a_file_are_relative_to_it(write: Write) -> None:
    file = write("[engine]\ncache_dir = 'cache'\n")
    assert load(file, environ={}).engine.cache_dir == file.parent / "cache"


def test_other_paths_are_relative_to_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")
    result = load(None, {"engine.scratch_dir": Path("s")}, {"SUPERRES_ENGINE__CACHE_DIR": "~/c"})
    assert result.engine.scratch_dir == Path.cwd() / "s"
    assert result.engine.cache_dir == Path("/home/somebody/c").absolute()


# ------------------------------------------------------------------- what form


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1.5GiB", 3 << 29),
        ("256MB", 256_000_000),
        ("256 mib", 256 << 20),
        ("1kB", 1000),
        ("7B", 7),
        ("2TiB", 2 << 40),
        ("4096", 4096),
        ("4_096", 4096),
        (4096, 4096),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert load(None, {"engine.cache_size": text}, {}).engine.cache_size == size


@given(st.integers(1, 1 << 60))
def test_a_shown_size_reads_back(size: int) -> None:
    assert kinds.SIZE.parse(kinds.SIZE.show(size)) == size


@pytest.mark.parametrize("word", ["true", "YES", "on", "1", True])
def test_flags_on(word: object) -> None:
    assert house(open=word).door.open is True


@pytest.mark.parametrize("word", ["false", "No", "off", "0", False])
def test_flags_off(word: object) -> None:
    assert house(open=word).door.open is False


@pytest.mark.parametrize(("text", "width"), [("0.75", 0.75), (2, 2.0), (1.25, 1.25)])
def test_numbers(text: object, width: float) -> None:
    assert house(width=text).door.width == width


def test_choices_ignore_capitals() -> None:
    assert load(None, {"engine.precision": "BF16"}, {}).engine.precision == "bf16"


# -------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "value", "expects"),
    [
        ("engine.cache_size", "big", "a size like 1.5GiB, 256MB or a number of bytes"),
        ("engine.cache_size", "1.5", "a size like"),
        ("engine.cache_size", "0", "a size like"),
        ("engine.cache_size", 1.5, "a size like"),
        ("engine.cache_size", "1e9GiB", "a size like"),
        ("engine.streams", "two", "a whole number, 0 or more"),
        ("engine.streams", -1, "a whole number, 0 or more"),
        ("engine.streams", True, "a whole number, 0 or more"),
        ("engine.streams", 1.0, "a whole number, 0 or more"),
        ("limits.max_side", 0, "a whole number, 1 or more"),
        ("engine.precision", "f8", "one of auto, f16, bf16, f32"),
        ("engine.device", "", "a text that is not empty"),
        ("engine.cache_dir", "  ", "a path"),
        ("engine.cache_dir", 3, "a path"),
        ("models.default", ["general"], "a text that is not empty"),
    ],
)
def test_wrong_values_are_told_the_expected_form(name: str, value: object, expects: str) -> None:
    with pytest.raises(BadParameter) as caught:
        load(None, {name: value}, {})
    message = caught.value.public_message
    assert message.startswith(f"{name} (command line) expects {expects}")
    assert repr(value) in message


@pytest.mark.parametrize("value", ["perhaps", 2, None.__class__])
def test_wrong_flags(value: object) -> None:
    with pytest.raises(BadParameter, match="expects true or false"):
        house(open=value)


@pytest.mark.parametrize("value", ["nan", "inf", 0.4, True, "wide"])
def test_wrong_numbers(value: object) -> None:
    with pytest.raises(BadParameter, match=r"expects a number, 0\.5 or more"):
        house(width=value)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"SUPERRES_ENGINE__STREEMS": "2"},
            "SUPERRES_ENGINE__STREEMS (environment) is not a setting; "
            "did you mean SUPERRES_ENGINE__STREAMS?",
        ),
        (
            {"SUPERRES_ENGINE_STREAMS": "2"},
            "SUPERRES_ENGINE_STREAMS (environment) is not a setting; "
            "did you mean SUPERRES_ENGINE__STREAMS?",
        ),
        (
            {"SUPERRES_ENGINE__STREAMS": "two"},
            "SUPERRES_ENGINE__STREAMS (environment) expects a whole number, 0 or more, not 'two'.",
        ),
    ],
)
def test_slips_in_the_environment(environ: Mapping[str, str], message: str) -> None:
    with pytest.raises(BadParameter) as caught:
        load(environ=environ)
    assert caught.value.public_message == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "[engine]\ndevize = 'a'\n",
            "engine.devize ({file}) is not a setting; did you mean engine.dev",
        ),
        (
            "[engin]\ndevice = 'a'\n",
            "engin.device ({file}) is not a setting; did you mean engine.dev",
        ),
        (
            "[engine]\nstreams = '1.5'\n",
            "engine.streams ({file}) expects a whole number, 0 or more, ",
        ),
        ("[engine.device]\nname = 'a'\n", "engine.device ({file}) expects a text that is not "),
        ("device = 'a'\n", "device ({file}) is not a setting; "),
        ("engine = 3\n", "engine ({file}) is not a setting;"),
        ("[zzz]\n", "zzz ({file}) is not a setting; there are engine.device, engine.precision, "),
        ("[engine\n", "The settings file {file} is not valid TOML: "),
    ],
)
def test_slips_in_a_file(write: Write, content: str, message: str) -> None:
    file = write(content)
    with pytest.raises(BadParameter) as caught:
        load(file, environ={})
    assert caught.value.public_message.startswith(message.format(file=file))


def test_an_empty_section_is_fine(write: Write) -> None:
    assert load(write("[engine]\n"), environ={}) == Settings()


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=r"missing\.toml cannot be read: No such file"):
        load(tmp_path / "missing.toml", environ={})


def test_a_file_that_is_not_utf8(write: Write) -> None:
    file = write("")
    file.write_bytes(b"[engine]\ndevice = '\xff'\n")
    with pytest.raises(BadParameter, match="is not valid TOML"):
        load(file, environ={})


# ------------------------------------------------------------------ what is told


def test_description_is_complete_and_one_sentence_each() -> None:
    rows = describe(Settings())
    expected = [
        f"{section.name}.{item.name}"
        for section in dataclasses.fields(Settings)
        if section.name != "origins"
        for item in dataclasses.fields(section.default_factory)  # type: ignore[misc, arg-type]
    ]
    assert [row.name for row in rows] == expected
    for row in rows:
        assert row.doc[0].isupper()
        assert row.doc.endswith(".")
        assert row.value == row.default
        assert row.source == "default"


def test_description_reads_back() -> None:
    changed: dict[str, Any] = {"engine.memory_ceiling": "2.5GiB", "engine.precision": "f32"}
    result = load(None, changed, {})
    assert values(result)["engine.memory_ceiling"] == "2.5GiB"
    assert load(None, values(result), {}) == result


def test_secrets_stay_hidden() -> None:
    result = house(key="hunter2")
    row = {row.name: row for row in describe(result)}["door.key"]
    assert (row.value, row.default) == ("****", "")
    assert "hunter2" not in repr(result)
    with pytest.raises(BadParameter) as caught:
        house(key=12345)
    assert "12345" not in caught.value.public_message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hunter2@h:5432/db", "postgresql://u:****@h:5432/db"),
        ("postgresql://u:pa/hunter2@h/db", "postgresql://u:****@h/db"),
        ("postgresql://u:p@hunter2@h/db", "postgresql://u:****@h/db"),
        ("postgresql://u:p?token=hunter2@h/db", "postgresql://u:****"),
        ("postgresql://u:p?token=x@hunter2@h/db", "postgresql://u:****"),
        ("postgresql://u/v:hunter2@h/db", "postgresql://u/v:****@h/db"),
        ("postgresql://u@company:hunter2@h/db", "postgresql://u@company:****@h/db"),
        ("postgresql://u:hunter\n2@h/db", "postgresql://u:****@h/db"),
        ("postgresql://u:@h/db", "postgresql://u:****@h/db"),
        ("redis://:hunter2@h:6379/0", "redis://:****@h:6379/0"),
        ("postgresql:u:hunter2@h/db", "postgresql:****@h/db"),
        ("u:hunter2@h", "u:****@h"),
        ("postgresql:/u:hunter2@h/db", "postgresql:****@h/db"),
        ("postgresql://h/db?user=u&password=hunter2", "postgresql://h/db?user=u&password=****"),
        ("redis://h/0?PASS=hunter2&db=1", "redis://h/0?PASS=****&db=1"),
        ("x://h/?sslpassword=a;hunter2#hunter2", "x://h/?sslpassword=****"),
        ("x://h/?client_secret=hunter2&token=hunter2", "x://h/?client_secret=****&token=****"),
        ("postgresql://h:5432/db?password=a@hunter2", "postgresql://h:****"),
        ("postgresql://h/db?sslmode=require", "postgresql://h/db?sslmode=require"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("http://localhost:8000/", "http://localhost:8000/"),
        ("file:///srv/a:b", "file:///srv/a:b"),
        ("memory://", "memory://"),
        ("", ""),
    ],
)
def test_urls_are_shown_without_passwords(url: str, shown: str) -> None:
    names = ("database.url", "storage.url", "access.rate_limit_url", "server.public_url")
    result = load(None, dict.fromkeys(names, url), {})
    assert [values(result)[name] for name in names] == [shown] * 4
    assert result.database.url == url
    assert "hunter" not in repr(result) + repr(result.database) + repr(result.access)


@pytest.mark.parametrize(
    "url", ["Postgresql://u:hunter2@h/db", "//u:hunter2@h/db", ["hunter2"], " "]
)
def test_a_wrong_url_is_not_repeated(url: object) -> None:
    with pytest.raises(BadParameter) as caught:
        load(None, {"database.url": url}, {})
    message = caught.value.public_message
    assert message == "database.url (command line) expects a URL, or nothing."


def test_what_is_guarded_stays_so_when_it_is_optional() -> None:
    kind = kinds.optional(kinds.URL)
    assert kind.guarded
    assert kind.show("x://u:hunter2@h") == "x://u:****@h"
    assert kind.show(None) == "auto"


def test_settings_are_frozen_and_travel_between_processes() -> None:
    result = load(None, {"engine.streams": 2}, {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.engine.streams = 3  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(result))
    assert again == result
    assert again.origins == result.origins


def test_importing_is_cheap() -> None:
    program = "import sys, superres.settings; print('platformdirs' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_worker_forgets_the_secrets_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "SUPERRES_DATABASE__URL": "postgresql://u:hunter2@h/db",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "PGPASSWORD": "hunter2",
        "MY_PROXY": "http://u:hunter2@proxy:3128",
    }
    for name, value in {**secrets, "HARMLESS": "stays here"}.items():
        monkeypatch.setenv(name, value)
    environment.forget_secrets()
    assert "hunter2" not in str(dict(os.environ))
    assert os.environ["HARMLESS"] == "stays here"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("most", 0, "a whole number, 1 to 100"),
        ("most", "101", "a whole number, 1 to 100"),
        ("most", 2.5, "a whole number, 1 to 100"),
        ("threshold", -0.1, "a number, 0 to 1"),
        ("threshold", "1.01", "a number, 0 to 1"),
        ("threshold", "nan", "a number, 0 to 1"),
    ],
)
def test_faces_within_bounds(name: str, value: object, expected: str) -> None:
    with pytest.raises(BadParameter, match=f"faces.{name} .* expects {expected}, not"):
        load(None, {f"faces.{name}": value}, {})
    for edge in {"most": (1, 100), "threshold": (0.0, 1.0)}[name]:
        assert getattr(load(None, {f"faces.{name}": edge}, {}).faces, name) == edge
