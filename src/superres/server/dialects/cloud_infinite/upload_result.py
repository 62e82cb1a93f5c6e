"""What is answered when pictures were made and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from superres.buckets import StoredObject
from superres.imageio import SourceFacts
from superres.server.dialects.cloud_infinite import answers, xml
from superres.server.dialects.cloud_infinite.call import Call
from superres.server.dialects.cloud_infinite.pictures import Result


def uploaded(
    call: Call,
    original: StoredObject,
    facts: SourceFacts | None,
    results: Sequence[tuple[StoredObject, Result]],
) -> xml.Content:
    """The content of ``UploadResult``.

    Args:
        call: the request.
        original: what the pictures were made of; it need not be stored any more.
        facts: about it, if they were asked for.
        results: the pictures, as they are stored.
    """
    info: list[xml.Tree] = [
        ("Key", original.key),
        ("Location", _location(call, original)),
        ("ETag", answers.etag(original.etag)),
        *_image_info(facts),
    ]
    return [("OriginalInfo", info), _process_results(call, results)]


def completed(
    call: Call,
    original: StoredObject,
    facts: SourceFacts | None,
    results: Sequence[tuple[StoredObject, Result]],
) -> xml.Content:
    """The content of ``CompleteMultipartUploadResult``; see :func:`uploaded`."""
    return [
        ("Location", _location(call, original)),
        ("Bucket", original.bucket),
        ("Key", original.key),
        ("ETag", answers.etag(original.etag)),
        *_image_info(facts),
        _process_results(call, results),
    ]


def _image_info(facts: SourceFacts | None) -> list[xml.Tree]:
    if facts is None:
        return []
    red, green, blue = facts.average
    return [
        (
            "ImageInfo",
            [
                ("Format", facts.format.upper()),
                ("Width", facts.width),
                ("Height", facts.height),
                ("Quality", facts.quality),
                ("Ave", f"0x{red:02x}{green:02x}{blue:02x}"),
                ("Orientation", facts.orientation),
            ],
        )
    ]


def _process_results(call: Call, results: Sequence[tuple[StoredObject, Result]]) -> xml.Tree:
    return (
        "ProcessResults",
        [
            (
                "Object",
                [
                    ("Key", stored.key),
                    ("Location", _location(call, stored)),
                    ("Format", result.report.format),
                    ("Width", result.report.out_width),
                    ("Height", result.report.out_height),
                    ("Size", stored.size),
                    ("Quality", result.report.quality),
                    ("ETag", answers.etag(stored.etag)),
                ],
            )
            for stored, result in results
        ],
    )


def _location(call: Call, stored: StoredObject) -> str:
    """``<bucket host>/<key>``."""
    address, settings = call.address, call.app.settings.cloud_infinite
    if address.suffix is None and stored.bucket != address.bucket and settings.suffixes:
        # A host that names no bucket is the default bucket's alone.
        host = f"{stored.bucket}.{settings.suffixes[0].replace('*', settings.region)}"
        address = replace(address, bucket=stored.bucket, host=host)
    return answers.location(address, stored.bucket, stored.key)
