"""Signatures of Tencent COS: ``q-sign-algorithm=sha1&q-ak=…``, in a header or in the address.

What is signed is the method, the decoded path, and of the parameters and headers those that the
signer chose to list. The rest of a request is not: who catches a signed request, or is given a
signed address, can send it again while it lasts with other content, parameters and headers:
ask for processing, for instance, as far as the signer's own rights go; and without ``host`` in
the list, send it to another bucket. COS accepts that, and clients live by it: Node's does not
sign ``ci-process``, Python's signs no parameters of a list of buckets. Addresses that are given
away are best signed with a temporary credential whose policy allows what they are for, and no
more. What is listed cannot be changed, taken away or sent twice.

The lists themselves are not signed, but names, values and their order are, each escaped, one
line for each list: nothing can be passed off as something else.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote_from_bytes, unquote_to_bytes

from superres.server.dialects.cloud_infinite.call import MAX_PARAMETERS
from superres.server.dialects.cloud_infinite.errors import Refused

SKEW_S = 15 * 60
"""How far a client's clock may be ahead."""

Headers = Iterable[tuple[bytes, bytes]]
_Values = Mapping[bytes, Sequence[bytes]]

_REQUIRED = (b"q-ak", b"q-sign-time", b"q-key-time", b"q-signature")
_TOKENS = (b"x-cos-security-token", b"x-ci-security-token")
_PERIOD = re.compile(rb"([0-9]{1,12});([0-9]{1,12})")
_BEGIN = b"q-sign-algorithm"


def denied(message: str) -> Refused:
    """There is no signature, or it cannot be read."""
    return Refused(403, "AccessDenied", message)


def mismatch() -> Refused:
    """The signature can be read, and is wrong."""
    return Refused(403, "SignatureDoesNotMatch", "The Signature you specified is invalid.")


@dataclass(frozen=True)
class Signature:
    """A signed request.

    Attributes:
        credential_id: who says to have signed it.
        session_token: of a temporary credential; None: there is none.
        key_time, sign_time: as written.
        signature: as sent.
        digests: of the text that was signed, each with the names, in lower case, of the headers
            in it; more than one where signers write the same request differently. Empty: nobody
            can have signed this.
    """

    credential_id: str
    session_token: str | None = field(repr=False)
    key_time: bytes
    sign_time: bytes
    signature: bytes = field(repr=False)
    digests: Mapping[bytes, frozenset[bytes]] = field(repr=False)

    def confirm(self, secret: str) -> frozenset[bytes]:
        """Compare with what the owner of ``secret`` would have sent, in constant time.

        Returns:
            The names, in lower case, of the headers that are signed.

        Raises:
            Refused: it is not the same.
        """
        key = hmac.digest(secret.encode(), self.key_time, "sha1").hex().encode()
        agreed = []
        for digest, headers in self.digests.items():
            text = b"sha1\n" + self.sign_time + b"\n" + digest + b"\n"
            expected = hmac.digest(key, text, "sha1").hex().encode()
            if hmac.compare_digest(expected, self.signature):
                agreed.append(headers)
        if not agreed:
            raise mismatch()
        return frozenset.intersection(*agreed)


def read(
    method: str, key: str, query: bytes, headers: Headers, *, host: str, now: datetime
) -> Signature:
    """Read a request's signature and check all that does not need the secret.

    Args:
        method: as sent.
        key: the path without its first slash, percent-escapes decoded.
        query: as sent, without the ``?``.
        headers: as sent; names of any case.
        host: where the request goes, as the client wrote it, with the port if there is one.
        now: with a time zone.

    Raises:
        Refused: no signature (403 AccessDenied), none that can be read (the same), expired (the
            same, with ``ServerTime``), too far in the future (403 RequestTimeTooSkewed).
    """
    sent = [(name.lower(), value.strip()) for name, value in headers]
    pairs = [
        (_unescaped(name), value)
        for name, _, value in (part.partition(b"=") for part in query.split(b"&") if part)
    ]
    fields = _fields(sent, pairs)
    _check_time(fields.key_time, now)
    _check_time(fields.sign_time, now)
    parameters = _by_name((name, _unescaped(value)) for name, value in pairs)
    known = _by_name((name, _utf8(value)) for name, value in sent)
    path = b"/" + key.encode()
    signed = (
        (b"\n".join((method.lower().encode(), path, given, lines, b"")), header_list)
        for header_list, parameter_list in fields.readings
        if (given := _listed(parameters, parameter_list)) is not None
        for each in _hosts(host)
        if (lines := _listed({**known, b"host": [each]}, header_list)) is not None
    )
    digests: dict[bytes, frozenset[bytes]] = {}
    for text, names in signed:
        digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        # Several hosts make no difference where none was signed. What two readings of the lists
        # do not agree on is not signed for certain.
        digests[digest] = digests.get(digest, frozenset(names)) & frozenset(names)
    return Signature(
        fields.credential_id.decode("latin-1"),
        _session_token(known, parameters),
        fields.key_time,
        fields.sign_time,
        fields.signature,
        digests,
    )


_Names = tuple[bytes, ...]
_Reading = tuple[_Names, _Names]


@dataclass(frozen=True)
class _Fields:
    """An authorization, taken apart.

    ``readings``: what the two lists of names (of headers, of parameters) can mean.
    """

    credential_id: bytes
    key_time: bytes
    sign_time: bytes
    signature: bytes
    readings: tuple[_Reading, ...]


