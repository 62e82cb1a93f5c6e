"""Who may use this door: holders of a token, and on this machine everybody."""

from __future__ import annotations

from starlette.requests import Request

from superres.access import ANONYMOUS, Caller
from superres.app import App
from superres.server.identity import bearer, is_local
from superres.server.work import in_thread


async def identify(request: Request, app: App) -> Caller:
    """Who is asking.

    Raises:
        Unauthenticated: no token and not on this machine, or a wrong token.
    """
    if "authorization" not in request.headers and is_local(request):
        caller = ANONYMOUS
    else:
        caller = await in_thread(app.access.by_token, bearer(request))
    request.state.caller = caller.name
    return caller


async def authorise(request: Request, app: App, action: str, resource: str) -> Caller:
    """Who is asking, if that one may.

    Raises:
        Unauthenticated: see :func:`identify`.
        PermissionDenied: the credential's policy does not allow it.
    """
    caller = await identify(request, app)
    await in_thread(app.access.authorise, caller, action, resource)
    return caller
