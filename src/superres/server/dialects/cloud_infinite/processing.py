"""Super resolution in a bucket: on download, on upload, and of what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from starlette.responses import Response

from superres.buckets import Bucket, NewObject, StoredObject, Upload
from superres.imageio import MEDIA_TYPES, SourceFacts
from superres.server.dialects.cloud_infinite import (
    answers,
    auth,
    conditions,
    downloads,
    pic_operations,
    upload_result,
)
from superres.server.dialects.cloud_infinite.call import Call
from superres.server.dialects.cloud_infinite.errors import Refused
from superres.server.dialects.cloud_infinite.pic_operations import PicOperations
from superres.server.dialects.cloud_infinite.pictures import Maker, Result, charged, check_size
from superres.server.work import in_thread, scratch_folder, unless_gone


async def download(call: Call) -> Response:
    """Method 1, ``GET /key?ci-process=AISuperResolution``: the picture enlarged, as a PNG.

    Raises:
        Refused: 400 InvalidArgument, 403 NoProcessAuthority.
        PermissionDenied: the caller may not read the object, or not super-resolve it.
        SuperresError: see :mod:`superres.server.dialects.cloud_infinite.downloads`.
    """
    key = call.address.key
    await auth.authorise(call, "cos:GetObject", key)
    await auth.authorise(call, auth.SUPER_RESOLVE, key)
    pic_operations.check_process(call.query.get("ci-process", ""))
    magnify = pic_operations.read_magnify(call.query.get("magnify"))
    address = downloads.address_in(call.query)
    _check_enabled(call)
    if address is not None:
        return await downloads.of_address(call, address, magnify)
    if not key:
        raise Refused(
            400,
            "InvalidArgument",
            "There is no picture: name an object in the path, or another site's in detect-url.",
        )
    return await downloads.of_object(call, magnify)


async def check(call: Call, operations: PicOperations) -> None:
    """Refuse, before a body is read, what cannot be stored; counts against the caller's rate.

    Raises:
        Refused: 403 NoProcessAuthority; 409 FileAlreadyExists, a result would overwrite what
            x-cos-forbid-overwrite protects.
        PermissionDenied: the caller may not write a result where it is to go.
        BucketNotFound: there is no such bucket.
        SourceTooLarge: the body is larger than a picture may be.
        RateLimited: too many requests of late.
    """
    request, buckets = call.request, call.app.buckets
    _check_enabled(call)
    for rule in operations.rules:
        other = rule.bucket != _bucket(call).name
        bucket = await in_thread(buckets.get, rule.bucket) if other else _bucket(call)
        await auth.authorise(call, "cos:PutObject", rule.key, bucket)
        await conditions.refuse_overwriting(call, rule.bucket, rule.key)
    declared = request.headers.get("content-length", "")
    if request.method == "PUT" and declared.isdigit():
        check_size(int(declared), call.app.settings)
    await in_thread(call.app.access.pace, call.caller)


async def upload(call: Call, folder: Path, new: NewObject, operations: PicOperations) -> Response:
    """Method 2, ``PUT /key`` with Pic-Operations: the original and all results, or nothing.

    Args:
        call: its body was read, and :func:`check` was asked.
        folder: for the results until they are stored.
        new: the original; where a rule overwrites it, the result is stored with its headers.
        operations: what is to be made of it.

    Raises:
        SuperresError: of access, of the executor and of the buckets.
    """
    objects = call.app.buckets.objects
    async with charged(call, len(operations.rules)):
        results = await _made(call, new.file, folder, operations)
        pictures = _new_objects(results, new.bucket, new.key, new.headers)
        await _check_again(call, new, *pictures)
        original, *stored = await in_thread(objects.put, new, *pictures)
    return _answer(call, operations, original, stored, results)


async def stored(call: Call) -> Response:
    """Method 3, ``POST /key?image_process`` with Pic-Operations: all results, or nothing.

    Raises:
        Refused: 400 InvalidPicOperations, 400 InvalidArgument, 403 NoProcessAuthority.
        PermissionDenied: the caller may not read the object, or not write a result.
        SuperresError: of access, of the executor and of the buckets.
    """
    app, request, key = call.app, call.request, call.address.key
    await auth.authorise(call, "cos:GetObject", key)
    given = request.headers.get(pic_operations.NAME, "")
    operations = pic_operations.read(given, _bucket(call).name, key)
    await check(call, operations)
    found = await in_thread(app.buckets.objects.get, _bucket(call).name, key)
    check_size(found.size, app.settings)
    async for _ in request.stream():
        pass  # there should be none, and what comes next is that the client goes
    async with charged(call, len(operations.rules)), scratch_folder(app) as folder:
        source = folder / "source"
        most = app.settings.limits.max_input_bytes
        await in_thread(app.buckets.objects.fetch, found, source, most)
        results = await _made(call, source, folder, operations)
        pictures = _new_objects(results, found.bucket, found.key, found.headers)
        await _check_again(call, *pictures)
        placed = await in_thread(app.buckets.objects.put, *pictures)
    return _answer(call, operations, found, placed, results)


async def complete(
    call: Call, upload: Upload, parts: Sequence[tuple[int, str]], operations: PicOperations
) -> Response:
    """CompleteMultipartUpload with Pic-Operations: the object and all results, or nothing.

    The upload goes on if it fails.

    Args:
        call: its body was read, and :func:`check` was asked.
        upload: that is to be completed.
        parts: of the object, see :meth:`superres.buckets.uploads.Uploads.complete`.
        operations: what is to be made of it.

    Raises:
        SuperresError: of access, of the executor and of the buckets.
    """
    app, uploads = call.app, call.app.buckets.uploads
    async with charged(call, len(operations.rules)), scratch_folder(app) as folder:
        source = folder / "source"
        most = app.settings.limits.max_input_bytes
        await in_thread(uploads.fetch, upload, parts, source, most)
        results = await _made(call, source, folder, operations)
        pictures = _new_objects(results, upload.bucket, upload.key, upload.headers)
        await _check_again(call, *pictures)
        original, *placed = await in_thread(uploads.complete, upload, parts, *pictures)
    return _answer(call, operations, original, placed, results, completed=True)


async def _made(call: Call, source: Path, folder: Path, operations: PicOperations) -> list[Result]:
    check_size(source.stat().st_size, call.app.settings)
    return await unless_gone(call.request, Maker(call, source).make_all(operations.rules, folder))


async def _check_again(call: Call, *new: NewObject) -> None:
    """What :func:`check` and its callers asked about places, once more before they are written."""
    await auth.may_still_put(call, *((each.bucket, each.key) for each in new))
    for each in new:
        await conditions.refuse_overwriting(call, each.bucket, each.key)


def _new_objects(
    results: Sequence[Result], bucket: str, key: str, headers: Mapping[str, str]
) -> list[NewObject]:
    """The results to be stored; one that overwrites the original has the original's headers."""
    return [
        NewObject(
            result.rule.bucket,
            result.rule.key,
            result.file,
            result.md5,
            MEDIA_TYPES[result.report.format],
            headers if (result.rule.bucket, result.rule.key) == (bucket, key) else {},
        )
        for result in results
    ]


def _answer(
    call: Call,
    operations: PicOperations,
    original: StoredObject,
    stored: Sequence[StoredObject],
    results: Sequence[Result],
    *,
    completed: bool = False,
) -> Response:
    facts: SourceFacts | None = results[0].report.facts if operations.is_pic_info else None
    pairs = list(zip(stored, results, strict=True))
    etag = {"ETag": answers.etag(original.etag)}
    if completed:
        content = upload_result.completed(call, original, facts, pairs)
        return answers.document(call.request, "CompleteMultipartUploadResult", content, more=etag)
    content = upload_result.uploaded(call, original, facts, pairs)
    return answers.document(call.request, "UploadResult", content, more=etag)


def _check_enabled(call: Call) -> None:
    if not _bucket(call).processing:
        raise Refused(
            403,
            "NoProcessAuthority",
            f"Super resolution is not enabled on the bucket {_bucket(call).name} "
            "(superres buckets enable-ci).",
        )


def _bucket(call: Call) -> Bucket:
    assert call.bucket is not None
    return call.bucket
