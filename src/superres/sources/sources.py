"""From an address in a request to a file, whatever kind of address it is, and back."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from superres.errors import PermissionDenied, SourceRefused, SourceTooLarge
from superres.settings import SourcesSettings
from superres.sources.http import HttpSource
from superres.sources.limit import Limit
from superres.sources.resolve import Resolver, SystemResolver
from superres.sources.watch import Watch
from superres.storage import ObjectStore

_S3 = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.+)", re.IGNORECASE | re.DOTALL)


def object_address(address: str) -> tuple[str, str] | None:
    """Bucket and key of ``s3://bucket/key``, as :meth:`Sources.fetch` reads it, for who must
    authorise before it is fetched; None of any other address.
    """
    form = _S3.fullmatch(address)
    return None if form is None else (form["bucket"], form["key"])


class Sources:
    """Fetches what requests name instead of sending, and posts where they want to be told;
    safe to use from several threads.

    Args:
        settings: limits, and what is allowed beyond the public web.
        store: where ``s3://`` addresses lead; None if nowhere.
        resolver: where names are looked up; the operating system by default.
        tls: whom https trusts; the system's authorities by default.
    """

    def __init__(
        self,
        settings: SourcesSettings,
        store: ObjectStore | None,
        resolver: Resolver | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._http = HttpSource(settings, resolver or SystemResolver(), tls)

    def fetch(
        self,
        address: str,
        target: Path,
        *,
        caller_may_read: Callable[[str, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        max_bytes: int | None = None,
        trusted: bool = True,
        timeout: float | None = None,
    ) -> int:
        """Write what is at ``address`` to ``target``; return how many bytes that is.

        ``http://`` and ``https://`` lead to the web. ``s3://bucket/key`` leads to the object
        store; the key is everything behind the bucket, as it stands: nothing is unescaped,
        as in AWS's own tools. Nothing is left at ``target`` when it fails.

        Args:
            caller_may_read: called with bucket and key before the store is asked; raises
                PermissionDenied if the caller may not. None: the caller has no credential and
                may read the buckets of ``[sources] anonymous_buckets``.
            cancelled: asked again and again; True stops the fetch.
            max_bytes: a limit below ``[sources] max_bytes``.
            trusted: False: nobody knows who makes the request, such as a page of another site
                in the browser of somebody near. Then ``[sources] allow_networks`` and
                ``anonymous_buckets`` do not count.
            timeout: seconds, if less than ``[sources] timeout``.

        Raises:
            SourceRefused: another kind of address, a malformed one, or one that leads where
                it may not.
            SourceUnreachable: nothing usable came, or not within ``[sources] timeout``.
            SourceTooLarge: it is larger than ``[sources] max_bytes`` or ``max_bytes``.
            PermissionDenied, BucketNotFound, ObjectNotFound, StorageError: only ``s3://``.
            BadParameter: the object store cannot hold an object of that key.
            Cancelled: ``cancelled`` answered True.
        """
        limit = Limit(self._settings.max_bytes)
        if max_bytes is not None and max_bytes < limit.max_bytes:
            limit = Limit(max_bytes, setting=None)
        most = self._settings.timeout
        watch = Watch(most if timeout is None else min(timeout, most), cancelled)
        scheme = address[:8].lower()
        if scheme.startswith(("http://", "https://")):
            return self._http.fetch(address, target, limit, watch, trusted=trusted)
        if scheme.startswith("s3://"):
            return self._object(address, target, caller_may_read, limit, watch, trusted)
        raise SourceRefused("The address must begin with http://, https:// or s3://.")

    def post(
        self,
        address: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout: float,
        trusted: bool = True,
    ) -> int:
        """Post ``body`` to an http or https address; return the status of the answer.

        Under the same guard as :meth:`fetch`. A redirect is an answer like any other, and is
        not followed. At most a few KiB of what the answer holds are read, and thrown away.

        Args:
            headers: beside ``Host``, ``User-Agent``, ``Connection`` and ``Content-Length``.
            timeout: seconds for all of it.
            trusted: as for :meth:`fetch`.

        Raises:
            SourceRefused: another kind of address, a malformed one, or one that leads where
                it may not. Nothing was sent.
            SourceUnreachable: no proper answer came, or not within ``timeout``.
        """
        late = f"There was no answer within {timeout:g} s."
        watch = Watch(timeout, late=late)
        return self._http.post(address, body, headers, watch, trusted=trusted)

    def _object(
        self,
        address: str,
        target: Path,
        caller_may_read: Callable[[str, str], None] | None,
        limit: Limit,
        watch: Watch,
        trusted: bool,
    ) -> int:
        named = object_address(address)
        if named is None:
            raise SourceRefused("An address that begins with s3:// must be s3://bucket/key.")
        bucket, key = named
        if self._store is None:
            raise SourceRefused("There is no object store here that s3:// could read from.")
        if caller_may_read is not None:
            caller_may_read(bucket, key)
        elif not trusted:
            raise PermissionDenied(
                "Pages of other sites may not read buckets without a credential; send one."
            )
        elif not {"*", bucket} & set(self._settings.anonymous_buckets):
            raise PermissionDenied(
                "Callers without a credential may not read this bucket; send a credential, or "
                "name the bucket in [sources] anonymous_buckets."
            )
        try:
            return self._store.fetch(bucket, key, target, limit.max_bytes, pulse=watch.remaining)
        except SourceTooLarge:
            limit.check(limit.max_bytes + 1)  # in words that name the setting
            raise
