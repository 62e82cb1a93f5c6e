"""Method 1: a picture that is super-resolved while it is downloaded, and kept for the next time."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import structlog
from starlette.responses import Response

from superres.buckets import StoredObject
from superres.errors import OutputError, SourceRefused, StorageError
from superres.executors.base import Done
from superres.imageio import MEDIA_TYPES
from superres.server.dialects.cloud_infinite import answers, conditions
from superres.server.dialects.cloud_infinite.call import Call, Query
from superres.server.dialects.cloud_infinite.pictures import (
    Maker,
    charged,
    check_size,
    md5_of,
    options,
    recipe,
)
from superres.server.dialects.cloud_infinite.single_flight import SingleFlight
from superres.server.dialects.cloud_infinite.streams import file_pieces, stream
from superres.server.work import fetch, in_thread, scratch_folder, times, unless_gone

log = structlog.get_logger("superres.server.cloud_infinite")

_FORMAT = "png"
_DECODINGS = 5
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True)
class _Picture:
    """A picture that can be answered with.

    Attributes:
        etag: MD5 of its content.
        size: in bytes.
        content: opens it.
        done: how it was made; None: it was there.
        made_for: the request that it was made for, if it was.
    """

    etag: str
    size: int
    content: Callable[[], AbstractContextManager[Iterator[bytes]]]
    done: Done | None = None
    made_for: Call | None = None


async def of_object(call: Call, magnify: int) -> Response:
    """The object, enlarged; from what was kept if it was made before.

    Raises:
        ClientGone: the client closed the connection.
        SuperresError: of access, of the buckets and of the executor.
    """
    app, key = call.app, call.address.key
    assert call.bucket is not None
    found = await in_thread(app.buckets.objects.get, call.bucket.name, key)
    check_size(found.size, app.settings)
    await in_thread(app.access.pace, call.caller)
    return await unless_gone(call.request, _OfObject(call, found, magnify).answer())


async def of_address(call: Call, address: str, magnify: int) -> Response:
    """The picture at another site's address, enlarged.

    Raises:
        ClientGone: the client closed the connection.
        SuperresError: of access, of the sources and of the executor.
    """
    app, request = call.app, call.request
    await in_thread(app.access.pace, call.caller)
    async with charged(call, 1), scratch_folder(app) as folder:
        source, target = folder / "source", folder / "target"
        maker = Maker(call, source)
        await fetch(request, app, address, source, _may_not)
        done = await unless_gone(request, maker.make(target, magnify, _FORMAT))
        md5 = await in_thread(md5_of, target)
        size = target.stat().st_size
        # What is open can be read to its end when the folder is gone.
        return await _answer(call, _Picture(md5, size, partial(file_pieces, target), done))


def address_in(query: Query) -> str | None:
    """The parameter ``detect-url``, decoded until it is an address; None: there is none.

    Clients escape it once too often, following the vendor's samples.

    Raises:
        SourceRefused: it is no address of http or https.
    """
    address = query.get("detect-url", "").strip()
    if not address:
        return None
    for _ in range(_DECODINGS):
        if _ADDRESS.match(address):
            break
        address = unquote(address)
    if not address.lower().startswith(("http://", "https://")):
        raise SourceRefused("detect-url must be an address that begins with http:// or https://.")
    return address


class _OfObject:
    def __init__(self, call: Call, found: StoredObject, magnify: int) -> None:
        self._call, self._found, self._magnify = call, found, magnify
        self._settings = call.app.settings
        self._recipe = recipe(self._settings, options(self._settings, magnify, _FORMAT))
        self._key = (found.bucket, found.key, found.content_id, self._recipe)

    async def answer(self) -> Response:
        call, flights = self._call, _flights(self._call)
        if self._key not in flights and (kept := await self._kept()) is not None:
            with contextlib.suppress(StorageError):  # it may have gone just now
                return await _answer(call, kept, self._found)
        # Who joins another's picture has nothing to pay.
        async with (
            charged(call, 0 if self._key in flights else 1) as charge,
            flights.share(self._key, self._make) as picture,
        ):
            if picture.made_for is not call:
                await charge.give_back()
            return await _answer(call, picture, self._found)

    @asynccontextmanager
    async def _make(self) -> AsyncIterator[_Picture]:
        # Somebody may have made it since this was looked up.
        if (kept := await self._kept()) is not None:
            yield kept
            return
        call, app = self._call, self._call.app
        async with scratch_folder(app) as folder:
            source, target = folder / "source", folder / "target"
            maker = Maker(call, source)
            most = self._settings.limits.max_input_bytes
            await in_thread(app.buckets.objects.fetch, self._found, source, most)
            done = await maker.make(target, self._magnify, _FORMAT)
            md5 = await in_thread(md5_of, target)
            if self._settings.cloud_infinite.cache:
                await in_thread(self._keep, target, md5)
            size = target.stat().st_size
            yield _Picture(md5, size, partial(file_pieces, target), done, call)

    async def _kept(self) -> _Picture | None:
        if not self._settings.cloud_infinite.cache:
            return None
        derived = self._call.app.buckets.derived
        kept = await in_thread(derived.find, self._found, self._recipe)
        if kept is None:
            return None
        return _Picture(kept.etag, kept.size, partial(derived.read, kept))

    def _keep(self, file: Path, md5: str) -> None:
        """Keep a copy, so that ``file`` can be read whatever becomes of what is kept."""
        copy = file.with_name("kept")
        try:
            try:
                os.link(file, copy)
            except OSError:  # not everywhere can files have two names
                shutil.copyfile(file, copy)
            derived = self._call.app.buckets.derived
            derived.keep(self._found, self._recipe, copy, md5, MEDIA_TYPES[_FORMAT])
        except (OSError, OutputError, StorageError) as exc:
            log.warning("a super-resolved picture could not be kept", exc_info=exc)


async def _answer(call: Call, picture: _Picture, found: StoredObject | None = None) -> Response:
    """Answer with a picture that was made of ``found``."""
    request = call.request
    if picture.done is not None:
        request.state.done = picture.done
    more = {"ETag": answers.etag(picture.etag), **times(request)}
    if found is not None:
        more["Last-Modified"] = answers.http_date(found.modified_at)
        if not conditions.check(replace(found, etag=picture.etag), request.headers):
            return answers.empty(request, 304, more)
    media_type = MEDIA_TYPES[_FORMAT]
    if request.method == "HEAD":
        described = {"Content-Type": media_type, "Content-Length": str(picture.size)}
        return answers.empty(request, more={**more, **described})
    return await stream(request, picture.content(), picture.size, more, media_type)


def _flights(call: Call) -> SingleFlight[_Picture]:
    """The server's own, made when it is first needed."""
    state = call.request.app.state
    if not hasattr(state, "flights"):
        state.flights = SingleFlight()
    flights: SingleFlight[_Picture] = state.flights
    return flights


def _may_not(_bucket: str, _key: str) -> None:
    raise SourceRefused("detect-url must be an address that begins with http:// or https://.")
