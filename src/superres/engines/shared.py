"""OpenVINO for several programs at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openvino as ov

from superres.engines.base import TileProgram
from superres.engines.fair import EXPRESS
from superres.engines.openvino import OpenVINOEngine
from superres.settings import EngineSettings


class SharedOpenVINOEngine(OpenVINOEngine):
    """The CPU engine without pinned threads, and with a thread more than streams.

    Pinned, the first stream of every program sits on the same processor: two pictures of
    different sizes, a tile each, then take twice as long while another processor idles
    (2.0 s instead of 1.0 s, measured with ``general`` on two cores).
    """

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(
            cache_dir=settings.cache_dir,
            cache_size=settings.cache_size,
            streams=settings.streams,
            threads=settings.threads,
        )
        self._workers = ThreadPoolExecutor(self.streams + EXPRESS, "superres-openvino")

    def _compile(self, program: TileProgram, config: dict[str, Any]) -> ov.CompiledModel:
        return super()._compile(program, {**config, "ENABLE_CPU_PINNING": False})
