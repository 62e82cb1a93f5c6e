"""Who is asking at this door, and what they may do with which bucket."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from fastapi import Request

from superres.access import Access, Caller
from superres.app import App
from superres.buckets import Bucket
from superres.errors import PermissionDenied, Unauthenticated
from superres.server.dialects.cloud_infinite import signature
from superres.server.dialects.cloud_infinite.call import Address, Call
from superres.server.dialects.cloud_infinite.errors import Refused
from superres.server.work import in_thread

SUPER_RESOLVE = ("ci:CreateSuperResolutionJob", "ci:CreateAISuperResolutionJob")
"""The action of method 1; the second is its older name."""

# They make other objects of a request than the one that its address names. Who was given a
# signed address must not be able to add them; COS's own SDKs sign them.
_FAR_REACHING = ("Pic-Operations", "x-cos-copy-source")


async def caller_of(app: App, request: Request, address: Address) -> Caller:
    """Find out who is asking, from the request's headers and address alone: no body is read.

    Raises:
        Refused: it is not signed, or wrongly (403, with COS's codes).
        StorageError: the database fails.
    """
    signed = signature.read(
        request.method,
        address.key,
        request.scope["query_string"],
        request.scope["headers"],
        host=address.host,
        now=datetime.now(UTC),
    )
    caller, secret = await in_thread(_signer, app.access, signed)
    headers = signed.confirm(secret)
    if not app.settings.cloud_infinite.unsigned_operations:
        for name in _FAR_REACHING:
            if name in request.headers and name.lower().encode() not in headers:
                raise signature.denied(
                    f"The header {name} must be signed: name it in q-header-list, as the SDKs do "
                    "(or set [cloud_infinite] unsigned_operations)."
                )
    request.state.caller = caller.name
    return caller


async def authorise(
    call: Call, action: str | tuple[str, ...], key: str = "", bucket: Bucket | None = None
) -> None:
    """Make sure that the caller may do ``action`` on ``bucket/key``.

    Without a policy a caller may do everything with its own buckets, and nothing with others';
    with one, exactly what it allows, with whosever bucket. A temporary credential's own policy
    must allow it, too.

    Args:
        call: the request; without a bucket it is about the service, or about a bucket that is
            to be made.
        action: such as ``cos:GetObject``; several are names of the same.
        key: of the object; of a listing the prefix; empty for the bucket itself.
        bucket: if it is not the call's own.

    Raises:
        PermissionDenied: they may not.
    """
    check(call, action, key, bucket)


async def may_still_put(call: Call, *places: tuple[str, str]) -> None:
    """Ask again, just before objects are written, whether the caller may.

    A body can take hours to come. Meanwhile the credential may have been revoked, and the bucket
    be another of the same name, somebody else's.

    Args:
        call: the request, which was allowed when it began.
        places: buckets and keys.

    Raises:
        BucketNotFound: one is not there any more.
        Unauthenticated, PermissionDenied: they may not any more.
    """

    def ask() -> None:
        assert call.caller.id is not None
        caller, _ = call.app.access.secret_of(call.caller.id)
        caller = replace(caller, session_policy=call.caller.session_policy)
        for bucket, key in places:
            found = call.app.buckets.get(bucket)
            check(replace(call, caller=caller), "cos:PutObject", key, found)

    await in_thread(ask)


async def visible(call: Call) -> list[Bucket]:
    """The buckets that a list shows the caller: its own, and what its policy lets it look for.

    Raises:
        StorageError: the database fails.
    """
    caller, buckets = call.caller, call.app.buckets
    if caller.policy is None:
        return await in_thread(buckets.list, caller.id)

    def seen() -> list[Bucket]:
        return [each for each in buckets.list() if _is_seen(call, each)]

    return await in_thread(seen)


def _is_seen(call: Call, bucket: Bucket) -> bool:
    if bucket.owner == call.caller.id:
        return True
    try:
        check(call, "cos:HeadBucket", "", bucket)
    except PermissionDenied:
        return False
    return True


def check(
    call: Call, action: str | tuple[str, ...], key: str = "", bucket: Bucket | None = None
) -> None:
    """What :func:`authorise` does; for threads, where there is much of it."""
    bucket = bucket or call.bucket
    name = bucket.name if bucket else call.address.bucket or ""
    caller = call.caller
    if bucket is not None and caller.policy is None and bucket.owner != caller.id:
        raise PermissionDenied(
            f"The bucket {bucket.name} belongs to another credential, and {caller.id} "
            f"({caller.name}) has no policy that speaks of it."
        )
    call.app.access.authorise(caller, action, f"{name}/{key}")


def _signer(access: Access, signed: signature.Signature) -> tuple[Caller, str]:
    try:
        return access.secret_of(signed.credential_id, signed.session_token)
    except Unauthenticated as exc:
        if exc.expired:
            # Not in the words of an expired signature: clients would correct their clocks.
            raise Refused(403, "ExpiredToken", exc.public_message) from exc
        if signed.session_token is not None:
            raise Refused(403, "InvalidToken", exc.public_message) from exc
        raise Refused(
            403,
            "InvalidAccessKeyId",
            "The Access Key Id you provided does not exist in our records.",
        ) from exc
