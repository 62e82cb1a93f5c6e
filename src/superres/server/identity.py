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
from superres.settings import ServerSettings

HEADER = "X-Request-Id"
_USABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")
_FORWARDING = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip")
_FORWARDING_FAMILIES = ("x-forwarded-", "cf-", "x-original-")
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


def is_private(server: ServerSettings) -> bool:
    """Whether only this machine can reach the server.

    It listens on loopback, and no public address is set.
    """
    public = server.public_url
    return is_loopback(server.host) and (not public or is_loopback(_host_of(public)))


def is_local(request: HTTPConnection) -> bool:
    """Whether ``request`` was made on this machine, by somebody sitting at it.

    What may be done without a credential hangs on this, so all of it must be true: the server
    listens on loopback only and no public address is set; the client's address is loopback;
    no proxy passed the request on (bare ones give themselves away by HTTP/1.0); the name
    asked for is a loopback one (else a page of the web could reach here by DNS rebinding);
    and no page of another site made it.
    """
    if not is_private(request.app.state.app.settings.server):
        return False
    if request.client is None or not is_loopback(request.client.host):
        return False
    if request.scope.get("http_version", "1.1") == "1.0":
        return False
    headers = request.headers
    if any(name in _FORWARDING or name.startswith(_FORWARDING_FAMILIES) for name in headers):
        return False
    if not is_loopback(_host_of("//" + headers.get("host", ""))) or is_foreign(request):
        return False
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def is_foreign(request: HTTPConnection) -> bool:
    """Whether a page of another site made ``request``, as far as its browser tells."""
    origin = request.headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc != request.headers.get("host", "")
    except ValueError:
        return True


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


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
