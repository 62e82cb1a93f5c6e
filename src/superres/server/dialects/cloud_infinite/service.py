"""Buckets: listed, made, looked for and removed."""

from __future__ import annotations

from starlette.responses import Response

from superres.buckets import Bucket
from superres.errors import BadParameter, BucketExists
from superres.server.dialects.cloud_infinite import answers, auth, metadata
from superres.server.dialects.cloud_infinite.addressing import is_bucket_name
from superres.server.dialects.cloud_infinite.call import Call
from superres.server.dialects.cloud_infinite.errors import Refused
from superres.server.dialects.cloud_infinite.listing import number, owner
from superres.server.dialects.cloud_infinite.objects import name_of
from superres.server.work import in_thread

_MOST = 2000


async def buckets(call: Call) -> Response:
    """``GET /`` of the service: the buckets that the caller may look for."""
    limit = number(call.query, "max-keys", _MOST, default=_MOST)
    marker = call.query.get("marker", "")
    seen = [each for each in await auth.visible(call) if each.name > marker]
    page, more = seen[:limit], len(seen) > limit > 0
    assert call.caller.id is not None
    region = call.app.settings.cloud_infinite.region
    content = [
        ("Owner", owner(call.caller.id)),
        ("Buckets", [("Bucket", _bucket(each, region)) for each in page] or ""),
        ("Marker", marker),
        ("IsTruncated", "true" if more else "false"),
        *([("NextMarker", page[-1].name)] if more else []),
    ]
    return answers.document(call.request, "ListAllMyBucketsResult", content)


async def create(call: Call) -> Response:
    """``PUT /`` of a bucket."""
    name = call.address.bucket
    assert name is not None
    if not is_bucket_name(name):
        raise Refused(
            400,
            "InvalidBucketName",
            "A bucket's name has 3 to 63 of a-z, 0-9 and -, neither first nor last.",
        )
    metadata.check_offered(call.request.headers)
    assert call.caller.id is not None
    try:
        await in_thread(
            call.app.buckets.create,
            name,
            call.caller.id,
            processing=call.app.settings.cloud_infinite.enabled,
        )
    except BucketExists as exc:
        if exc.owner == call.caller.id:
            raise Refused(
                409, "BucketAlreadyOwnedByYou", "There is a bucket of that name, and it is yours."
            ) from exc
        raise
    except BadParameter as exc:  # the name is one
        raise Refused(400, "TooManyBuckets", exc.public_message) from exc
    return answers.empty(call.request)


async def head(call: Call) -> Response:
    """``HEAD /`` of a bucket: it is there."""
    region = call.app.settings.cloud_infinite.region
    return answers.empty(call.request, more={"x-cos-bucket-region": region})


async def location(call: Call) -> Response:
    """``GET /?location``."""
    region = call.app.settings.cloud_infinite.region
    return answers.document(call.request, "LocationConstraint", region)


async def delete(call: Call) -> Response:
    """``DELETE /`` of a bucket that is empty."""
    await in_thread(call.app.buckets.delete, name_of(call))
    return answers.empty(call.request, 204)


def _bucket(each: Bucket, region: str) -> list[tuple[str, str]]:
    return [
        ("Name", each.name),
        ("Location", region),
        ("CreationDate", answers.iso(each.created_at)),
        ("BucketType", "cos"),
    ]
