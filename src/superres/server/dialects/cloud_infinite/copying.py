"""Objects made of others, without their bytes passing through the client."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from pathlib import Path

from starlette.responses import Response

from superres.buckets import NewObject, StoredObject
from superres.errors import BadParameter, Cancelled
from superres.server.dialects.cloud_infinite import answers, auth, bodies, conditions, metadata
from superres.server.dialects.cloud_infinite.addressing import Addresses, key_of
from superres.server.dialects.cloud_infinite.call import Call, Query
from superres.server.dialects.cloud_infinite.errors import Refused
from superres.server.dialects.cloud_infinite.objects import name_of, refuse_overwriting
from superres.server.errors import ClientGone
from superres.server.work import disconnected, in_thread, scratch_folder

_SOURCE = "x-cos-copy-source"


async def copy(call: Call) -> Response:
    """``PUT /key`` with ``x-cos-copy-source``: a copy of another object, or of itself."""
    request, app = call.request, call.app
    metadata.check_offered(request.headers)
    own = metadata.read(request) if _replaced(call) else None
    found = await source_of(call)
    limit = app.settings.buckets.max_object_bytes
    if found.size > limit:
        raise Refused(400, "EntityTooLarge", f"Objects over {limit:,} bytes are copied in parts.")
    content_type, headers = own or (found.content_type, found.headers)
    await refuse_overwriting(call)
    async with scratch_folder(app) as folder:
        file = folder / "copy"
        md5 = await fetch(call, found, file, 0, found.size)
        new = NewObject(name_of(call), call.address.key, file, md5, content_type, headers)
        await auth.may_still_put(call, (new.bucket, new.key))
        await refuse_overwriting(call)
        (made,) = await in_thread(app.buckets.objects.put, new)
    content = [("ETag", answers.etag(md5)), ("LastModified", answers.iso(made.modified_at))]
    return answers.document(request, "CopyObjectResult", content)


def is_copy(call: Call) -> bool:
    """Whether a PUT has a source instead of a body."""
    return bool(call.request.headers.get(_SOURCE))


async def source_of(call: Call) -> StoredObject:
    """The object that is to be copied, if the caller may read it.

    Raises:
        Refused: 400 InvalidArgument (no address of an object here), 412 PreconditionFailed.
        SuperresError: of access and of the buckets.
    """
    # A header's characters are its bytes.
    raw = call.request.headers[_SOURCE].encode("latin-1")
    path, _, query = raw.partition(b"?")
    host, slash, rest = path.removeprefix(b"http://").removeprefix(b"https://").partition(b"/")
    if slash and Query(query).get("versionId", "") not in ("", "null"):
        raise _bad_source("versions of objects are not kept here")
    settings = call.app.settings.cloud_infinite
    name = host.decode("latin-1")
    bucket, suffix = Addresses(settings.suffixes, settings.default_bucket).place(name)
    if suffix is None and name != call.address.host:
        raise _bad_source("it begins with no host of a bucket of this service")
    key = key_of(b"/" + rest)
    if bucket is None or not key:
        raise _bad_source("it names no object")
    found_bucket = await in_thread(call.app.buckets.get, bucket)
    await auth.authorise(call, "cos:GetObject", key, found_bucket)
    found = await in_thread(call.app.buckets.objects.get, bucket, key)
    if not conditions.check(found, call.request.headers, f"{_SOURCE}-"):
        raise Refused(412, "PreconditionFailed", "The source is not what the headers ask for.")
    return found


async def fetch(call: Call, found: StoredObject, target: Path, first: int, end: int) -> str:
    """Write a part of an object to a file; returns the MD5 of the part in hexadecimal.

    Raises:
        ClientGone: the client closed the connection.
        SuperresError: of the buckets.
    """
    await bodies.read(call.request, 0)  # there is none; what comes next is that it goes
    gone = threading.Event()

    def run() -> str:
        md5 = hashlib.md5(usedforsecurity=False)
        read = call.app.buckets.objects.read(found, first, end)
        with target.open("wb") as file, read as pieces:
            for piece in pieces:
                if gone.is_set():
                    raise Cancelled("The client closed the connection.")
                md5.update(piece)
                file.write(piece)
        return md5.hexdigest()

    watch = asyncio.ensure_future(disconnected(call.request))
    watch.add_done_callback(lambda _: gone.set())
    try:
        return await in_thread(run)
    except Cancelled as exc:
        raise ClientGone("The client closed the connection.") from exc
    finally:
        watch.cancel()


def _replaced(call: Call) -> bool:
    directive = call.request.headers.get("x-cos-metadata-directive", "").lower()
    if directive not in ("", "copy", "replaced", "replace"):
        raise BadParameter("x-cos-metadata-directive is Copy or Replaced.")
    return directive.startswith("replace")


def _bad_source(why: str) -> Refused:
    return Refused(
        400,
        "InvalidArgument",
        f"x-cos-copy-source is not <host of a bucket>/<key, percent-escaped>: {why}.",
    )
