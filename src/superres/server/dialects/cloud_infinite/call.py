"""One request at this door, understood as far as every operation needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from fastapi import Request

from superres.access import Caller
from superres.app import App
from superres.buckets import Bucket
from superres.errors import BadParameter

MAX_PARAMETERS = 300
"""Names in a query, or in a list of what is signed: all are looked at before anybody is known."""


class Query(Mapping[str, str]):
    """A query's parameters, found without regard to capitals; of two of a name the first counts.

    ``?uploads`` and ``?uploads=`` are the same. Percent-escapes and ``+`` are decoded; bytes
    that are no UTF-8, and too many parameters, raise BadParameter when it is made.
    """

    def __init__(self, raw: bytes) -> None:
        if raw.count(b"&") >= MAX_PARAMETERS:
            raise BadParameter(f"An address has at most {MAX_PARAMETERS} parameters.")
        self._names: list[str] = []
        self._values: dict[str, str] = {}
        for item in raw.split(b"&"):
            if item:
                name, _, value = item.partition(b"=")
                known = _decoded(name)
                if _folded(known) not in self._values:
                    self._names.append(known)
                    self._values[_folded(known)] = _decoded(value)

    def __getitem__(self, name: str) -> str:
        return self._values[_folded(name)]

    def __iter__(self) -> Iterator[str]:
        """Names as the client wrote them, in its order."""
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def unfolded(self) -> Query:
        """The parameters that are meant where a whole rule was sent as one name.

        As the Python SDK's ``ci_get_object(Rule="ci-process=…")`` does; a signature is made of
        what was sent, so what was sent by its own name counts first.
        """
        rules = [name for name in self if _is_rule(name)]
        if not rules:
            return self
        plain = [f"{quote(name)}={quote(self[name])}" for name in self if not _is_rule(name)]
        return Query("&".join([*plain, *rules]).encode())


def _is_rule(name: str) -> bool:
    return _folded(name).startswith("ci-process=")


def _folded(name: str) -> str:
    """Without capitals of ASCII alone, as names are signed: no other letter passes for a k."""
    return name.encode().lower().decode()


def _decoded(escaped: bytes) -> str:
    try:
        return unquote_to_bytes(escaped.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as exc:
        raise BadParameter("The query is not UTF-8; percent-escape the bytes of UTF-8.") from exc


@dataclass(frozen=True)
class Address:
    """What a request is about.

    Attributes:
        bucket: its name; None is the service itself (the list of buckets).
        key: of the object, decoded from the raw path; empty is the bucket itself.
        host: as the client wrote it, with its port if there is one.
        suffix: what stands behind the bucket in ``host``, without the port; None: the host
            names no bucket, and it is the default one.
    """

    bucket: str | None
    key: str
    host: str
    suffix: str | None


@dataclass(frozen=True)
class Call:
    """A request whose sender is known.

    Attributes:
        app: what it is served by.
        request: its body is not read yet.
        address: what it is about.
        query: its parameters.
        caller: whose signature it has.
        bucket: of the address, if there is one; operations that need it have it.
    """

    app: App
    request: Request
    address: Address
    query: Query
    caller: Caller
    bucket: Bucket | None = None
