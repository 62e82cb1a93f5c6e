"""``superres keys``."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from superres.access import Access, Plan, Quota
from superres.access import open_access as open_with
from superres.database import open_database
from superres.errors import Unauthenticated
from superres.settings import load
from tests.unit.cli.calls import Result
from tests.unit.cli.calls import Run as Call


@pytest.fixture
def keys(run: Call, folder: Path) -> Call:
    """Run ``superres keys`` on a data folder of the test's own."""

    def call(command: str, *words: str | Path, **more: Any) -> Result:
        return run("keys", command, *words, "--data-dir", folder / "data", **more)

    return call


@pytest.fixture
def made(keys: Call) -> dict[str, str]:
    """The strings of a credential named "phone app"."""
    strings: dict[str, str] = json.loads(keys("create", "phone app", "--json").out)
    return strings


def access(folder: Path) -> Access:
    settings = load(None, {"server.data_dir": folder / "data"}, {})
    return open_with(settings, open_database(settings))


def test_create_tells_the_strings_once(keys: Call, folder: Path) -> None:
    done = keys("create", "phone app")
    assert done.code == 0
    words = done.out.split()
    strings = {name: words[words.index(name) + 1] for name in ("id", "secret", "token")}
    for part in (
        "only now",
        "Authorization: Bearer TOKEN",
        "x-api-key: TOKEN",
        "access key id = ID",
    ):
        assert part in " ".join(words)
    there = access(folder)
    caller, secret = there.secret_of(strings["id"])
    assert (caller.name, secret) == ("phone app", strings["secret"])
    assert there.by_token(strings["token"]) == caller
    for command in (
        ("list",),
        ("list", "--all", "--json"),
        ("policy", "phone app"),
        ("plan", "phone app"),
    ):
        out = keys(*command).out
        assert strings["secret"] not in out
        assert strings["token"] not in out


def test_create_in_json_has_exactly_the_three(made: dict[str, str]) -> None:
    assert list(made) == ["id", "secret", "token"]


def test_narrow_terminals_do_not_break_the_strings(
    keys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    lines = keys("create", "a").out.splitlines()
    assert any(line.startswith("  token   srk_") and len(line) == 57 for line in lines)


def test_the_data_folder_is_private(made: dict[str, str], folder: Path) -> None:
    assert made
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder / "data").iterdir()}
    assert modes["secret.key"] == modes["superres.db"] == 0o600


def test_a_settings_file_will_do(run: Call, folder: Path) -> None:
    (folder / "my.toml").write_text('[server]\ndata_dir = "elsewhere"\n')
    assert run("keys", "create", "a", "--config", "my.toml").code == 0
    assert (folder / "elsewhere" / "superres.db").is_file()
    assert "a" in run("keys", "list", "--config", "my.toml").out


def test_list(keys: Call, made: dict[str, str]) -> None:
    keys("create", "[bold]x")
    out = keys("list").out
    assert made["id"] in out
    assert "everything" in out
    assert "never" in out
    assert "[bold]" in out
    first, second = json.loads(keys("list", "--json").out)
    assert first == {
        "id": made["id"],
        "name": "phone app",
        "created_at": first["created_at"],
        "last_used_at": None,
        "revoked_at": None,
        "policy": None,
        "plan": None,
    }
    assert first["created_at"].endswith("+00:00")
    assert second["name"] == "[bold]x"


