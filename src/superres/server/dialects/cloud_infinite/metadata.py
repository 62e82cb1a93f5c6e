"""What is stored with an object, and said of it again: its headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from superres.server.dialects.cloud_infinite.errors import Refused

if TYPE_CHECKING:
    from fastapi import Request

    from superres.server.dialects.cloud_infinite.call import Query

DEFAULT_TYPE = "application/octet-stream"
MAX_BYTES = 2048
"""What all ``x-cos-meta-*`` of an object may have together, names and values."""

MAX_DESCRIPTION_BYTES = 8192
"""What the other headers that are stored may have: clients read 16 kB of an answer's at most."""

META = "x-cos-meta-"
_KEPT = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
_OVERRIDES = (*_KEPT, "content-type")
# What would be promised by silence, and not kept.
_NOT_OFFERED = re.compile(
    r"x-cos-(?:grant-.*|server-side-encryption.*|object-lock-.*|tagging)", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def read(request: Request) -> tuple[str, dict[str, str]]:
    """The content type and the further headers that an object is to be stored with.

    Values hold a byte in each character, as HTTP's headers do, and are answered as they came.

    Raises:
        Refused: 400 MetadataTooLarge; 400 InvalidArgument for what is not offered here.
    """
    headers = request.headers
    check_offered(headers)
    kept = {name: headers[name] for name in _KEPT if headers.get(name)}
    codings = kept.get("content-encoding", "").lower().split(",")
    if "aws-chunked" in map(str.strip, codings):
        raise Refused(
            400, "InvalidArgument", "Bodies in the form aws-chunked are not taken; send them plain."
        )
    content_type = headers.get("content-type") or DEFAULT_TYPE
    meta = {name: value for name, value in headers.items() if name.startswith(META)}
    if sum(len(name) + len(value) for name, value in meta.items()) > MAX_BYTES:
        raise Refused(
            400, "MetadataTooLarge", f"All {META}* together have at most {MAX_BYTES} bytes."
        )
    if len(content_type) + sum(map(len, kept.values())) > MAX_DESCRIPTION_BYTES:
        raise Refused(
            400,
            "MetadataTooLarge",
            f"Content-Type, {', '.join(name.title() for name in _KEPT)} together have at most "
            f"{MAX_DESCRIPTION_BYTES} bytes.",
        )
    for value in (content_type, *kept.values(), *meta.values()):
        if _CONTROL.search(value):
            raise Refused(
                400, "InvalidArgument", "A header that is stored holds a control character."
            )
    return content_type, {**kept, **meta}


def check_offered(headers: Mapping[str, str]) -> None:
    """Refuse headers that ask for what this service does not do.

    Raises:
        Refused: 400 InvalidArgument.
    """
    if headers.get("x-cos-acl", "").lower() not in ("", "private", "default"):
        raise Refused(
            400,
            "InvalidArgument",
            "Buckets and objects are private here (x-cos-acl); give presigned URLs instead.",
        )
    for name, value in headers.items():
        if value and _NOT_OFFERED.fullmatch(name):
            raise Refused(400, "InvalidArgument", f"The header {name} is not offered here.")


def overrides(query: Query) -> dict[str, str]:
    """Headers of the answer that the query asks for, as ``response-content-type`` does.

    Raises:
        Refused: 400 InvalidArgument, a value that no header can have.
    """
    found = {}
    for name in _OVERRIDES:
        if value := query.get(f"response-{name}"):
            if _CONTROL.search(value):
                raise Refused(
                    400, "InvalidArgument", f"response-{name} has a character that headers lack."
                )
            found[name] = value.encode().decode("latin-1")
    return found
