"""Lists of objects, and the parameters that all lists have in common."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from starlette.responses import Response

from superres.buckets import StoredObject
from superres.errors import BadParameter
from superres.server.dialects.cloud_infinite import answers, xml
from superres.server.dialects.cloud_infinite.call import Call, Query
from superres.server.dialects.cloud_infinite.objects import name_of
from superres.server.work import in_thread

MOST = 1000


async def objects(call: Call) -> Response:
    """``GET /``: a page of the bucket's objects."""
    # A thousand long keys take a quarter of a second to write: not in the event loop.
    return await in_thread(_page, call)


def _page(call: Call) -> Response:
    query, name = call.query, name_of(call)
    limit = number(query, "max-keys", MOST, default=MOST)
    prefix, marker = query.get("prefix", ""), query.get("marker", "")
    delimiter = query.get("delimiter", "")
    page = call.app.buckets.objects.list(
        name, prefix=prefix, delimiter=delimiter, marker=marker, limit=limit
    )
    encoding = Encoding(
        query,
        [prefix, marker, delimiter, *page.prefixes, *(each.key for each in page.objects)],
    )
    content: list[xml.Tree] = [
        ("Name", name),
        *encoding.element("EncodingType"),
        ("Prefix", encoding(prefix)),
        ("Marker", encoding(marker)),
        ("MaxKeys", limit),
        *([("Delimiter", encoding(delimiter))] if delimiter else []),
        ("IsTruncated", "false" if page.next_marker is None else "true"),
    ]
    if page.next_marker is not None:
        content.append(("NextMarker", encoding(page.next_marker)))
    assert call.bucket is not None
    person = owner(call.bucket.owner)
    content += [("Contents", _object(each, encoding, person)) for each in page.objects]
    content += [("CommonPrefixes", [("Prefix", encoding(each))]) for each in page.prefixes]
    return answers.document(call.request, "ListBucketResult", content)


class Encoding:
    """How keys stand in a list: as they are, or percent-encoded.

    They are encoded where the client asks for it, and where one of them could not stand in a
    document otherwise.

    Args:
        query: of the request.
        texts: everything that is going to be encoded.

    Raises:
        BadParameter: an encoding that is not known.
    """

    def __init__(self, query: Query, texts: Iterable[str]) -> None:
        asked = query.get("encoding-type", "")
        if asked not in ("", "url"):
            raise BadParameter("encoding-type is url, or it is left out.")
        self._url = asked == "url" or not all(map(xml.can_hold, texts))

    def __call__(self, text: str) -> str:
        return quote(text) if self._url else text

    def element(self, name: str) -> list[xml.Tree]:
        """What says so in a document."""
        return [(name, "url")] if self._url else []


def number(
    query: Query, name: str, most: int, least: int = 0, *, default: int | None = None
) -> int:
    """A parameter that is a whole number; ``default`` if it is not there.

    Raises:
        BadParameter: it is not one from ``least`` to ``most``; it is missing without a default.
    """
    given = query.get(name, "")
    if not given and default is not None:
        return default
    known = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else -1
    if not least <= known <= most:
        raise BadParameter(f"{name} is a whole number from {least} to {most}.")
    return known


def owner(credential: str) -> list[xml.Tree]:
    """The content of the elements Owner and Initiator."""
    return [("ID", credential), ("DisplayName", credential)]


def _object(each: StoredObject, encoding: Encoding, person: list[xml.Tree]) -> list[xml.Tree]:
    return [
        ("Key", encoding(each.key)),
        ("LastModified", answers.iso(each.modified_at)),
        ("ETag", answers.etag(each.etag)),
        ("Size", each.size),
        ("Owner", person),
        ("StorageClass", "STANDARD"),
    ]
