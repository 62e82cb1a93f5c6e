"""Objects: written, read, described and removed."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from superres.buckets import NewObject, StoredObject
from superres.server.dialects.cloud_infinite import (
    answers,
    auth,
    bodies,
    conditions,
    metadata,
    pic_operations,
    processing,
)
from superres.server.dialects.cloud_infinite.call import Call
from superres.server.dialects.cloud_infinite.streams import stream
from superres.server.work import in_thread, scratch_folder


async def put(call: Call) -> Response:
    """``PUT /key``: the body becomes the object, whole or not at all."""
    app, request, key = call.app, call.request, call.address.key
    limit = app.settings.buckets.max_object_bytes
    bodies.check_length(request, limit)
    content_type, headers = metadata.read(request)
    operations = None
    if given := request.headers.get("pic-operations"):
        operations = pic_operations.read(given, name_of(call), key)
        await processing.check(call, operations)
    await refuse_overwriting(call)
    async with scratch_folder(app) as folder:
        body = folder / "body"
        md5 = await bodies.save(request, body, limit)
        new = NewObject(name_of(call), key, body, md5, content_type, headers)
        await auth.may_still_put(call, (new.bucket, new.key))
        await refuse_overwriting(call)
        if operations is not None:
            return await processing.upload(call, folder, new, operations)
        await in_thread(app.buckets.objects.put, new)
    return answers.empty(request, more={"ETag": answers.etag(md5)})


async def get(call: Call) -> Response:
    """``GET /key``: the object or a part of it."""
    request, objects = call.request, call.app.buckets.objects
    overrides = metadata.overrides(call.query)
    found = await in_thread(objects.get, name_of(call), call.address.key)
    more = {**described(found), **overrides}
    if not conditions.check(found, request.headers):
        return unchanged(request, found)
    span = conditions.wanted(found, request.headers)
    first, end = span or (0, found.size)
    status = 200
    if span is not None:
        status = 206
        more["content-range"] = f"bytes {first}-{end - 1}/{found.size}"
    media_type = more.pop("content-type")
    source = objects.read(found, first, end)
    return await stream(request, source, end - first, more, media_type, status)


async def head(call: Call) -> Response:
    """``HEAD /key``: what :func:`get` would say of the whole object, without it."""
    found = await in_thread(call.app.buckets.objects.get, name_of(call), call.address.key)
    if not conditions.check(found, call.request.headers):
        return unchanged(call.request, found)
    more = {**described(found), **metadata.overrides(call.query)}
    return answers.empty(call.request, more={**more, "content-length": str(found.size)})


async def delete(call: Call) -> Response:
    """``DELETE /key``: removed, or it was not there."""
    await in_thread(call.app.buckets.objects.delete, name_of(call), call.address.key)
    return answers.empty(call.request, 204)


def described(found: StoredObject) -> dict[str, str]:
    """Headers that tell of an object; all names are in lower case."""
    return {
        **found.headers,
        "content-type": found.content_type,
        "etag": answers.etag(found.etag),
        "last-modified": answers.http_date(found.modified_at),
        "accept-ranges": "bytes",
        # Nothing in an object is to be run here: on a bare host its page would be our own.
        "content-security-policy": "sandbox",
    }


def unchanged(request: Request, found: StoredObject) -> Response:
    """304: the client has the object already."""
    known = described(found)
    kept = ("etag", "last-modified", "cache-control", "expires")
    return answers.empty(request, 304, {name: known[name] for name in kept if name in known})


async def refuse_overwriting(call: Call) -> None:
    """See to ``x-cos-forbid-overwrite: true`` for the key of the request's address.

    Raises:
        Refused: 409 FileAlreadyExists.
    """
    await conditions.refuse_overwriting(call, name_of(call), call.address.key)


def name_of(call: Call) -> str:
    """The name of the bucket that an operation on objects is about."""
    assert call.bucket is not None
    return call.bucket.name
