"""Choose an engine by name. Runtimes are imported only when chosen."""

from __future__ import annotations

import importlib.util

from superres.engines.base import Engine
from superres.engines.fair import FairEngine
from superres.errors import BadParameter, EngineUnavailable
from superres.settings import EngineSettings

DEVICES = ("auto", "cpu", "fake")


def select_engine(settings: EngineSettings) -> Engine:
    """The engine for ``settings.device``.

    Raises:
        BadParameter: an unknown device.
        EngineUnavailable: its runtime is not installed.
    """
    if settings.device not in DEVICES:
        raise BadParameter(
            f"Unknown device {settings.device!r}; choose one of {', '.join(DEVICES)}."
        )
    if settings.device == "fake":
        from superres.engines.fake import FakeEngine

        return FakeEngine()
    if not _has_openvino():
        raise EngineUnavailable("The CPU engine is not installed; run: pip install openvino")
    from superres.engines.openvino import OpenVINOEngine

    return OpenVINOEngine(
        cache_dir=settings.cache_dir,
        cache_size=settings.cache_size,
        streams=settings.streams,
        threads=settings.threads,
    )


def select_shared_engine(settings: EngineSettings) -> FairEngine:
    """The engine for ``settings.device``, for several pictures at the same time.

    Raises:
        BadParameter, EngineUnavailable: as for :func:`select_engine`.
    """
    if settings.device not in DEVICES or settings.device == "fake" or not _has_openvino():
        return FairEngine(select_engine(settings))
    from superres.engines.shared import SharedOpenVINOEngine

    return FairEngine(SharedOpenVINOEngine(settings))


def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None