def _fields(sent: list[tuple[bytes, bytes]], pairs: list[tuple[bytes, bytes]]) -> _Fields:
    given = [value for name, value in sent if name == b"authorization" and value]
    if len(given) > 1:
        raise denied("The request has more than one Authorization.")
    in_query = [(name.lower(), value) for name, value in pairs]
    if given and given[0].lower().startswith(_BEGIN):
        return _parsed(_split(given[0]))
    if any(name == _BEGIN for name, _ in in_query):
        return _parsed([each for each in in_query if each[0].startswith(b"q-")], escaped=True)
    for name, value in in_query:
        whole = _unescaped(value)
        if name == b"sign" and whole.lower().startswith(_BEGIN):
            return _parsed(_split(whole))
    if given:
        raise denied("The Authorization is not one of COS: it begins with q-sign-algorithm=sha1.")
    raise denied("Access Denied. The request is not signed.")


def _split(text: bytes) -> list[tuple[bytes, bytes]]:
    parts = (part.partition(b"=") for part in text.split(b"&"))
    return [(name.strip().lower(), value.strip()) for name, _, value in parts]


def _parsed(pairs: list[tuple[bytes, bytes]], *, escaped: bool = False) -> _Fields:
    raw = dict(pairs)
    if len(raw) != len(pairs):
        raise denied("The signature has a field twice.")
    found = {name: _unescaped(value) for name, value in raw.items()} if escaped else raw
    if found.get(_BEGIN) != b"sha1":
        raise denied("The signature's q-sign-algorithm must be sha1.")
    if lacking := [name.decode() for name in _REQUIRED if not found.get(name)]:
        raise denied(f"The signature lacks {', '.join(lacking)}.")
    # Names are escaped in the lists. In an address Python escapes the lists once more, Node does
    # so or not; a semicolon that is part of a name tells them apart.
    readings: dict[_Reading, None] = {}
    for source in (found, raw):
        lists = [_names(source.get(name, b"")) for name in (b"q-header-list", b"q-url-param-list")]
        readings[lists[0], lists[1]] = None
        # Node lists the names in the order of their escaped forms, and signs in the order of
        # the plain ones.
        readings[_in_plain_order(lists[0]), _in_plain_order(lists[1])] = None
    return _Fields(
        found[b"q-ak"],
        found[b"q-key-time"],
        found[b"q-sign-time"],
        found[b"q-signature"],
        tuple(readings),
    )


def _names(text: bytes) -> _Names:
    if text.count(b";") >= MAX_PARAMETERS:
        raise denied(f"The signature's lists have at most {MAX_PARAMETERS} names each.")
    return tuple(_name(unquote_to_bytes(name)) for name in text.split(b";") if name)


def _in_plain_order(names: _Names) -> _Names:
    return tuple(
        sorted(names, key=lambda name: unquote_to_bytes(name).decode("utf-8", "replace").lower())
    )


def _check_time(period: bytes, now: datetime) -> None:
    found = _PERIOD.fullmatch(period)
    if found is None:
        raise denied(
            "The signature's times must be seconds since 1970, such as 1700000000;1700000900."
        )
    starts, ends = (int(each) for each in found.groups())
    seconds = now.timestamp()
    if starts > seconds + SKEW_S:
        raise Refused(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the server's time is too large.",
            _server_time(now),
        )
    if ends < int(seconds):
        # In these words: clients correct their clocks by them.
        raise Refused(403, "AccessDenied", "Request has expired", _server_time(now))


def _server_time(now: datetime) -> dict[str, str]:
    return {"ServerTime": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}


def _listed(values: _Values, names: _Names) -> bytes | None:
    """``name=value&…`` of the named; what was not sent is empty.

    None if one of them was sent more often than it is named: it would not be clear which one
    was signed, and which one counts.
    """
    parts = []
    seen: dict[bytes, int] = {}
    for name in names:
        number = seen[name] = seen.get(name, -1) + 1
        given = values.get(name, ())
        parts.append(name + b"=" + _escaped(given[number] if number < len(given) else b""))
    if any(len(values.get(name, ())) > last + 1 for name, last in seen.items()):
        return None
    return b"&".join(parts)


def _by_name(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        found.setdefault(_name(name), []).append(value)
    return found


def _hosts(host: str) -> Iterator[bytes]:
    """The ways in which clients sign ``host``: Python without the port, Node with it."""
    name, _, port = host.rpartition(":") if re.search(r":[0-9]*\Z", host) else (host, "", "")
    forms = [host, name, name.removeprefix("[").removesuffix("]")]
    if not port:  # not sent where it is the scheme's own
        forms += [f"{name}:80", f"{name}:443"]
    for form in dict.fromkeys([*forms, *(each.lower() for each in forms)]):
        yield form.encode()


def _session_token(headers: _Values, parameters: _Values) -> str | None:
    for source in (headers, parameters):
        for name in _TOKENS:
            if (given := source.get(name)) and given[0]:
                return given[0].decode("latin-1")
    return None


def _utf8(value: bytes) -> bytes:
    """A header's value as it was signed: Node sends Latin-1, and signs UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1").encode()
    return value


def _name(plain: bytes) -> bytes:
    return _escaped(plain).lower()


def _escaped(plain: bytes) -> bytes:
    return quote_from_bytes(plain, safe="-_.~").encode()


def _unescaped(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))
