"""Signature Version 4 (``AWS4-HMAC-SHA256``): reading a signed request and checking it.

Follows AWS's "Signature Version 4 signing process" as API Gateway applies it (service
``execute-api``), in the ``Authorization`` header or, for presigned addresses, in the query.
Pure: no clock, no database, no network. A request is read first (:func:`read`), which finds
everything that can be wrong with it before its body is there; :meth:`Signature.confirm` then
needs the secret and the body's SHA-256, which is always computed here: a header
``x-amz-content-sha256`` counts as one more signed header and is never believed, so
``UNSIGNED-PAYLOAD`` is refused.

``Host`` is part of what is signed: a proxy in front must pass on the one that the client sent.
A session token (``x-amz-security-token``) need not be signed: it says which secret the signature
of a temporary credential was made with, and no other fits.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote_from_bytes, unquote_to_bytes

from superres.server.dialects.ai_solution_kit.errors import Refused

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "execute-api"
TERMINATOR = "aws4_request"
SKEW = timedelta(minutes=5)
MAX_EXPIRES = 7 * 24 * 3600

_BASIC = "%Y%m%dT%H%M%SZ"
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)

Headers = Iterable[tuple[bytes, bytes]]


def incomplete(message: str) -> Refused:
    """The signature is not one, or lacks a part."""
    return Refused(403, message, "IncompleteSignatureException")


def invalid(message: str = _MISMATCH) -> Refused:
    """The signature is whole, and wrong."""
    return Refused(403, message, "InvalidSignatureException")


def missing() -> Refused:
    """Nothing was signed; also what unknown paths and methods get."""
    return Refused(403, "Missing Authentication Token", "MissingAuthenticationTokenException")


@dataclass(frozen=True)
class Signature:
    """A signed request without its body.

    Attributes:
        access_key: who says to have signed it.
        date: of the request, as written in the string to sign.
        scope: ``date/region/service/aws4_request``.
        signature: as sent.
        heads: the canonical request without its last line, the body's hash; more than one
            where signers write the same query differently.
        session_token: of a temporary credential, as sent.
    """

    access_key: str
    date: str
    scope: str
    signature: bytes = field(repr=False)
    heads: tuple[bytes, ...] = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def confirm(self, secret: str, body_sha256: str) -> None:
        """Compare with what the owner of ``secret`` would have sent, in constant time.

        Args:
            secret: the access key's.
            body_sha256: of the body that arrived, lower-case hexadecimal.

        Raises:
            Refused: it is not the same.
        """
        key = ("AWS4" + secret).encode()
        for part in self.scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        agreed = False
        for head in self.heads:
            request = hashlib.sha256(head + body_sha256.encode()).hexdigest()
            text = "\n".join((ALGORITHM, self.date, self.scope, request))
            expected = hmac.digest(key, text.encode(), "sha256").hex().encode()
            agreed |= hmac.compare_digest(expected, self.signature)
        if not agreed:
            raise invalid()


def read(
    method: str, path: bytes, query: bytes, headers: Headers, *, region: str, now: datetime
) -> Signature:
    """Read a request's signature and check all that needs neither the secret nor the body.

    Args:
        method: as sent.
        path: as sent, still percent-encoded.
        query: as sent, without the ``?``.
        headers: as sent; names of any case.
        region: that the credential scope must name.
        now: with a time zone.

    Raises:
        Refused: no signature, not a whole one, of another service or region, or too old.
    """
    sent: dict[str, list[bytes]] = {}
    for name, value in headers:
        sent.setdefault(name.decode("latin-1").lower(), []).append(value)
    parameters = _parameters(query)
    if "authorization" in sent:
        fields = _from_header(sent)
    elif any(name.lower().startswith(b"x-amz-") for name, _ in parameters):
        fields = _from_query(parameters)
    else:
        raise missing()
    access_key, scope = _scope(fields.credential, fields.date, region)
    signed = fields.signed_headers.split(";")
    if "host" not in signed or "host" not in sent:
        raise invalid("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    _check_time(fields, now)
    lines = [f"{name}:".encode() + _folded(sent.get(name, [])) + b"\n" for name in signed]
    heads = tuple(
        b"\n".join(
            (
                method.encode(),
                quote_from_bytes(path or b"/", safe="/~").encode(),
                canonical_query,
                b"".join(lines),
                fields.signed_headers.encode(),
                b"",
            )
        )
        for canonical_query in _canonical_queries(query, parameters)
    )
    token = _session_token(sent, parameters)
    return Signature(access_key, fields.date, scope, fields.signature.encode(), heads, token)


@dataclass(frozen=True)
class _Fields:
    credential: str
    signed_headers: str
    signature: str
    date: str
    expires: timedelta | None = None


def _from_header(sent: dict[str, list[bytes]]) -> _Fields:
    text = b",".join(sent["authorization"]).decode("latin-1").strip()
    algorithm, _, rest = text.partition(" ")
    found: dict[str, str] = {}
    if algorithm == ALGORITHM:
        for part in rest.split(","):
            name, _, value = part.strip().partition("=")
            if name in found:
                raise incomplete(f"Authorization header has more than one '{_short(name)}'.")
            found[name] = value.strip()
    wrong = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not found.get(name)
    ]
    date = _date_header(sent)
    if date is None:
        wrong.append(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    if wrong or date is None:
        # As AWS does: the header itself may be somebody's secret.
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        wrong.append(f"(Hashed with SHA-256 and encoded with Base64) Authorization={digest}")
        raise incomplete(" ".join(wrong))
    return _Fields(found["Credential"], found["SignedHeaders"], found["Signature"], date)


def _date_header(sent: dict[str, list[bytes]]) -> str | None:
    for name in ("x-amz-date", "date"):
        if name in sent:
            text = sent[name][0].decode("latin-1").strip()
            return text if _parse(text) else (_http_date(text) or text)
    return None


def _http_date(text: str) -> str | None:
    """``Sun, 06 Nov 1994 08:49:37 GMT``, which the header Date has, in AWS's form."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC).strftime(_BASIC)
    except (ValueError, TypeError, OverflowError):
        return None


