"""Which part of an object is wanted, and whether it is wanted at all (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from superres.buckets import StoredObject
from superres.errors import ObjectNotFound
from superres.server.dialects.cloud_infinite.call import Call
from superres.server.dialects.cloud_infinite.errors import Refused
from superres.server.work import in_thread

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)


def check(found: StoredObject, headers: Mapping[str, str], prefix: str = "") -> bool:
    """Whether the conditions of a request let an object be answered; False is 304.

    Args:
        found: the object.
        headers: found without regard to capitals.
        prefix: of the conditions' names, such as ``x-cos-copy-source-``.

    Raises:
        Refused: 412 PreconditionFailed.
    """
    modified = int(found.modified_at)
    if (tags := headers.get(f"{prefix}if-match")) is not None:
        if not _names(tags, found.etag):
            raise _failed("If-Match")
    else:
        before = _moment(headers.get(f"{prefix}if-unmodified-since"))
        if before is not None and modified > before:
            raise _failed("If-Unmodified-Since")
    if (tags := headers.get(f"{prefix}if-none-match")) is not None:
        return not _names(tags, found.etag)
    since = _moment(headers.get(f"{prefix}if-modified-since"))
    return since is None or modified > since


def wanted(found: StoredObject, headers: Mapping[str, str]) -> tuple[int, int] | None:
    """First byte, and the one behind the last, that the header Range asks for.

    None is the whole object: no such header, several ranges, one that makes no sense, or
    If-Range says that the object is another than it was.

    Raises:
        Refused: 416 InvalidRange.
    """
    given = headers.get("range")
    if given is None:
        return None
    if (condition := headers.get("if-range")) is not None:
        moment = _moment(condition)
        same = _names(condition, found.etag) if moment is None else found.modified_at < moment + 1
        if not same:
            return None
    return span(given, found.size)


def span(given: str, size: int) -> tuple[int, int] | None:
    """What ``bytes=…`` asks for of ``size`` bytes; None: everything, see :func:`wanted`.

    Raises:
        Refused: 416 InvalidRange.
    """
    asked = _RANGE.fullmatch(given)
    if asked is None or not (asked[1] or asked[2]):
        return None
    if not asked[1]:
        first, end = max(0, size - int(asked[2])), size
    elif asked[2] and int(asked[2]) < int(asked[1]):
        return None
    else:
        first = int(asked[1])
        end = min(size, int(asked[2]) + 1) if asked[2] else size
    if first >= end:
        raise Refused(
            416,
            "InvalidRange",
            f"The range asked for is not in the object, which has {size} bytes.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return first, end


async def refuse_overwriting(call: Call, bucket: str, key: str) -> None:
    """See to ``x-cos-forbid-overwrite: true``, as well as that can be done beforehand.

    Raises:
        Refused: 409 FileAlreadyExists.
    """
    if call.request.headers.get("x-cos-forbid-overwrite", "").lower() != "true":
        return
    try:
        await in_thread(call.app.buckets.objects.get, bucket, key)
    except ObjectNotFound:
        return
    raise Refused(
        409,
        "FileAlreadyExists",
        f"There is an object {key} in {bucket}, and the request has x-cos-forbid-overwrite.",
    )


def _names(tags: str, etag: str) -> bool:
    """Whether a list of entity tags has ``etag``; clients leave out the quotes at times."""
    each = {tag.strip().removeprefix("W/").strip('"') for tag in tags.split(",")}
    return "*" in each or etag in each


def _moment(date: str | None) -> float | None:
    """Seconds since 1970; None: there is no date, or none that can be read."""
    if not date:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _failed(name: str) -> Refused:
    return Refused(412, "PreconditionFailed", f"The object is not what the header {name} asks for.")
