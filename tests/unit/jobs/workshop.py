"""A whole service without a server, whose engine a test can hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import select

from superres import app as composition
from superres.database import reading
from superres.engines.fake import FakeEngine, FakeSession
from superres.executors.inline import InlineExecutor
from superres.jobs import FromFile, FromUrl, Job, NewItem, NewJob, Recipe
from superres.jobs.tables import job_items
from superres.pipeline import UpscaleOptions, Upscaler
from superres.settings import Settings

PATIENCE = 30.0


def until(true: Callable[[], Any], what: str = "it") -> Any:
    """What ``true`` answers, once it is something."""
    end = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.02)
    return found


class HeldSession(FakeSession):
    def __init__(self, program: Any, go: threading.Event) -> None:
        super().__init__(program)
        self._go = go

    def submit(self, image: Any) -> Any:
        assert self._go.wait(PATIENCE)
        return super().submit(image)


class HeldEngine(FakeEngine):
    """Enlarges while ``go`` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()

    def load(self, program: Any, precision: str) -> HeldSession:
        return HeldSession(program, self.go)


class Workshop:
    """``start()`` it to have jobs done; the app is there before."""

    def __init__(self, settings: Settings, folder: Path, **jobs: object) -> None:
        quick: dict[str, object] = {"poll_interval": 0.05, "slot_timeout": 2.0}
        self.settings = replace(settings, jobs=replace(settings.jobs, **{**quick, **jobs}))
        self.folder = folder
        self.engine = HeldEngine()
        executor = InlineExecutor(Upscaler(self.settings, engine=self.engine))
        self.app = composition.build(self.settings, executor=executor)

    def picture(self, name: str = "p", size: tuple[int, int] = (8, 6), colour: int = 90) -> Path:
        path = self.folder / f"{name}-{time.monotonic_ns()}.png"
        Image.new("RGB", size, (colour, 20, 200)).save(path)
        return path

    def item(self, name: str = "p", *, scale: float = 2.0, **how: Any) -> NewItem:
        return NewItem(
            FromFile(self.picture(name, **how)), Recipe(UpscaleOptions(scale=scale)), name
        )

    def bad(self) -> NewItem:
        return NewItem(FromUrl("http://127.0.0.1:9/none.png"), Recipe(), "bad")

    def submit(self, items: Sequence[NewItem] | int = 1, **more: Any) -> Job:
        if isinstance(items, int):
            items = [self.item(f"p{n}") for n in range(items)]
        return self.app.jobs.submit(NewJob(**{"door": "v1", "owner": "", "items": items, **more}))

    def look(self, job: Job) -> Job:
        return self.app.jobs.get(job.id, owner=job.owner)

    def finished(self, job: Job) -> Job:
        return until(lambda: (now := self.look(job)).state.final and now, f"the end of {job.id}")

    def running(self, job: Job, count: int = 1) -> Job:
        def looked() -> Job | None:
            now = self.look(job)
            return now if sum(i.state == "running" for i in now.items) >= count else None

        return until(looked, "running")

    def rows(self) -> list[Any]:
        with reading(self.app.database) as connection:
            query = select(job_items).order_by(job_items.c.job_id, job_items.c.position)
            return list(connection.execute(query))

    def content(self, blob_id: str) -> bytes:
        with self.app.blobs.read(self.app.blobs.open(blob_id)) as pieces:
            return b"".join(pieces)

    def files(self) -> list[Path]:
        """The objects in the store."""
        return [
            path
            for path in (self.app.settings.server.data_dir / "objects").rglob("*")
            if path.is_file()
        ]

    def close(self, drain: float = 0.0) -> None:
        self.engine.go.set()
        self.app.close(drain)