def _from_query(parameters: list[tuple[bytes, bytes]]) -> _Fields:
    found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in parameters}
    names = ("Algorithm", "Credential", "Date", "SignedHeaders", "Signature")
    wrong = [f"'X-Amz-{name}'" for name in names if not found.get(f"x-amz-{name.lower()}")]
    if wrong:
        raise incomplete(f"AWS query-string parameters must include {', '.join(wrong)}.")
    if found["x-amz-algorithm"] != ALGORITHM:
        raise incomplete(f"Unsupported AWS 'algorithm': it must be '{ALGORITHM}'.")
    expires = found.get("x-amz-expires")  # aws4 for Node leaves it out
    if expires is not None and not (
        re.fullmatch("[0-9]{1,6}", expires) and 1 <= int(expires) <= MAX_EXPIRES
    ):
        raise incomplete(f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES}.")
    return _Fields(
        found["x-amz-credential"],
        found["x-amz-signedheaders"],
        found["x-amz-signature"],
        found["x-amz-date"],
        None if expires is None else timedelta(seconds=int(expires)),
    )


def _session_token(
    sent: dict[str, list[bytes]], parameters: list[tuple[bytes, bytes]]
) -> str | None:
    in_query = (value for name, value in parameters if name.lower() == b"x-amz-security-token")
    found = next(iter(sent.get("x-amz-security-token", [])), None) or next(in_query, b"")
    return found.strip().decode("latin-1") or None


def _scope(credential: str, date: str, region: str) -> tuple[str, str]:
    """Return the access key and the credential's scope, of which every part was checked."""
    parts = credential.split("/")
    if len(parts) != 5 or not all(parts):
        raise incomplete(
            "Credential must have exactly 5 slash-delimited parts, e.g. "
            f"keyid/date/region/service/term, got '{_short(credential)}'"
        )
    if _parse(date) is None:
        raise incomplete(
            "Date must be in ISO-8601 'basic format', such as 20150830T123600Z. "
            f"Got '{_short(date)}'."
        )
    access_key, day, in_region, service, terminator = parts
    wrong = []
    if in_region != region:
        wrong.append("Credential should be scoped to a valid region.")
    if service != SERVICE:
        wrong.append(f"Credential should be scoped to correct service: '{SERVICE}'.")
    if terminator != TERMINATOR:
        wrong.append(f"Credential should be scoped with a valid terminator: '{TERMINATOR}'.")
    if day != date[:8]:
        wrong.append(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{_short(day)}' != '{date[:8]}', from '{date}'."
        )
    if wrong:
        raise invalid(" ".join(wrong))
    return access_key, "/".join(parts[1:])


def _check_time(fields: _Fields, now: datetime) -> None:
    signed = _parse(fields.date)
    assert signed is not None, "the scope was checked"
    # Whole seconds, as in what is signed.
    now = now.astimezone(UTC).replace(microsecond=0)
    latest, oldest = now + SKEW, now - (fields.expires or SKEW)
    if signed > latest:
        raise invalid(
            f"Signature not yet current: {fields.date} is still later than "
            f"{latest:{_BASIC}} ({now:{_BASIC}} + 5 min.)"
        )
    if signed < oldest and fields.expires is not None:
        raise invalid(
            f"Signature expired: {fields.date} is now earlier than {oldest:{_BASIC}} "
            f"({now:{_BASIC}} - {fields.expires.total_seconds():.0f} sec.)"
        )
    if signed < oldest:
        raise invalid(
            f"Signature expired: {fields.date} is now earlier than {oldest:{_BASIC}} "
            f"({now:{_BASIC}} - 5 min.)"
        )


def _parse(date: str) -> datetime | None:
    if not re.fullmatch("[0-9]{8}T[0-9]{6}Z", date):
        return None
    try:
        return datetime.strptime(date, _BASIC).replace(tzinfo=UTC)
    except ValueError:
        return None


def _folded(values: list[bytes]) -> bytes:
    """Return a header's values with single spaces, joined by commas."""
    return b",".join(b" ".join(value.split()) for value in values)


def _parameters(query: bytes) -> list[tuple[bytes, bytes]]:
    """The query's names and values, decoded; ``+`` is a space, as HTML forms have it."""
    parts = (part.partition(b"=") for part in query.split(b"&") if part)
    return [(_decoded(name), _decoded(value)) for name, _, value in parts]


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _canonical_queries(query: bytes, parameters: list[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
    """The query in canonical form: sorted by encoded name, then value, RFC 3986.

    botocore and aws-requests-auth sort it as the client has encoded it, without encoding it
    anew; where that is not the same, both are right.
    """
    encoded = sorted((_quoted(name), _quoted(value)) for name, value in parameters)
    as_sent = sorted(part.partition(b"=")[::2] for part in query.split(b"&") if part)
    forms = (
        b"&".join(name + b"=" + value for name, value in pairs if name != b"X-Amz-Signature")
        for pairs in (encoded, as_sent)
    )
    return tuple(dict.fromkeys(forms))


def _quoted(text: bytes) -> bytes:
    return quote_from_bytes(text, safe="-_.~").encode()


def _short(text: str) -> str:
    return text if len(text) <= 64 else text[:64] + "…"
