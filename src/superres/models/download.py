"""Fetch weights that somebody asked for: over https only, in one piece or going on where it broke.

On the standard library alone: this is the command's, which is there without the server's extra.
What others than the person at the keyboard name is fetched by ``superres.sources``.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from superres.errors import OutputError, SourceRefused, SourceTooLarge, SourceUnreachable
from superres.models.installed import (
    FETCH_LOCK,
    PART,
    Staged,
    WeightsFolder,
    digest,
    writing,
)

MOST_BYTES = 2 << 30
"""Largest file that is fetched; the networks here have less than 400 MB."""

_PIECE = 1 << 18
_TIMEOUT_S = 60.0
_TRIES = 8
_PAUSE_S = 1.0
_SPARE = 64 << 20

OnBytes = Callable[[int, int], None]
"""Told how many bytes are there, and how many there will be; 0 if nobody knows."""


def _unheard(have: int, total: int) -> None:
    del have, total


@contextlib.contextmanager
def download(
    url: str,
    folder: WeightsFolder,
    *,
    sha256: str | None,
    limit: int = MOST_BYTES,
    on_bytes: OnBytes = _unheard,
) -> Iterator[Staged]:
    """Fetch ``url`` into ``folder``; unless it is added within, the file goes again.

    One fetch at a time. With ``sha256`` known, what came before the connection broke (or the
    process was stopped) is kept, and the next call goes on from there.

    Args:
        sha256: what the file must have; None takes any.
        limit: bytes it may have.

    Raises:
        SourceRefused: not an https address, or one that leads elsewhere.
        SourceUnreachable: nothing, an error, or other bytes than expected came.
        SourceTooLarge: more came, or was announced, than ``limit``.
        OutputError: the folder cannot be written, or another fetch is going on.
    """
    _check(url)
    with contextlib.ExitStack() as stack:
        stack.enter_context(folder.locked(FETCH_LOCK, patience=0))
        folder.forget_parts(kept=f"{PART}{sha256}")
        if sha256 is None:
            part = stack.enter_context(folder.room())
        else:
            part = folder.folder / f"{PART}{sha256}"
        found, size = _digest(part)
        if found != sha256:
            _fetch(url, part, limit, on_bytes, resume=sha256 is not None)
            found, size = _digest(part)
        if sha256 not in (None, found):
            part.unlink()
            raise SourceUnreachable(
                f"What came from {urlsplit(url).hostname} is not what was expected: its SHA-256 is "
                f"{found}, not {sha256}. Nothing was added."
            )
        try:
            yield Staged(part, found, size)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _digest(part: Path) -> tuple[str, int]:
    if not part.exists():
        return "", 0
    with part.open("rb") as file:
        return digest(file)


def _fetch(url: str, part: Path, limit: int, on_bytes: OnBytes, *, resume: bool) -> None:
    with writing(), part.open("ab" if resume else "wb") as file:
        for left in reversed(range(_TRIES)):
            try:
                _attempt(url, file, limit, on_bytes)
                break
            except SourceTooLarge:
                _empty(file)
                raise
            except SourceUnreachable as exc:
                # Where something came once it is worth going on, unless the server says no.
                no = isinstance(exc.__cause__, urllib.error.HTTPError)
                if no or not (resume and left and file.tell()):
                    raise
            time.sleep(_PAUSE_S)
        file.flush()
        os.fsync(file.fileno())


def _attempt(url: str, file: BinaryIO, limit: int, on_bytes: OnBytes) -> None:
    have = file.tell()
    host = urlsplit(url).hostname
    headers = {"User-Agent": "superres", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 -- see _check
        with _opener().open(request, None, _TIMEOUT_S) as reply:
            if reply.status != 206 or _first_byte(reply) != have:
                have = 0
                _empty(file)
            announced = int(reply.headers.get("Content-Length") or 0)
            total = have + announced if announced > 0 else 0
            _check_size(max(total, have), limit)
            _check_room(file, total - have)
            on_bytes(have, total)
            while piece := reply.read(_PIECE):
                _check_size(have + len(piece), limit)
                with writing():
                    file.write(piece)
                have += len(piece)
                on_bytes(have, total)
            if have < total:
                raise SourceUnreachable(
                    f"{host} hung up at {have:,} of {total:,} bytes; try again."
                )
            if not have:
                raise SourceUnreachable(f"{host} sent an empty file.")
    except urllib.error.HTTPError as exc:
        exc.close()
        if exc.code == 416 and have:  # what is there is no beginning of what is served
            _empty(file)
            return _attempt(url, file, limit, on_bytes)
        raise SourceUnreachable(f"{host} answered with {exc.code}.") from exc
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise SourceUnreachable(
            f"{host} cannot be reached, or broke off; check the address and the network, and try "
            "again."
        ) from exc


def _empty(file: BinaryIO) -> None:
    with writing():
        file.seek(0)
        file.truncate()


def _first_byte(reply: Any) -> int:
    match = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range") or "")
    return int(match[1]) if match else -1


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
        usable = usable and parts.port != 0 and url.isascii() and url.isprintable()
    except ValueError:
        usable = False
    if not usable or " " in url:
        raise SourceRefused(
            "Weights are fetched from addresses like https://host/file.pth, without a password; "
            "anything else is fetched by other means and added as a file."
        )


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise SourceTooLarge(f"More than {limit:,} bytes come from there; nothing was added.")


def _check_room(file: BinaryIO, need: int) -> None:
    free = shutil.disk_usage(Path(file.name).parent).free
    if need + _SPARE > free:
        raise OutputError(
            f"The folder of weights has {free / 1e6:,.0f} MB free and needs {need / 1e6:,.0f}; "
            "make room, or set [models] weights_dir to another."
        )


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https; a redirect elsewhere would give away what is asked for."""

    max_redirections = 5

    def redirect_request(self, *args: Any) -> urllib.request.Request | None:
        _check(args[-1])
        return super().redirect_request(*args)


def _opener() -> urllib.request.OpenerDirector:
    """What opens https, by the proxy of the environment if it names one, and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(),
        _HttpsOnly(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
