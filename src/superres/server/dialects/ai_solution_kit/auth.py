"""Who may use a stage: nobody is asked (NONE), a signature (AWS_IAM) or a key (API_KEY)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from fastapi import Request

from superres.access import ANONYMOUS, Access, Caller
from superres.app import App
from superres.errors import PermissionDenied, Unauthenticated
from superres.server.dialects.ai_solution_kit import sigv4
from superres.server.dialects.ai_solution_kit.errors import Refused
from superres.server.work import in_thread

Confirm = Callable[[str], Awaitable[Caller]]
"""Given the body's SHA-256, says who is asking; raises what :func:`begin` does."""


async def begin(app: App, stage: str, request: Request) -> Confirm:
    """Find out who is asking, as far as that can be known before the body is there.

    So that who may not ask cannot have bodies stored: a key is checked whole; of a signature,
    everything but the signature itself.

    Raises:
        Refused: no credential, or a wrong one.
        PermissionDenied: the credential's policy does not allow it.
        RateLimited, QuotaExceeded: its plan does not.
    """
    kind = app.settings.ai_solution_kit.stages[stage]
    if kind == "NONE":
        return _anybody

    def admit(caller: Caller) -> None:
        authorise(app.access, caller, "execute-api:Invoke", f"{stage}/POST/image_super_resolution")
        app.access.admit(caller)

    if kind == "API_KEY":
        holder = await in_thread(_holder, app.access, request.headers.get("x-api-key", ""))
        await in_thread(admit, holder)

        async def known(_: str) -> Caller:
            return holder

        return known

    signature = sigv4.read(
        request.method,
        request.scope["raw_path"],
        request.scope["query_string"],
        request.scope["headers"],
        region=app.settings.ai_solution_kit.region,
        now=datetime.now(UTC),
    )
    signer, secret = await in_thread(_signer, app.access, signature)

    async def confirm(body_sha256: str) -> Caller:
        signature.confirm(secret, body_sha256)
        await in_thread(admit, signer)
        return signer

    return confirm


def authorise(access: Access, caller: Caller, action: str, resource: str) -> None:
    """Ask the caller's policy.

    Raises:
        PermissionDenied: in API Gateway's words.
    """
    try:
        access.authorise(caller, action, resource)
    except PermissionDenied as exc:
        raise PermissionDenied(
            f"User: {caller.name} is not authorized to perform: {action} on resource: {resource}"
        ) from exc


async def _anybody(_: str) -> Caller:
    return ANONYMOUS


def _holder(access: Access, token: str) -> Caller:
    try:
        return access.by_token(token)
    except Unauthenticated as exc:
        raise Refused(403, "Forbidden", "ForbiddenException") from exc


def _signer(access: Access, signature: sigv4.Signature) -> tuple[Caller, str]:
    try:
        return access.secret_of(signature.access_key, signature.session_token)
    except Unauthenticated as exc:
        if exc.expired:
            raise Refused(
                403,
                "The security token included in the request is expired",
                "ExpiredTokenException",
            ) from exc
        raise Refused(
            403,
            "The security token included in the request is invalid.",
            "UnrecognizedClientException",
        ) from exc
