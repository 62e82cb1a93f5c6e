"""Who may use these doors: whoever has a credential's token, in the header of the door."""

from __future__ import annotations

from fastapi import Request

from superres.access import Access, Caller
from superres.errors import Unauthenticated
from superres.server.work import in_thread

_ACTION, _RESOURCE = "superres:Upscale", "picwish/scale"


async def caller_of(access: Access, request: Request, *, market: bool) -> Caller:
    """Who is asking; the log learns it, too.

    Args:
        access: who may do what.
        request: its headers are looked at.
        market: at the Aliyun market's door, whose header is ``Authorization: APPCODE …``; else
            it is ``X-API-KEY``.

    Raises:
        Unauthenticated: no token, or nobody's.
        PermissionDenied: the credential's policy does not allow it.
    """
    token = _appcode(request) if market else _api_key(request)

    def known() -> Caller:
        caller = access.by_token(token)
        access.authorise(caller, _ACTION, _RESOURCE)
        return caller

    caller = await in_thread(known)
    request.state.caller = caller.name
    return caller


def _appcode(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "appcode" or not token.strip():
        raise Unauthenticated("The AppCode is missing: send Authorization: APPCODE <token>.")
    return token.strip()


def _api_key(request: Request) -> str:
    token = request.headers.get("x-api-key", "").strip()
    if not token:
        raise Unauthenticated("The API key is missing: send the header X-API-KEY: <token>.")
    return token
