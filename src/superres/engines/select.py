"""Choose an engine by name. Runtimes are imported only when chosen."""

from __future__ import annotations

import importlib.util
import re

from superres.engines.base import Engine
from superres.engines.fair import EXPRESS, FairEngine
from superres.engines.fastest import fastest
from superres.engines.presence import likely_device
from superres.engines.torch_lazy import torch_engine
from superres.errors import BadParameter, EngineUnavailable
from superres.settings import EngineSettings

DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps", "torch", "fake")
"""What people choose from; ``cuda:`` takes any number, and commas join several devices."""

_NAME = re.compile(r"cpu|cuda(:\d{1,3})?|mps|torch")


def device_names(device: str) -> tuple[str, ...]:
    """The devices that ``[engine] device`` names.

    Raises:
        BadParameter: an unknown device, or one twice.
    """
    if device in ("auto", "fake"):
        return (device,)
    names = tuple(name.strip() for name in device.split(","))
    places = ["cuda:0" if name == "cuda" else name for name in names]
    if not all(map(_NAME.fullmatch, names)) or len(set(places)) < len(names):
        raise BadParameter(
            f"Unknown device {device!r} ([engine] device); choose one of {', '.join(DEVICES)}, "
            "or several as in cuda:0,cuda:1."
        )
    return names


def worker_devices(device: str) -> tuple[str, ...]:
    """The devices that get a process each; "auto" only where there is something to choose.

    Raises:
        BadParameter: an unknown device.
    """
    names = device_names(device)
    return ("cpu",) if names == ("auto",) and likely_device() is None else names


def select_engine(settings: EngineSettings) -> Engine:
    """The engine for ``settings.device``.

    Raises:
        BadParameter: an unknown device.
        EngineUnavailable: its runtime is not installed, or the device is not there.
    """
    return _selected(settings, express=0)


def select_shared_engine(settings: EngineSettings) -> FairEngine:
    """The engine for ``settings.device``, for several pictures at the same time.

    Raises:
        BadParameter, EngineUnavailable: as for :func:`select_engine`.
    """
    return FairEngine(_selected(settings, express=EXPRESS))


def _selected(settings: EngineSettings, express: int) -> Engine:
    names = device_names(settings.device)
    if names == ("auto",):
        names = (fastest(settings, lambda name: _engine(name, settings, 0)),)
    engines = [_engine(name, settings, express) for name in names]
    if len(engines) == 1:
        return engines[0]
    from superres.engines.several import SeveralEngine

    return SeveralEngine(engines)


def _engine(name: str, settings: EngineSettings, express: int) -> Engine:
    if name == "fake":
        from superres.engines.fake import FakeEngine

        return FakeEngine()
    if name != "cpu":
        device = "cpu" if name == "torch" else name
        threads = settings.threads
        return torch_engine(device, streams=settings.streams, threads=threads, express=express)
    if importlib.util.find_spec("openvino") is None:
        raise EngineUnavailable("The CPU engine is not installed; run: pip install openvino")
    from superres.engines.openvino import OpenVINOEngine

    return OpenVINOEngine(
        cache_dir=settings.cache_dir,
        cache_size=settings.cache_size,
        streams=settings.streams,
        threads=settings.threads,
        express=express,
    )
