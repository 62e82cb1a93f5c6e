"""What the package shows to the world."""

import importlib
import inspect
import subprocess
import sys

import pytest

import superres

PINNED = [
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


def test_the_names_are_these_in_order():
    assert superres.__all__ == PINNED
    assert sorted(superres.__all__) == superres.__all__


@pytest.mark.parametrize("name", PINNED)
def test_every_name_is_there_and_explained(name):
    value = getattr(superres, name)
    assert name in dir(superres)
    if name == "__version__":
        assert value.count(".") == 2
        return
    assert value.__name__ == name
    assert len(inspect.getdoc(value) or "") > 20
    if isinstance(value, type) and issubclass(value, Exception):
        assert issubclass(value, superres.SuperresError)
        # Its own words, not those of a base class.
        assert value.__dict__["__doc__"]


def test_every_error_that_may_be_raised_can_be_imported():
    errors = importlib.import_module("superres.errors")
    own = {
        n
        for n, v in vars(errors).items()
        if inspect.isclass(v) and v.__module__ == "superres.errors"
    }
    assert own <= set(superres.__all__)


def test_a_star_import_brings_them_all():
    space: dict = {}
    exec("from superres import *", space)
    assert set(PINNED) <= set(space)


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = superres.nonsense


def in_new_process(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )


HEAVY = ["numpy", "onnx", "openvino", "pyvips", "PIL", "typer", "rich", "superres.pipeline"]


def test_importing_it_costs_nothing():
    done = in_new_process(
        "import sys, superres\n"
        "superres.__version__, superres.BadParameter, dir(superres)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_library_is_loaded_when_it_is_named_and_needs_no_pillow():
    done = in_new_process(
        "import sys, superres\n"
        "assert superres.upscale is superres.upscale\n"
        "assert 'superres.library' in sys.modules\n"
        "print([n for n in ('PIL', 'openvino', 'typer', 'rich') if n in sys.modules])"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_progress_is_the_one_that_listeners_get():
    from superres.pipeline.options import Progress

    assert superres.Progress is Progress
