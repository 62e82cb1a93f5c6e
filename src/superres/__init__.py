"""superres: image super resolution that people run themselves.

>>> import superres
>>> superres.upscale("photo.jpg")            # writes photo_x4.png, returns its path
>>> larger = superres.upscale(array, scale=2, model="photo")

See :func:`upscale` for one picture and :class:`Upscaler` for many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superres.errors import (
    AccessError,
    BadOutput,
    BadParameter,
    BucketExists,
    BucketNotEmpty,
    BucketNotFound,
    Cancelled,
    CapacityError,
    CorruptImage,
    DeadlineExceeded,
    EngineError,
    EngineUnavailable,
    ImageTooLarge,
    ImageTooSmall,
    InputError,
    InvalidPart,
    JobCancelled,
    JobError,
    JobExpired,
    JobNotFound,
    ModelNotFound,
    ObjectNotFound,
    OutOfMemory,
    OutputError,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    SourceRefused,
    SourceTooLarge,
    SourceUnreachable,
    StorageError,
    SuperresError,
    Unauthenticated,
    UnsupportedFormat,
    UploadNotFound,
    WeightsMissing,
    WorkerLost,
)

if TYPE_CHECKING:
    from superres.faces import Face, FaceReport
    from superres.library import Upscaler, upscale
    from superres.pipeline.options import Progress

__version__ = "0.1.0"

__all__ = [
    "AccessError",
    "BadOutput",
    "BadParameter",
    "BucketExists",
    "BucketNotEmpty",
    "BucketNotFound",
    "Cancelled",
    "CapacityError",
    "CorruptImage",
    "DeadlineExceeded",
    "EngineError",
    "EngineUnavailable",
    "Face",
    "FaceReport",
    "ImageTooLarge",
    "ImageTooSmall",
    "InputError",
    "InvalidPart",
    "JobCancelled",
    "JobError",
    "JobExpired",
    "JobNotFound",
    "ModelNotFound",
    "ObjectNotFound",
    "OutOfMemory",
    "OutputError",
    "Overloaded",
    "PermissionDenied",
    "Progress",
    "QuotaExceeded",
    "RateLimited",
    "SourceRefused",
    "SourceTooLarge",
    "SourceUnreachable",
    "StorageError",
    "SuperresError",
    "Unauthenticated",
    "UnsupportedFormat",
    "UploadNotFound",
    "Upscaler",
    "WeightsMissing",
    "WorkerLost",
    "__version__",
    "upscale",
]

_LAZY = {
    "Face": "superres.faces",
    "FaceReport": "superres.faces",
    "Progress": "superres.pipeline.options",
    "Upscaler": "superres.library",
    "upscale": "superres.library",
}


def __getattr__(name: str) -> Any:
    # The command imports this package for --version and --help; the runtimes can wait.
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
