"""Who may use this door: ``Authorization: Basic base64(appkey:appsecret)`` (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import hmac

from starlette.requests import Request

from superres.access import Access, Caller
from superres.app import App
from superres.errors import Unauthenticated
from superres.server.work import in_thread

CREATE, GET = "superres:CreateTask", "superres:GetTask"
RESOURCE = "fsrtwo"

_EXPECTED = (
    "Send the header Authorization: Basic base64(appkey:appsecret); appkey is the id of a "
    "credential and appsecret its secret (superres keys create NAME makes one)."
)
_WRONG = "appkey and appsecret are not those of a credential in use."


async def authorise(request: Request, app: App, action: str) -> Caller:
    """Who is asking, if that one may.

    Raises:
        Unauthenticated: no credential, or a wrong one.
        PermissionDenied: the credential's policy does not allow ``action``.
    """
    key, secret = _read(request.headers.get("authorization", ""))
    caller = await in_thread(_holder, app.access, key, secret)
    request.state.caller = caller.name
    await in_thread(app.access.authorise, caller, action, RESOURCE)
    return caller


def _read(header: str) -> tuple[str, bytes]:
    """Key and secret as they were sent."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated(_EXPECTED)
    try:
        sent = base64.b64decode(encoded.strip(" "), validate=True)
        key, colon, secret = sent.partition(b":")
        if colon:
            return key.decode("ascii"), secret
    except (binascii.Error, UnicodeError, ValueError):
        pass  # the cause would be told to nobody, and holds a part of what was sent
    raise Unauthenticated(_EXPECTED)


def _holder(access: Access, key: str, secret: bytes) -> Caller:
    try:
        caller, known = access.secret_of(key)
    except Unauthenticated:
        caller, known = None, ""
    # Compared in either case, so that the time tells nothing of which of the two was wrong.
    same = hmac.compare_digest(known.encode(), secret)
    if caller is None or not same:
        raise Unauthenticated(_WRONG)
    return caller
