"""Pictures that are made of others at this door, and what they are called while they are kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from superres import __version__
from superres.access.quotas import Spent
from superres.errors import AccessError, InputError, SourceTooLarge
from superres.executors.base import Done, Work
from superres.imageio import OutputOptions
from superres.pipeline import FileReport, UpscaleOptions
from superres.server.dialects.cloud_infinite.call import Call
from superres.server.dialects.cloud_infinite.errors import Refused
from superres.server.dialects.cloud_infinite.pic_operations import Rule
from superres.server.errors import ClientGone
from superres.server.identity import request_id
from superres.server.work import in_thread, upscale_for_all
from superres.settings import Settings


@dataclass(frozen=True)
class Result:
    """A picture made by a rule.

    Attributes:
        rule: where it is to be put.
        file: its content, of this rule alone.
        md5: of the content, in hexadecimal.
        report: how it was made.
    """

    rule: Rule
    file: Path
    md5: str
    report: FileReport


def options(settings: Settings, magnify: int, file_format: str) -> UpscaleOptions:
    """What is done for a rule, or for method 1.

    The result has no EXIF, XMP and IPTC, which may say where a photo was taken; the colour
    profile stays. Who names a JPEG has somewhere to put it that knows no transparency.
    """
    chosen = settings.cloud_infinite
    return UpscaleOptions(
        scale=float(magnify),
        model=chosen.model or settings.models.default,
        fidelity=chosen.fidelity,
        output=OutputOptions(format=file_format, strip=True, background=(255, 255, 255)),
    )


def recipe(settings: Settings, made_with: UpscaleOptions) -> str:
    """Everything that decides what a picture becomes, as a name for what is kept of it."""
    engine, output = settings.engine, made_with.output
    model = made_with.descriptor
    # What people add may later be something else under the same name.
    weights = [each.sha256 for each in model.weights] if model.added else []
    how = [model.name, *weights, made_with.fidelity, made_with.scale, output.format]
    return json.dumps([__version__, engine.device, engine.precision, *how])


class Maker:
    """Makes pictures of one source, for one request; all of it before one deadline.

    Args:
        call: the request.
        source: the file; looked at by the worker alone.
    """

    def __init__(self, call: Call, source: Path) -> None:
        self._call, self._source = call, source
        self._until = time.monotonic() + call.app.settings.server.deadline

    async def make(self, target: Path, magnify: int, file_format: str) -> Done:
        """Make one.

        Raises:
            SuperresError: see :class:`superres.executors.base.Executor`.
        """
        app, request = self._call.app, self._call.request
        work = Work(
            self._source,
            target,
            options(app.settings, magnify, file_format),
            deadline=max(0.1, self._until - time.monotonic()),
            request_id=request_id(request),
        )
        done = await upscale_for_all(app, work)
        request.app.state.metrics.upscaled(done)
        return done

    async def make_all(self, rules: Sequence[Rule], folder: Path) -> list[Result]:
        """Make the pictures of all rules, at the same time, or none.

        What two rules ask for alike is made once.

        Args:
            rules: what is to be made.
            folder: where the results go; whoever reads one can rely on its not changing.

        Raises:
            SuperresError: the first that one of them fails with.
        """
        kinds = dict.fromkeys((rule.magnify, rule.format) for rule in rules)
        tasks: dict[tuple[int, str], asyncio.Task[tuple[Path, str, Done]]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for number, kind in enumerate(kinds):
                    target = folder / f"made-{number}"
                    tasks[kind] = group.create_task(self._hashed(target, *kind))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several
        results: list[Result] = []
        for number, rule in enumerate(rules):
            made, md5, done = tasks[rule.magnify, rule.format].result()
            file = made
            if any(made == other.file for other in results):
                file = folder / f"copy-{number}"
                await in_thread(shutil.copyfile, made, file)
            results.append(Result(rule, file, md5, done.report))
        return results

    async def _hashed(self, target: Path, magnify: int, file_format: str) -> tuple[Path, str, Done]:
        done = await self.make(target, magnify, file_format)
        return target, await in_thread(md5_of, target), done


def md5_of(file: Path) -> str:
    """MD5 of a file's content, in hexadecimal."""
    with file.open("rb") as content:
        md5 = partial(hashlib.md5, usedforsecurity=False)
        return hashlib.file_digest(content, md5).hexdigest()


def check_size(size: int, settings: Settings) -> None:
    """Refuse what is too large for a picture, before it is looked into.

    Raises:
        SourceTooLarge: more than ``[limits] max_input_bytes``.
    """
    most = settings.limits.max_input_bytes
    if size > most:
        raise SourceTooLarge(
            f"The picture has {size:,} bytes; at most {most:,} are super-resolved "
            "([limits] max_input_bytes)."
        )


class Charge:
    """What a caller's quota was charged; see :func:`charged`."""

    def __init__(self, call: Call, spent: Spent | None) -> None:
        self._access, self._spent = call.app.access, spent

    async def give_back(self) -> None:
        """Let the quota have it again. Safe to repeat."""
        spent, self._spent = self._spent, None
        await in_thread(self._access.give_back, spent)


@asynccontextmanager
async def charged(call: Call, count: int) -> AsyncIterator[Charge]:
    """Count pictures against the caller's quota, which gets them back if the block fails for
    no fault of the caller's.

    Raises:
        QuotaExceeded: there is not as much left.
    """
    spent = await in_thread(call.app.access.spend, call.caller, count) if count else None
    charge = Charge(call, spent)
    try:
        yield charge
    except Exception as exc:
        if not isinstance(exc, InputError | AccessError | ClientGone | Refused):
            await charge.give_back()
        raise
