"""Many objects removed by one request."""

from __future__ import annotations

from starlette.responses import Response

from superres.errors import AccessError
from superres.server.dialects.cloud_infinite import answers, auth, bodies, xml
from superres.server.dialects.cloud_infinite.addressing import check_key
from superres.server.dialects.cloud_infinite.call import Call
from superres.server.dialects.cloud_infinite.errors import Refused, answer_to
from superres.server.dialects.cloud_infinite.objects import name_of
from superres.server.work import in_thread

MOST = 1000


async def delete_many(call: Call) -> Response:
    """``POST /?delete``: each key is removed, or it is said why not."""
    bodies.check_length(call.request, xml.MAX_BYTES)
    body = await bodies.read(call.request, xml.MAX_BYTES)
    # A thousand keys against a long policy, and two megabytes of XML: not in the event loop.
    return await in_thread(_delete, call, body)


def _delete(call: Call, body: bytes) -> Response:
    keys, quiet = _read(body)
    allowed, refused = [], []
    for key in keys:
        try:
            check_key(key)
            auth.check(call, "cos:DeleteObject", key)
        except (AccessError, Refused) as exc:
            refused.append(_error(key, exc))
        else:
            allowed.append(key)
    if allowed:
        call.app.buckets.objects.delete(name_of(call), *allowed)
    deleted: list[xml.Tree] = [] if quiet else [("Deleted", [("Key", key)]) for key in allowed]
    return answers.document(call.request, "DeleteResult", deleted + refused)


def _read(body: bytes) -> tuple[list[str], bool]:
    """The keys, and whether only failures are to be told.

    Raises:
        Refused: 400 MalformedXML.
    """
    keys, quiet = [], False
    for name, content in xml.read(body, "Delete"):
        if name == "Quiet" and isinstance(content, str):
            quiet = content.strip().lower() == "true"
        elif name == "Object" and not isinstance(content, str):
            given = dict(content)
            if not given.get("Key"):
                raise xml.malformed("an Object has no Key")
            if given.get("VersionId", "") not in ("", "null"):
                raise xml.malformed("an Object has a VersionId, and versions are not kept here")
            keys.append(given["Key"])
        else:
            raise xml.malformed(f"Delete has the child {name[:40]}")
    if not 1 <= len(keys) <= MOST:
        raise xml.malformed(f"it must have 1 to {MOST} elements Object")
    return keys, quiet


def _error(key: str, exc: Exception) -> xml.Tree:
    answer = answer_to(exc)
    return ("Error", [("Key", key), ("Code", answer.code), ("Message", answer.message)])
