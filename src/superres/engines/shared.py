"""OpenVINO for several pictures at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from superres.engines.fair import EXPRESS
from superres.engines.openvino import OpenVINOEngine
from superres.settings import EngineSettings


class SharedOpenVINOEngine(OpenVINOEngine):
    """The CPU engine with a thread more than streams, for a short tile beside long ones."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(
            cache_dir=settings.cache_dir,
            cache_size=settings.cache_size,
            streams=settings.streams,
            threads=settings.threads,
        )
        self._workers = ThreadPoolExecutor(self.streams + EXPRESS, "superres-openvino")
