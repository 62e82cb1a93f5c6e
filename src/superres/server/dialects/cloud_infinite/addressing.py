"""What a request is about: the bucket that its host names, and the key in its raw path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers
from starlette.types import Scope

from superres.server.dialects.cloud_infinite.call import Address
from superres.server.dialects.cloud_infinite.errors import Refused

MAX_KEY_BYTES = 850
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")
_PORT = re.compile(r":\d{0,5}\Z")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ORIGIN = re.compile(rb"https?://[^/]*", re.IGNORECASE)
_OUR_QUERY = re.compile(
    rb"(?:^|&)(?:q-sign-algorithm|ci-process|image_process)(?:[=&]|$)", re.IGNORECASE
)
_SERVICE = "service"


class Addresses:
    """Reads the addresses of requests.

    Args:
        suffixes: what stands behind a bucket's name in a host; ``*`` is one label.
        default_bucket: of hosts that name none; empty: there is none.
    """

    def __init__(self, suffixes: Sequence[str], default_bucket: str = "") -> None:
        self._default = default_bucket or None
        # The service has hosts without a region, too: service.cos.myqcloud.com.
        regionless = [each.replace("*.", "") for each in suffixes if "*." in each]
        self._of_bucket = _alternatives(r"(?:(?P<bucket>.+)\.)?", suffixes)
        self._of_service = _alternatives(r"(?:service\.)?", regionless)

    def ours(self, scope: Scope) -> bool:
        """Whether a request is this door's: its host names a bucket, or it speaks as COS does."""
        headers = Headers(scope=scope)
        if self.place(headers.get("host", ""))[1] is not None:
            return True
        return (
            headers.get("authorization", "").lstrip().startswith("q-sign-algorithm")
            or _OUR_QUERY.search(scope["query_string"]) is not None
            or any(name == "pic-operations" or name.startswith("x-cos-") for name in headers)
        )

    def read(self, scope: Scope) -> Address:
        """The address of a request that is this door's.

        Raises:
            Refused: the path cannot be a key (400 InvalidURI, 400 KeyTooLong); it has several
                hosts, of which a proxy may take another than this (400 InvalidArgument).
        """
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) > 1:
            raise Refused(400, "InvalidArgument", "The request has more than one header Host.")
        host = hosts[0] if hosts else ""
        bucket, suffix = self.place(host)
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        return Address(bucket, key_of(raw_path), host, suffix)

    def place(self, host: str) -> tuple[str | None, str | None]:
        """The bucket that a host names (None: the service), and what stands behind it.

        A host that is not one of ours has the default bucket, and no suffix.
        """
        name = _name(host)
        if found := self._of_bucket.fullmatch(name) or self._of_service.fullmatch(name):
            bucket = found.groupdict().get("bucket")
            return (None if bucket == _SERVICE else bucket), found["suffix"]
        return self._default, None


def is_bucket_name(name: str) -> bool:
    """Whether a bucket could have that name."""
    return _BUCKET.fullmatch(name) is not None


def key_of(raw_path: bytes) -> str:
    """The key that a path names, percent-escapes decoded once; empty: the bucket itself.

    Args:
        raw_path: as it was sent, without the query; or a whole address, as to a proxy.

    Raises:
        Refused: 400 InvalidURI (no path, a broken escape, no UTF-8), 400 KeyTooLong.
    """
    if found := _ORIGIN.match(raw_path):
        raw_path = raw_path[found.end() :] or b"/"
    if not raw_path.startswith(b"/") or _BAD_ESCAPE.search(raw_path):
        raise _invalid("percent-escape the bytes of UTF-8 as %XX")
    try:
        key = unquote_to_bytes(raw_path[1:]).decode()
    except UnicodeDecodeError as exc:
        raise _invalid("the bytes of a key must be UTF-8") from exc
    check_key(key)
    return key


def check_key(key: str) -> None:
    """Refuse what cannot be a key; the empty one is the bucket itself, and fine.

    Raises:
        Refused: 400 KeyTooLong, 400 InvalidURI.
    """
    if len(key.encode()) > MAX_KEY_BYTES:
        raise Refused(
            400,
            "KeyTooLong",
            f"A key has at most {MAX_KEY_BYTES} bytes of UTF-8; choose a shorter.",
        )
    if "\0" in key:
        raise _invalid("a key cannot hold the character NUL")


def _invalid(why: str) -> Refused:
    return Refused(400, "InvalidURI", f"The path of the address cannot be read: {why}.")


def _name(host: str) -> str:
    """A header Host in lower case, without port and final dot."""
    return _PORT.sub("", host.strip().lower()).removesuffix(".")


def _alternatives(before: str, suffixes: Sequence[str]) -> re.Pattern[str]:
    escaped = "|".join(
        r"[^.]+".join(re.escape(part) for part in each.strip(".").lower().split("*"))
        for each in suffixes
    )
    return re.compile(rf"{before}(?P<suffix>{escaped})" if escaped else r"(?!)")
