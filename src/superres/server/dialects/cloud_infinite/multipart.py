"""Uploads in parts."""

from __future__ import annotations

import re
from itertools import pairwise

from starlette.responses import Response

from superres.buckets import Upload
from superres.errors import UploadNotFound
from superres.server.dialects.cloud_infinite import (
    answers,
    bodies,
    conditions,
    copying,
    metadata,
    pic_operations,
    processing,
    xml,
)
from superres.server.dialects.cloud_infinite.call import Call
from superres.server.dialects.cloud_infinite.errors import Refused
from superres.server.dialects.cloud_infinite.listing import MOST, Encoding, number, owner
from superres.server.dialects.cloud_infinite.objects import name_of, refuse_overwriting
from superres.server.work import in_thread, scratch_folder

MOST_PARTS = 10_000
_ID = re.compile(r"[0-9a-f]{32}")


async def initiate(call: Call) -> Response:
    """``POST /key?uploads``."""
    content_type, headers = metadata.read(call.request)
    key, name = call.address.key, name_of(call)
    assert call.caller.id is not None
    upload = await in_thread(
        call.app.buckets.uploads.create, name, key, call.caller.id, content_type, headers
    )
    content = [("Bucket", name), ("Key", key), ("UploadId", upload.id)]
    return answers.document(call.request, "InitiateMultipartUploadResult", content)


async def put_part(call: Call) -> Response:
    """``PUT /key?partNumber=N&uploadId=…``: the body becomes a part."""
    app, request = call.app, call.request
    limit = app.settings.buckets.max_object_bytes
    bodies.check_length(request, limit)
    metadata.read(request)  # what no object can have, no part can; nothing of it is stored
    place, upload = _part_number(call), await _upload(call)
    async with scratch_folder(app) as folder:
        body = folder / "part"
        md5 = await bodies.save(request, body, limit)
        await in_thread(app.buckets.uploads.put_part, upload, place, body, md5)
    return answers.empty(request, more={"ETag": answers.etag(md5)})


async def copy_part(call: Call) -> Response:
    """``PUT /key?partNumber=N&uploadId=…`` with ``x-cos-copy-source``."""
    app, request = call.app, call.request
    place, upload = _part_number(call), await _upload(call)
    found = await copying.source_of(call)
    given = request.headers.get("x-cos-copy-source-range", "")
    first, end = (given and conditions.span(given, found.size)) or (0, found.size)
    limit = app.settings.buckets.max_object_bytes
    if end - first > limit:
        raise Refused(
            400,
            "EntityTooLarge",
            f"A part has at most {limit:,} bytes ([buckets] max_object_bytes).",
        )
    async with scratch_folder(app) as folder:
        file = folder / "part"
        md5 = await copying.fetch(call, found, file, first, end)
        part = await in_thread(app.buckets.uploads.put_part, upload, place, file, md5)
    content = [("ETag", answers.etag(md5)), ("LastModified", answers.iso(part.modified_at))]
    return answers.document(request, "CopyPartResult", content)


async def parts(call: Call) -> Response:
    """``GET /key?uploadId=…``: a page of the parts that are there."""
    query = call.query
    limit = number(query, "max-parts", MOST, default=MOST)
    marker = number(query, "part-number-marker", MOST_PARTS, default=0)
    # To write a thousand of them takes a while: not in the event loop.
    return await in_thread(_parts, call, await _upload(call), marker, limit)


def _parts(call: Call, upload: Upload, marker: int, limit: int) -> Response:
    found, following = call.app.buckets.uploads.parts(upload, marker=marker, limit=limit)
    encoding = Encoding(call.query, [upload.key])
    content: list[xml.Tree] = [
        ("Bucket", upload.bucket),
        *encoding.element("Encoding-type"),
        *encoding.element("EncodingType"),
        ("Key", encoding(upload.key)),
        ("UploadId", upload.id),
        *_people(upload),
        ("PartNumberMarker", marker),
        ("MaxParts", limit),
        ("IsTruncated", "false" if following is None else "true"),
        *([] if following is None else [("NextPartNumberMarker", following)]),
    ]
    content += [
        (
            "Part",
            [
                ("PartNumber", part.number),
                ("LastModified", answers.iso(part.modified_at)),
                ("ETag", answers.etag(part.etag)),
                ("Size", part.size),
            ],
        )
        for part in found
    ]
    return answers.document(call.request, "ListPartsResult", content)