@pytest.mark.parametrize("width", [60, 80, 160])
def test_list_fits(
    keys: Call, made: dict[str, str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = keys("list").out
    assert max(map(len, out.splitlines())) <= width
    assert made["id"] in out
    assert "…" not in out


def test_an_empty_list(keys: Call) -> None:
    assert "superres keys create NAME" in keys("list").out
    assert json.loads(keys("list", "--json").out) == []


def test_revoke_asks(keys: Call, made: dict[str, str], folder: Path) -> None:
    done = keys("revoke", "phone app", stdin=b"n\n")
    assert done.code == 130
    assert f"Revoke phone app ({made['id']}) for ever?" in done.told
    assert keys("revoke", "phone app", stdin=b"").code == 130
    assert access(folder).by_token(made["token"])
    assert keys("revoke", "phone app", stdin=b"y\n").code == 0
    with pytest.raises(Unauthenticated):
        access(folder).by_token(made["token"])


def test_revoke_without_asking(keys: Call, made: dict[str, str]) -> None:
    assert keys("revoke", made["id"], "--yes").out == f"Revoked phone app ({made['id']}).\n"
    assert json.loads(keys("list", "--json").out) == []
    (gone,) = json.loads(keys("list", "--all", "--json").out)
    assert gone["revoked_at"]
    assert "nothing: revoked" in " ".join(keys("list", "--all").out.split())
    done = keys("revoke", made["id"], "--yes")
    assert done.code == 2
    assert "There is no credential" in done.told


def rules(keys: Call, *words: str) -> Any:
    done = keys("policy", "phone app", *words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def rule(effect: str, actions: list[str], resources: list[str]) -> dict[str, object]:
    return {"effect": effect, "actions": actions, "resources": resources}


def test_policy_grows_by_rules(keys: Call, made: dict[str, str], folder: Path) -> None:
    assert "may do everything" in keys("policy", "phone app").out
    assert rules(keys) is None
    first = rule("allow", ["superres:*", "execute-api:*"], ["*"])
    assert rules(keys, "--allow", "superres:*, execute-api:*") == {"statements": [first]}
    second = rule("allow", ["s3:GetObject"], ["photos/*", "a,b"])
    words = ("--allow", "s3:GetObject", "--on", "photos/*", "--on", "a,b")
    assert rules(keys, *words) == {"statements": [first, second]}
    third = rule("deny", ["*"], ["photos/private/*"])
    found = rules(keys, "--deny", "*", "--on", "photos/private/*")
    assert found == {"statements": [first, second, third]} == rules(keys)
    shown = keys("policy", made["id"]).out
    assert "deny   *  on  photos/private/*" in shown
    assert "What no rule allows is denied." in shown
    policy = access(folder).by_token(made["token"]).policy
    assert policy is not None
    assert policy.verdict("s3:GetObject", "photos/private/x") == "deny"
    assert rules(keys, "--clear", "--allow", "s3:*") == {
        "statements": [rule("allow", ["s3:*"], ["*"])]
    }
    assert rules(keys, "--clear") is None


def test_a_deny_alone_takes_away_from_everything(keys: Call, made: dict[str, str]) -> None:
    assert made
    assert rules(keys, "--deny", "s3:*") == {
        "statements": [rule("allow", ["*"], ["*"]), rule("deny", ["s3:*"], ["*"])]
    }


def test_policy_from_a_file(keys: Call, made: dict[str, str], folder: Path) -> None:
    assert made
    rules(keys, "--allow", "s3:*", "--on", "a/*")
    (folder / "p.json").write_text(keys("policy", "phone app", "--json").out)
    keys("create", "other")
    assert keys("policy", "other", "--file", "p.json").code == 0
    assert json.loads(keys("policy", "other", "--json").out) == rules(keys)
    (folder / "p.json").write_text("null\n")
    assert "may do everything" in keys("policy", "other", "--file", "p.json").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--on", "a"), "give --allow or --deny"),
        (("--file", "p.json", "--allow", "*"), "--file is the whole policy"),
        (("--file", "p.json", "--clear"), "--file is the whole policy"),
        (("--file", "missing.json"), "cannot be read"),
        (("--file", "latin1.json"), "not UTF-8"),
        (("--file", "p.json"), "lacks 'statements'"),
        (("--allow", "GetObject"), "must be like s3:GetObject"),
        (("--allow", "s3:*,"), "1 to 1024 characters"),
        (("--allow", "*", "--on", ""), "1 to 1024 characters"),
    ],
)
def test_a_wrong_policy(
    keys: Call, made: dict[str, str], folder: Path, words: tuple[str, ...], told: str
) -> None:
    assert made
    (folder / "p.json").write_text("{}")
    (folder / "latin1.json").write_bytes(b'"\xe4"')
    done = keys("policy", "phone app", *words)
    assert done.code == 2
    assert told in done.told
    assert rules(keys) is None


def test_plan(keys: Call, made: dict[str, str], folder: Path) -> None:
    assert "has no limits" in keys("plan", "phone app").out
    words = ("--rate", "5", "--burst", "20", "--per-day", "3", "--per-month", "10000")
    assert keys("plan", "phone app", *words).code == 0
    there = access(folder)
    there.admit(there.by_token(made["token"]))
    shown = keys("plan", made["id"]).out
    assert "rate   5 a second, 20 at once" in shown
    assert "day    1 of 3 used, anew from 20" in shown
    assert "month  1 of 10,000 used" in shown
    record = json.loads(keys("plan", made["id"], "--json").out)
    assert record["plan"] == {
        "rate": 5.0,
        "burst": 20,
        "quota": {"day": 3, "week": None, "month": 10000},
    }
    day, month = record["usage"]
    assert (day["period"], day["used"], day["limit"]) == ("day", 1, 3)
    assert month["ends"].endswith("-01T00:00:00+00:00")


def test_what_is_not_named_stays(keys: Call, made: dict[str, str], folder: Path) -> None:
    def plan() -> Plan | None:
        return access(folder).by_token(made["token"]).plan

    keys("plan", "phone app", "--rate", "0.5")
    keys("plan", "phone app", "--per-week", "9")
    assert plan() == Plan(0.5, None, Quota(week=9))
    keys("plan", "phone app", "--per-day", "4", "--per-week", "8", "--burst", "3")
    assert plan() == Plan(0.5, 3, Quota(day=4, week=8))
    keys("plan", "phone app", "--clear", "--rate", "2")
    assert plan() == Plan(2)
    assert "has no limits" in keys("plan", "phone app", "--clear").out
    assert plan() is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--burst", "5"), "needs a rate"),
        (("--rate", "0"), "The rate must be"),
        (("--rate", "nan"), "The rate must be"),
        (("--per-day", "0"), "quota per day"),
        (("--rate", "many"), "valid number"),
    ],
)
def test_a_wrong_plan(keys: Call, made: dict[str, str], words: tuple[str, ...], told: str) -> None:
    assert made
    done = keys("plan", "phone app", *words)
    assert done.code == 2
    assert told in done.told


