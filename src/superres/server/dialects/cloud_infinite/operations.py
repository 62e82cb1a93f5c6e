"""Which operation a request asks for."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from superres.server.dialects.cloud_infinite import (
    copying,
    deleting,
    listing,
    multipart,
    objects,
    processing,
    service,
)
from superres.server.dialects.cloud_infinite.call import Call
from superres.server.dialects.cloud_infinite.errors import Refused

_SUBRESOURCES = re.compile(
    "accelerate|acl|append|cors|domain|domaincertificate|encryption|intelligent-tiering|inventory"
    "|legal-hold|lifecycle|logging|notification|object-lock|origin|policy|referer|replication"
    "|restore|retention|select|symlink|tagging|torrent|versioning|versions|website",
    re.IGNORECASE | re.ASCII,
)
"""What else COS has below buckets and objects; to be told apart from parameters that do nothing."""

_PROCESSING = re.compile(
    "(?:imageMogr2|imageView2|watermark|style|advancedImage)(?:/.*)?"
    "|imageInfo|imageAve|exif|photo_exif|QRcode",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
"""What else Cloud Infinite makes of a picture that is downloaded."""


@dataclass(frozen=True)
class Operation:
    """What a request asks for.

    Attributes:
        serve: does it and answers.
        action: of policies; None: ``serve`` asks itself.
        needs_bucket: whether there must be the bucket.
        by_prefix: the action is asked for the prefix of keys in the query, not for a key.
        processed: whether it makes pictures and answers in the name of Cloud Infinite.
    """

    serve: Callable[[Call], Awaitable[Response]]
    action: str | None
    needs_bucket: bool = True
    by_prefix: bool = False
    processed: bool = False

    def resource(self, call: Call) -> str:
        """The key, or the beginning of keys, that ``action`` is about."""
        return call.query.get("prefix", "") if self.by_prefix else call.address.key


def _refusing(status: int, code: str, message: str) -> Operation:
    """What says no once it is known that the bucket is there."""

    async def refuse(_: Call) -> Response:
        raise Refused(status, code, message)

    return Operation(refuse, None)


_BUCKET = {
    "GET": Operation(listing.objects, "cos:GetBucket", by_prefix=True),
    "HEAD": Operation(service.head, "cos:HeadBucket"),
    "PUT": Operation(service.create, "cos:PutBucket", needs_bucket=False),
    "DELETE": Operation(service.delete, "cos:DeleteBucket"),
}
_OBJECT = {
    "GET": Operation(objects.get, "cos:GetObject"),
    "HEAD": Operation(objects.head, "cos:HeadObject"),
    "PUT": Operation(objects.put, "cos:PutObject"),
    "DELETE": Operation(objects.delete, "cos:DeleteObject"),
}
_UPLOAD = {
    "GET": Operation(multipart.parts, "cos:ListParts"),
    "PUT": Operation(multipart.put_part, "cos:UploadPart"),
    "POST": Operation(multipart.complete, "cos:CompleteMultipartUpload"),
    "DELETE": Operation(multipart.abort, "cos:AbortMultipartUpload"),
}
_SERVICE = Operation(service.buckets, "cos:GetService", needs_bucket=False)
_NO_BUCKET = Operation(service.head, None)
_DOWNLOAD = Operation(processing.download, None)
_STORED = Operation(processing.stored, None, processed=True)
_LOCATION = Operation(service.location, "cos:GetBucket")
_UPLOADS = Operation(multipart.uploads, "cos:ListMultipartUploads", by_prefix=True)
_DELETE_MANY = Operation(deleting.delete_many, None)
_INITIATE = Operation(multipart.initiate, "cos:InitiateMultipartUpload")
_COPY = Operation(copying.copy, "cos:PutObject")
_COPY_PART = Operation(multipart.copy_part, "cos:UploadPart")
_PUT_PROCESSED = Operation(objects.put, "cos:PutObject", processed=True)
_COMPLETE_PROCESSED = Operation(multipart.complete, "cos:CompleteMultipartUpload", processed=True)

_NOT_PROCESSED = _refusing(
    400,
    "InvalidArgument",
    "Of all that Cloud Infinite does with pictures, super resolution alone is offered here: "
    "ci-process=AISuperResolution.",
)
# What would be left out silently, and the answer taken for one that has it.
_MISPLACED = _refusing(
    400,
    "InvalidArgument",
    "ci-process is a parameter of GET and HEAD, image_process one of POST; what is uploaded is "
    "super-resolved by the header Pic-Operations.",
)
_COPY_NOT_PROCESSED = _refusing(
    400,
    "InvalidArgument",
    "A copy is not super-resolved while it is made: send x-cos-copy-source without "
    "Pic-Operations, then POST the copy with ?image_process.",
)


def choose(call: Call) -> Operation:
    """The operation of a request; where there is none, what refuses it."""
    method, query = call.request.method, call.query
    if call.address.bucket is None:
        listed = method == "GET" and not call.address.key and "ci-process" not in query
        return _SERVICE if listed else _NO_BUCKET
    for name in query:
        if _SUBRESOURCES.fullmatch(name):
            return _not_offered(f"?{name.lower()}")
        if _PROCESSING.fullmatch(name):
            return _NOT_PROCESSED
    if query.get("versionId", "") not in ("", "null"):
        return _not_offered("Versions of objects")
    if "ci-process" in query:
        return _DOWNLOAD if method in ("GET", "HEAD") else _MISPLACED
    if "image_process" in query and method != "POST":
        return _MISPLACED
    found = _of_object(call) if call.address.key else _of_bucket(call)
    what = "an object" if call.address.key else "a bucket"
    return found or _not_offered(f"The method {method[:20]} for {what}")


def _of_bucket(call: Call) -> Operation | None:
    method, query = call.request.method, call.query
    if method == "POST" and "delete" in query:
        return _DELETE_MANY
    if method == "GET" and "uploads" in query:
        return _UPLOADS
    if method == "GET" and "location" in query:
        return _LOCATION
    return _BUCKET.get(method)


def _of_object(call: Call) -> Operation | None:
    method, query = call.request.method, call.query
    if "uploadId" in query:
        if method == "PUT" and copying.is_copy(call):
            return _COPY_PART
        if method == "POST" and _has_operations(call):
            return _COMPLETE_PROCESSED
        return _UPLOAD.get(method)
    if method == "POST":
        if "uploads" in query:
            return _INITIATE
        return _STORED if "image_process" in query else None
    if method == "PUT" and copying.is_copy(call):
        return _COPY_NOT_PROCESSED if _has_operations(call) else _COPY
    if method == "PUT" and _has_operations(call):
        return _PUT_PROCESSED
    return _OBJECT.get(method)


def _has_operations(call: Call) -> bool:
    return bool(call.request.headers.get("pic-operations"))


def _not_offered(what: str) -> Operation:
    return _refusing(
        405,
        "MethodNotAllowed",
        f"{what} is not offered here: objects, uploads in parts, lists and super resolution.",
    )