async def complete(call: Call) -> Response:
    """``POST /key?uploadId=…``: the object is made of its parts, and pictures of it if asked."""
    app, request, address = call.app, call.request, call.address
    operations = None
    if given := request.headers.get("pic-operations"):
        operations = pic_operations.read(given, name_of(call), address.key)
        await processing.check(call, operations)
    upload = await _upload(call)
    bodies.check_length(request, xml.MAX_BYTES)
    chosen = await in_thread(_chosen, await bodies.read(request, xml.MAX_BYTES))
    await refuse_overwriting(call)
    if operations is not None:
        return await processing.complete(call, upload, chosen, operations)
    (made,) = await in_thread(app.buckets.uploads.complete, upload, chosen)
    content = [
        ("Location", answers.location(address, made.bucket, made.key)),
        ("Bucket", made.bucket),
        ("Key", made.key),
        ("ETag", answers.etag(made.etag)),
    ]
    return answers.document(request, "CompleteMultipartUploadResult", content)


async def abort(call: Call) -> Response:
    """``DELETE /key?uploadId=…``."""
    await in_thread(call.app.buckets.uploads.abort, await _upload(call))
    return answers.empty(call.request, 204)


async def uploads(call: Call) -> Response:
    """``GET /?uploads``: a page of the bucket's uploads that are not complete."""
    return await in_thread(_uploads, call)


def _uploads(call: Call) -> Response:
    query, name = call.query, name_of(call)
    limit = number(query, "max-uploads", MOST, default=MOST)
    prefix, key_marker = query.get("prefix", ""), query.get("key-marker", "")
    id_marker = query.get("upload-id-marker", "")
    if query.get("delimiter"):
        raise Refused(
            400, "InvalidArgument", "Lists of uploads have no delimiter here; leave it out."
        )
    found, more = call.app.buckets.uploads.list(
        name,
        prefix=prefix,
        key_marker=key_marker,
        id_marker=id_marker,
        limit=limit,
    )
    encoding = Encoding(query, [prefix, key_marker, id_marker, *(each.key for each in found)])
    content: list[xml.Tree] = [
        ("Bucket", name),
        *encoding.element("Encoding-Type"),
        *encoding.element("EncodingType"),
        ("KeyMarker", encoding(key_marker)),
        ("UploadIdMarker", encoding(id_marker)),
        ("MaxUploads", limit),
        ("Prefix", encoding(prefix)),
        ("Delimiter", ""),
        ("IsTruncated", "true" if more and found else "false"),
    ]
    if more and found:
        content += [
            ("NextKeyMarker", encoding(found[-1].key)),
            ("NextUploadIdMarker", found[-1].id),
        ]
    content += [
        (
            "Upload",
            [
                ("Key", encoding(each.key)),
                ("UploadId", each.id),
                *_people(each),
                ("Initiated", answers.iso(each.created_at)),
            ],
        )
        for each in found
    ]
    return answers.document(call.request, "ListMultipartUploadsResult", content)


async def _upload(call: Call) -> Upload:
    upload_id = call.query.get("uploadId", "")
    if not _ID.fullmatch(upload_id):
        raise UploadNotFound("There is no such upload; it may have been completed or aborted.")
    return await in_thread(call.app.buckets.uploads.get, upload_id, name_of(call), call.address.key)


def _part_number(call: Call) -> int:
    return number(call.query, "partNumber", MOST_PARTS, 1)


def _people(upload: Upload) -> list[xml.Tree]:
    return [
        ("Initiator", owner(upload.owner)),
        ("Owner", owner(upload.owner)),
        ("StorageClass", "STANDARD"),
    ]


def _chosen(body: bytes) -> list[tuple[int, str]]:
    """Numbers and ETags of the parts that make the object.

    Raises:
        Refused: 400 MalformedXML, 400 InvalidPartOrder.
    """
    chosen: list[tuple[int, str]] = []
    for name, content in xml.read(body, "CompleteMultipartUpload"):
        given = {} if name != "Part" or isinstance(content, str) else dict(content)
        place, etag = given.get("PartNumber", "").strip(), given.get("ETag", "").strip()
        if not (place.isascii() and place.isdigit() and len(place) < 10 and etag):
            raise xml.malformed("its children must be Part, each with PartNumber and ETag")
        chosen.append((int(place), etag))
    if not chosen:
        raise xml.malformed("it names no Part")
    if any(after <= before for (before, _), (after, _) in pairwise(chosen)):
        raise Refused(
            400, "InvalidPartOrder", "Name the parts in the order of their numbers, each once."
        )
    return chosen
