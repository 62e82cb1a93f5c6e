"""What the tests of super resolution share: pictures, rules, an executor that is watched."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from superres.engines.base import Session, TileProgram
from superres.engines.fake import FakeEngine
from superres.errors import EngineError
from superres.executors.base import Work
from superres.executors.inline import InlineExecutor
from superres.executors.ticket import Ticket
from superres.pipeline import Upscaler
from superres.pipeline.reporter import OnProgress
from superres.settings import load

PATIENCE = 60.0
PROCESS = {"ci-process": "AISuperResolution"}
IMAGE_PROCESS = {"image_process": ""}


def picture(
    width: int = 20, height: int = 12, kind: str = "PNG", seed: int = 0, **how: Any
) -> bytes:
    """A picture with something on it."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 9 % 256, y * 13 % 256, (x + y + seed) * 5 % 256], -1).astype(np.uint8)
    return saved(Image.fromarray(pixels), kind, **how)


def saved(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def opened(content: bytes) -> Image.Image:
    """A picture, which must decode whole."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def rule(fileid: object = "b.png", magnify: int | None = None, **more: object) -> dict[str, object]:
    said = "ci-process=AISuperResolution" + (f"&magnify={magnify}" if magnify else "")
    return {"fileid": fileid, "rule": said, **more}


def operations(*rules: object, info: object = None) -> dict[str, str]:
    """The header, as the client takes it."""
    record = {"rules": list(rules)} | ({} if info is None else {"is_pic_info": info})
    return {"Pic-Operations": json.dumps(record)}


def record(element: ET.Element) -> dict[str, Any]:
    """An element's children: texts, or records themselves; lists where names repeat."""
    found: dict[str, Any] = {}
    for child in element:
        value = record(child) if len(child) else child.text or ""
        if child.tag in found:
            others = found[child.tag]
            found[child.tag] = [*(others if isinstance(others, list) else [others]), value]
        else:
            found[child.tag] = value
    return found


def until(condition: Callable[[], object]) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


class GatedEngine(FakeEngine):
    """Computes while its gate is open; fails while ``broken``, or its first works."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def load(self, program: TileProgram, precision: str) -> Session:
        outer, inner = self, super().load(program, precision)

        class Gated:
            def submit(self, image: np.ndarray) -> Any:
                outer.gate.wait(PATIENCE)
                if outer.broken:
                    raise EngineError("The device is on fire.")
                return inner.submit(image)

            def trim(self) -> None:
                inner.trim()

        return Gated()


class Watched(InlineExecutor):
    """An executor that counts what it is given.

    Attributes:
        tickets: of all works that it took.
    """

    def __init__(
        self,
        engine: GatedEngine,
        concurrency: int = 4,
        queue: int = 64,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        upscaler = Upscaler(load(overrides=dict(settings or {})), engine=engine)
        super().__init__(upscaler, concurrency, queue)
        self.engine = engine
        self.tickets: list[Ticket] = []

    def submit(self, work: Work, *, on_progress: OnProgress | None = None) -> Ticket:
        ticket = super().submit(work, on_progress=on_progress)
        self.tickets.append(ticket)
        return ticket

    @property
    def count(self) -> int:
        """How many works it took."""
        return len(self.tickets)

    @property
    def idle(self) -> bool:
        state = self.state()
        return state.queued == state.running == 0