def test_temporary(keys: Call, made: dict[str, str], folder: Path) -> None:
    done = keys("temporary", "phone app")
    assert done.code == 0
    words = done.out.split()
    names = ("tmpSecretId", "tmpSecretKey", "sessionToken", "expiredTime")
    temporary_id, secret, token, expires = (words[words.index(name) + 1] for name in names)
    caller, known = access(folder).secret_of(temporary_id, token)
    assert (caller.id, known, caller.session_policy) == (made["id"], secret, None)
    assert abs(int(expires) - time.time() - 1800) < 60
    assert f"may do what phone app ({made['id']}) may." in " ".join(words)


def test_temporary_for_programs_is_as_sts_has_it(keys: Call, made: dict[str, str]) -> None:
    record = json.loads(keys("temporary", made["id"], "--minutes", "10", "--json").out)
    assert list(record) == ["credentials", "startTime", "expiredTime", "expiration"]
    assert list(record["credentials"]) == ["tmpSecretId", "tmpSecretKey", "sessionToken"]
    assert record["expiredTime"] - record["startTime"] == 600
    ends = datetime.fromisoformat(record["expiration"])
    assert ends.timestamp() == record["expiredTime"]


@pytest.mark.parametrize("from_file", [False, True])
def test_temporary_with_a_policy(
    keys: Call, made: dict[str, str], folder: Path, from_file: bool
) -> None:
    assert made
    policy = json.dumps({"statements": [rule("allow", ["cos:*"], ["photos/*"])]})
    (folder / "p.json").write_text(policy)
    done = keys("temporary", "phone app", "--policy", "p.json" if from_file else policy, "--json")
    strings = json.loads(done.out)["credentials"]
    caller, _ = access(folder).secret_of(strings["tmpSecretId"], strings["sessionToken"])
    assert caller.session_policy is not None
    assert caller.session_policy.to_json() == policy.replace(" ", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--minutes", "0"), "Invalid value for '--minutes'"),
        (("--minutes", "2161"), "Invalid value for '--minutes'"),
        (("--policy", "missing.json"), "cannot be read"),
        (("--policy", "{}"), "lacks 'statements'"),
    ],
)
def test_a_wrong_temporary(
    keys: Call, made: dict[str, str], words: tuple[str, ...], told: str
) -> None:
    assert made
    done = keys("temporary", "phone app", *words)
    assert done.code == 2
    assert told in done.told
    assert not done.out


def test_nobody_of_that_name(keys: Call, made: dict[str, str]) -> None:
    for command in ("revoke", "policy", "plan", "temporary"):
        done = keys(command, "nobody")
        assert done.code == 2
        assert "There is no credential 'nobody' in use." in done.told
        assert "That is a token" in keys(command, made["token"]).told


def test_a_key_file_others_can_read(keys: Call, made: dict[str, str], folder: Path) -> None:
    assert made
    (folder / "data" / "secret.key").chmod(0o644)
    done = keys("list")
    assert done.code == 1
    assert "chmod 600 secret.key" in done.told


@pytest.mark.parametrize("command", ["create", "list", "revoke", "policy", "plan", "temporary"])
def test_the_help_fits_and_teaches(run: Call, command: str) -> None:
    out = run("keys", command, "--help").out
    assert max(map(len, out.splitlines())) <= 80
    assert "--data-dir" in out
    assert "--config" in out
    assert "list[str]" not in out
    if command in ("create", "policy", "plan", "temporary"):
        assert "Examples" in out
        assert f"superres keys {command}" in out


def test_without_the_servers_libraries(keys: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.startswith(("superres.access", "superres.database")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    done = keys("list")
    assert done.code == 1
    assert 'pip install "superres[server]"' in done.told


def test_no_web_server_is_imported(folder: Path) -> None:
    code = (
        "import sys; from superres.cli.keys import app\n"
        "app(['create', 'a', '--data-dir', 'd'], standalone_mode=False)\n"
        "heavy = {'fastapi', 'uvicorn', 'numpy', 'openvino', 'limits', 'redis'} & {*sys.modules}\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
