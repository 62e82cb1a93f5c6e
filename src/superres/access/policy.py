"""What a credential may do: a list of statements, as AWS IAM has them.

A request is an action (``service:Verb`` as the vendors write it) on a resource (a path with
slashes). A statement that denies it wins; else one must allow it; what nobody speaks of is
denied. ``*`` stands for any text, slashes included, and ``?`` for one character. Actions are
compared without regard to capitals, resources with.

The JSON form::

    {"statements": [
        {"effect": "allow", "actions": ["s3:GetObject"], "resources": ["photos/*"]},
        {"effect": "deny", "actions": ["*"], "resources": ["photos/private/*"]}
    ]}

One action or resource may stand there without its brackets.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from superres.errors import BadParameter

ALLOW = "allow"
DENY = "deny"
MAX_STATEMENTS = 100
MAX_PATTERNS = 100
MAX_PATTERN_LENGTH = 1024


@dataclass(frozen=True)
class Statement:
    """One rule: ``effect`` (allow or deny), for these actions on these resources."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    def speaks_of(self, action: str, resource: str) -> bool:
        """Whether it has a say in ``action`` on ``resource``."""
        return _any_matches(_folded(self.actions), action.casefold()) and _any_matches(
            self.resources, resource
        )


@dataclass(frozen=True)
class Policy:
    """What is allowed and what is denied."""

    statements: tuple[Statement, ...]

    def verdict(self, action: str, resource: str) -> str | None:
        """``"allow"`` or ``"deny"``; None if no statement speaks of it, which denies too."""
        effects = {s.effect for s in self.statements if s.speaks_of(action, resource)}
        return DENY if DENY in effects else ALLOW if effects else None

    def as_record(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.as_record(), separators=(",", ":"))

    @staticmethod
    @lru_cache(maxsize=1024)
    def from_json(text: str) -> Policy:
        """Read the JSON form.

        Raises:
            BadParameter: it is not that; the message says where and what is expected.
        """
        try:
            content = json.loads(text, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as exc:
            raise _wrong("", f"is not valid JSON: {exc}") from exc
        return Policy.from_record(content)

    @classmethod
    def from_record(cls, record: object) -> Policy:
        """Read the JSON form, already parsed; see :meth:`from_json`."""
        entries = _fields("", record, ("statements",))["statements"]
        if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_STATEMENTS:
            raise _wrong("statements", f"must be a list of 1 to {MAX_STATEMENTS} statements")
        return cls(tuple(_statement(f"statements[{n}]", entry) for n, entry in enumerate(entries)))


def statement(effect: str, actions: Iterable[str], resources: Iterable[str]) -> Statement:
    """Make a checked statement.

    Raises:
        BadParameter: an empty list, an empty pattern, or an action that is no ``service:Verb``.
    """
    entry = {"effect": effect, "actions": [*actions], "resources": [*resources]}
    return _statement("statement", entry)


def _statement(where: str, entry: object) -> Statement:
    given = _fields(where, entry, ("effect", "actions", "resources"))
    effect = given["effect"]
    if effect not in (ALLOW, DENY):
        raise _wrong(f"{where}.effect", f'must be "allow" or "deny", not {effect!r}')
    actions = _patterns(f"{where}.actions", given["actions"])
    for action in actions:
        if ":" not in action and "*" not in action:
            raise _wrong(
                f"{where}.actions", f"must be like s3:GetObject, s3:* or *, not {action!r}"
            )
    return Statement(effect, actions, _patterns(f"{where}.resources", given["resources"]))


def _fields(where: str, value: object, names: tuple[str, ...]) -> dict[str, Any]:
    expected = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
    if not isinstance(value, dict):
        raise _wrong(where, f"must be an object with {expected}")
    unknown = [name for name in value if name not in names]
    missing = [name for name in names if name not in value]
    if unknown or missing:
        what = f"has the unknown field {unknown[0]!r}" if unknown else f"lacks {missing[0]!r}"
        raise _wrong(where, f"{what}; it must have {expected}")
    return value


def _patterns(where: str, value: object) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list) or not 1 <= len(patterns) <= MAX_PATTERNS:
        raise _wrong(where, f"must be a list of 1 to {MAX_PATTERNS} texts")
    for pattern in patterns:
        if not isinstance(pattern, str) or not 1 <= len(pattern) <= MAX_PATTERN_LENGTH:
            raise _wrong(where, f"must hold texts of 1 to {MAX_PATTERN_LENGTH} characters")
        if not pattern.isprintable():
            raise _wrong(where, "must not hold control characters")
    return tuple(patterns)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return record


def _wrong(where: str, what: str) -> BadParameter:
    subject = f"The policy's {where}" if where else "The policy"
    return BadParameter(f"{subject} {what}.")


def _any_matches(patterns: tuple[str, ...], text: str) -> bool:
    return _compiled(patterns).match(text) is not None


@lru_cache(maxsize=1024)
def _folded(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(pattern.casefold() for pattern in patterns)


@lru_cache(maxsize=4096)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # fnmatch makes expressions that never backtrack over more than one star, however hostile
    # the text. Its character classes are no part of a policy, so a bracket is just a bracket.
    return re.compile("|".join(fnmatch.translate(p.replace("[", "[[]")) for p in patterns))
