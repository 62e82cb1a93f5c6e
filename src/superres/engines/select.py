"""Choose an engine by name. Runtimes are imported only when chosen."""

from __future__ import annotations

import importlib.util

from superres.engines.base import Engine
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
    if importlib.util.find_spec("openvino") is None:
        raise EngineUnavailable("The CPU engine is not installed; run: pip install openvino")
    from superres.engines.openvino import OpenVINOEngine

    return OpenVINOEngine(
        cache_dir=settings.cache_dir,
        cache_size=settings.cache_size,
        streams=settings.streams,
        threads=settings.threads,
    )
