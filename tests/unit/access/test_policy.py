"""Policies: who may do what, and how the JSON form is checked."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.access import Access, Policy, Statement
from superres.access.policy import statement
from superres.errors import BadParameter, PermissionDenied


def policy(*rules: tuple[str, Any, Any]) -> Policy:
    return Policy.from_record(
        {"statements": [{"effect": e, "actions": a, "resources": r} for e, a, r in rules]}
    )


@pytest.mark.parametrize(
    ("pattern", "resource", "fits"),
    [
        ("*", "", True),
        ("*", "a/b\nc", True),
        ("photos/*", "photos/a/b.jpg", True),
        ("photos/*", "photos", False),
        ("photos/*", "photos2/a", False),
        ("photos/?.jpg", "photos/a.jpg", True),
        ("photos/?.jpg", "photos/ab.jpg", False),
        ("photos/a.jpg", "photos/a.jpg", True),
        ("photos/a.jpg", "photos/a_jpg", False),
        ("photos/a.jpg", "Photos/a.jpg", False),
        ("photos/a.jpg", "photos/a.jpg\n", False),
        ("photos/a.jpg", "xphotos/a.jpg", False),
        ("[ab]*", "[ab]c", True),
        ("[ab]*", "a", False),
        ("[!a]", "b", False),
        ("a]b", "a]b", True),
        ("*.jpg", "a.jpg.exe", False),
        ("a*b*c", "a-b-b-c", True),
        ("画像/*", "画像/猫", True),
    ],
)
def test_wildcards(pattern: str, resource: str, fits: bool) -> None:
    rule = policy(("allow", "*", pattern))
    assert rule.verdict("s3:GetObject", resource) == ("allow" if fits else None)


def test_deny_wins_wherever_it_stands() -> None:
    allow, deny = ("allow", "s3:*", "photos/*"), ("deny", ["s3:Delete*"], ["photos/old/*"])
    for rules in ((allow, deny), (deny, allow)):
        assert policy(*rules).verdict("s3:GetObject", "photos/old/x") == "allow"
        assert policy(*rules).verdict("s3:DeleteObject", "photos/new") == "allow"
        assert policy(*rules).verdict("s3:DeleteObject", "photos/old/x") == "deny"
        assert policy(*rules).verdict("cos:GetObject", "photos/new") is None


def test_action_and_resource_belong_together() -> None:
    both = policy(("allow", "s3:GetObject", "a/*"), ("allow", "s3:PutObject", "b/*"))
    assert both.verdict("s3:GetObject", "b/x") is None
    assert both.verdict("s3:PutObject", "a/x") is None


def test_capitals_of_actions_do_not_matter() -> None:
    rule = policy(("deny", "S3:getobject", "*"), ("allow", "*", "*"))
    assert rule.verdict("s3:GetObject", "a") == "deny"


def test_hostile_text_is_matched_in_no_time() -> None:
    rule = policy(("allow", "*", "*a*a*a*a*a*a*a*a*a*b"))
    start = time.perf_counter()
    assert rule.verdict("s3:GetObject", "a" * 4096) is None
    assert time.perf_counter() - start < 0.5


def naive(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(naive(pattern[1:], text[n:]) for n in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and naive(pattern[1:], text[1:])


@given(st.text("ab*?[]!-/.\\", min_size=1, max_size=6), st.text("ab[]!-/.\\*?", max_size=6))
def test_wildcards_mean_what_they_say(pattern: str, text: str) -> None:
    assert (policy(("allow", "*", pattern)).verdict("x:Y", text) == "allow") == naive(pattern, text)


def test_the_json_form_comes_back() -> None:
    rule = policy(("allow", "s3:*", ["a/*", "b"]), ("deny", ["*"], "c"))
    assert Policy.from_json(rule.to_json()) == rule
    assert json.loads(rule.to_json()) == {
        "statements": [
            {"effect": "allow", "actions": ["s3:*"], "resources": ["a/*", "b"]},
            {"effect": "deny", "actions": ["*"], "resources": ["c"]},
        ]
    }
    assert statement("allow", ["s3:*"], ["a/*", "b"]) == rule.statements[0]
    assert isinstance(rule.statements[0], Statement)


FINE = {"effect": "allow", "actions": ["*"], "resources": ["*"]}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("not json", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"statements": [], "statements": []}', "stands twice"),
        (None, "must be an object with statements"),
        ([FINE], "must be an object with statements"),
        ({}, "lacks 'statements'"),
        ({"Statement": [FINE]}, "unknown field 'Statement'"),
        ({"statements": FINE}, "must be a list of 1 to 100"),
        ({"statements": []}, "must be a list of 1 to 100"),
        ({"statements": [FINE] * 101}, "must be a list of 1 to 100"),
        ({"statements": [FINE, "x"]}, r"statements\[1\] must be an object with effect, actions"),
        ({"statements": [{**FINE, "effect": "alow"}]}, "effect must be .* not 'alow'"),
        ({"statements": [{**FINE, "effect": []}]}, "effect must be"),
        ({"statements": [{**FINE, "Principal": "*"}]}, "unknown field 'Principal'"),
        ({"statements": [{"effect": "deny", "actions": "*"}]}, "lacks 'resources'"),
        ({"statements": [{**FINE, "actions": []}]}, "actions must be a list of 1"),
        ({"statements": [{**FINE, "actions": ["GetObject"]}]}, "must be like s3:GetObject"),
        ({"statements": [{**FINE, "actions": [1]}]}, "must hold texts"),
        ({"statements": [{**FINE, "resources": [""]}]}, "must hold texts"),
        ({"statements": [{**FINE, "resources": ["x" * 1025]}]}, "must hold texts"),
        ({"statements": [{**FINE, "resources": ["a\n"]}]}, "control characters"),
        ({"statements": [{**FINE, "resources": {"a": 1}}]}, "resources must be a list"),
    ],
)
def test_what_is_wrong_is_said(record: object, told: str) -> None:
    text = record if isinstance(record, str) else json.dumps(record)
    with pytest.raises(BadParameter, match=told):
        Policy.from_json(text)


def test_authorise(lite: Access) -> None:
    made = lite.create("phone app")
    lite.authorise(lite.by_token(made.token), "s3:DeleteObject", "any/thing")  # no policy yet
    lite.set_policy(
        made.id, policy(("allow", "s3:GetObject", "photos/*"), ("deny", "*", "photos/private/*"))
    )
    caller = lite.by_token(made.token)
    assert lite.secret_of(made.id)[0].policy == caller.policy
    lite.authorise(caller, "s3:GetObject", "photos/a.jpg")
    with pytest.raises(PermissionDenied) as caught:
        lite.authorise(caller, "s3:PutObject", "photos/a.jpg")
    for word in (made.id, "phone app", "s3:PutObject on photos/a.jpg", "does not allow"):
        assert word in caught.value.public_message
    with pytest.raises(PermissionDenied, match="its policy denies that"):
        lite.authorise(caller, "s3:GetObject", "photos/private/a.jpg")
    lite.set_policy(made.id, None)
    lite.authorise(lite.by_token(made.token), "s3:PutObject", "photos/a.jpg")
