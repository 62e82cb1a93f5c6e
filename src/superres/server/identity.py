"""Who a request is and where it comes from: its id, and whether it is from this machine.

The id comes from the client's ``X-Request-Id`` if that looks like one, else it is made here.
It is in every log line of the request and in the answer.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import Scope

from superres.errors import Unauthenticated

HEADER = "X-Request-Id"
_USABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")
_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_KEY = "superres.request_id"


def request_id_of(scope: Scope) -> str:
    """The id of the request of ``scope``: 8 to 64 characters of letters, digits and ``._-``."""
    known: str | None = scope.get(_KEY)
    if known is None:
        given = HTTPConnection(scope).headers.get(HEADER, "")
        known = scope[_KEY] = given if _USABLE.fullmatch(given) else str(uuid.uuid4())
    return known


def request_id(request: HTTPConnection) -> str:
    """The id of ``request``, as in its answer and in the log."""
    return request_id_of(request.scope)


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, is this machine talking to itself."""
    host = host.strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local(request: HTTPConnection) -> bool:
    """Whether ``request`` was made on this machine, by somebody sitting at it.

    What may be done without a credential hangs on this, so all of it must be true: the server
    listens on loopback only and no public address is set; the client's address is loopback;
    no proxy passed the request on; the name asked for is a loopback one (else a page of the
    web could reach here by DNS rebinding); and no page of another site made it.
    """
    server = request.app.state.app.settings.server
    if not is_loopback(server.host) or (server.public_url and not _own(server.public_url)):
        return False
    if request.client is None or not is_loopback(request.client.host):
        return False
    headers = request.headers
    if any(name in headers for name in _FORWARDING):
        return False
    host = headers.get("host", "")
    if not _own(f"//{host}"):
        return False
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return False
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _own(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def bearer(request: HTTPConnection) -> str:
    """The token of the header ``Authorization: Bearer <token>`` (RFC 6750).

    Raises:
        Unauthenticated: there is no such header.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(
            "This needs a credential: send the header Authorization: Bearer <token> "
            "(superres keys create NAME makes one)."
        )
    return token.strip()
