"""Jobs handed in while processes are being killed, and the proof that nothing is lost.

Every picture carries a number that can be read from its result, so that a result in the wrong
place is seen. Clients do what good clients do: they hand in with an idempotency key, ask again
when nobody answers, and remember every result they were ever shown.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import httpx
import numpy as np
import obstore
from PIL import Image
from sqlalchemy import func, select

from superres.jobs.tables import job_items, jobs, slots
from superres.storage.blobs import BUCKET, Blobs
from superres.storage.tables import blobs
from tests.e2e.fleet import Fleet
from tests.e2e.service import to_png

SIDE, SCALE = 64, 4
_CELLS = 4  # of a side; each is one bit
_DARK, _LIGHT = np.array([60, 80, 110]), np.array([200, 190, 160])
FINAL = ("done", "failed", "closed", "timed_out")


# --- pictures that can be told apart ------------------------------------------------------


def numbered(number: int, side: int = SIDE) -> bytes:
    """A picture that shows ``number``, below 4096, in light and dark squares."""
    word = number << 4 | _check(number)
    bits = np.array([word >> place & 1 for place in range(_CELLS**2)]).reshape(_CELLS, _CELLS)
    cells = np.where(bits[..., None], _LIGHT, _DARK).astype(np.uint8)
    return to_png(cells.repeat(side // _CELLS, axis=0).repeat(side // _CELLS, axis=1))


def number_in(answer: bytes, side: int = SIDE * SCALE) -> int:
    """The number that a result of the right size shows.

    Raises:
        ValueError: it does not decode whole, has another size, or shows something else.
    """
    with Image.open(io.BytesIO(answer)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=float)
    if pixels.shape != (side, side, 3):
        raise ValueError(f"it is {pixels.shape}")
    cell = side // _CELLS
    inner = pixels.reshape(_CELLS, cell, _CELLS, cell, 3)[:, cell // 4 : -cell // 4]
    means = inner[:, :, :, cell // 4 : -cell // 4].mean(axis=(1, 3))
    dark, light = (np.abs(means - colour).max(axis=-1) for colour in (_DARK, _LIGHT))
    if np.minimum(dark, light).max() > 12:
        raise ValueError("its colours are not those of the picture")
    word = sum(int(bit) << place for place, bit in enumerate((light < dark).ravel()))
    if word & 15 != _check(word >> 4):
        raise ValueError("it shows no number")
    return word >> 4


def _check(number: int) -> int:
    return (number * 11 >> 3 ^ number ^ 5) & 15


# --- clients ------------------------------------------------------------------------------


@dataclass
class Client:
    """Hands jobs in and looks at them, over and over until somebody answers.

    Attributes:
        fleet: of which any server may be asked.
        patience: seconds until it gives up.
        tries: counts them; with each another server is asked.
    """

    fleet: Fleet
    patience: float = 90.0
    tries: int = 0

    def __post_init__(self) -> None:
        self.servers = [m for m in self.fleet.members if m.command == "serve"]
        self.http = httpx.Client(timeout=10.0)
        self.fleet.at_the_end.callback(self.http.close)

    def ask(self, method: str, path: str, **how: object) -> httpx.Response:
        """The first answer that is not "come again"."""
        end = time.monotonic() + self.patience
        last: object = "nobody was asked"
        while time.monotonic() < end:
            server = self.servers[self.tries % len(self.servers)]
            try:
                answer = self.http.request(method, urljoin(server.url, path), **how)
            except httpx.TransportError as exc:
                last = repr(exc)
            else:
                if answer.status_code not in (429, 500, 502, 503, 504):
                    return answer
                last = answer.text
            self.tries += 1
            time.sleep(0.1)
        raise AssertionError(f"{method} {path} got no answer in {self.patience} s: {last}")

    def hand_in(self, key: str, pictures: Sequence[bytes]) -> str:
        """A job; its id."""
        files = [("file", (f"p{n}.png", data, "image/png")) for n, data in enumerate(pictures)]
        answer = self.ask(
            "POST",
            "/v1/jobs",
            files=files,
            data={"scale": str(SCALE), "format": "png"},
            headers={"Idempotency-Key": key},
        )
        assert answer.status_code in (200, 202), answer.text
        return answer.json()["id"]

    def look(self, job: str) -> dict[str, object]:
        answer = self.ask("GET", f"/v1/jobs/{job}")
        assert answer.status_code == 200, f"{job}: {answer.status_code} {answer.text}"
        return answer.json()

    def fetch(self, url: str) -> bytes:
        parts = urlsplit(url)
        answer = self.ask("GET", f"{parts.path}?{parts.query}")
        assert answer.status_code == 200, f"{url}: {answer.text}"
        return answer.content


@dataclass
class Sightings:
    """What clients were shown, and what they should never have been."""

    results: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    looks: int = 0

    def note(self, client: Client, job: dict[str, object], numbers: Sequence[int]) -> None:
        """Remember one look at a job; the first time a result is seen it is fetched."""
        self.looks += 1
        if len(job["images"]) != len(numbers):
            self.wrong.append(f"{job['id']} has {len(job['images'])} pictures")
        for place, image in enumerate(job["images"]):
            name = (job["id"], place)
            known = self.results.get(name)
            if image["state"] != "done":
                if known:
                    self.wrong.append(f"{name} was done and is {image['state']} again")
                continue
            url = image["result"]["url"]
            seen = urlsplit(url).path
            if known is None:
                content = client.fetch(url)
                self.results[name] = seen, hashlib.sha256(content).hexdigest()
                self._check(name, content, numbers[place])
            elif known[0] != seen:
                self.wrong.append(f"{name} was {known[0]} and is {seen}")

    def _check(self, name: tuple[str, int], content: bytes, number: int) -> None:
        try:
            shown = number_in(content)
        except (ValueError, OSError) as exc:
            self.wrong.append(f"{name}: {exc}")
        else:
            if shown != number:
                self.wrong.append(f"{name} shows {shown} instead of {number}")


# --- the storm ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Storm:
    """How much work, and how much trouble.

    Attributes:
        seed: of everything that is random.
        jobs, images: so many jobs of so many pictures.
        kills: so many ``kill -9``, of which one is for good.
        seconds: that a picture takes.
        patience: seconds in which a client must be answered, or its job be done.
    """

    seed: int
    jobs: int = 12
    images: int = 4
    kills: int = 5
    seconds: float = 0.3
    patience: float = 90.0


@dataclass
class Outcome:
    """What came of it: how it went, and all that was wrong."""

    storm: Storm
    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)


def rage(fleet: Fleet, storm: Storm) -> Outcome:
    """Start the members of ``fleet``, hand in work, kill, wait for the end, and audit.

    The last member is the one that never comes back.
    """
    outcome = Outcome(storm)
    outcome.say(f"chaos: seed {storm.seed}, {storm.jobs} jobs × {storm.images}")
    luck = random.Random(storm.seed)
    fleet.start()
    fleet.hold(storm.seconds)
    sightings = Sightings()
    names = range(storm.jobs)
    numbers = [[job * storm.images + place + 1 for place in range(storm.images)] for job in names]
    ids: dict[int, str] = {}

    def be_a_client(job: int) -> None:
        client = Client(fleet, storm.patience, tries=job)
        pictures = [numbered(number) for number in numbers[job]]
        # The keys are of this storm only, whatever else is on the same database.
        key = f"storm-{storm.seed}-{job}"
        ids[job] = client.hand_in(key, pictures)
        if job % 3 == 0 and (again := client.hand_in(key, pictures)) != ids[job]:
            # As if the answer had been lost on its way.
            outcome.wrong.append(f"{key} is the job {ids[job]} and the job {again}")
        end = time.monotonic() + storm.patience
        while True:
            seen = client.look(ids[job])
            sightings.note(client, seen, numbers[job])
            if seen["state"] in FINAL:
                break
            if time.monotonic() > end:
                raise AssertionError(f"{ids[job]} never ended: {json.dumps(seen)}")
            time.sleep(0.25)
        for _ in range(5):  # what is final stays as it is
            time.sleep(0.2)
            sightings.note(client, client.look(ids[job]), numbers[job])

    began = time.monotonic()
    with ThreadPoolExecutor(storm.jobs) as pool:
        clients = [pool.submit(be_a_client, job) for job in names]
        over = lambda: all(c.done() for c in clients)  # noqa: E731
        killed = _kill(fleet, storm, luck, over, outcome)
        for client in clients:
            if (failure := client.exception()) is not None:
                outcome.wrong.append(str(failure) or repr(failure))
    seconds = time.monotonic() - began
    fleet.release()
    if killed < storm.kills:
        outcome.wrong.append(f"the work was over after {killed} of {storm.kills} kills")
    outcome.wrong += sightings.wrong
    results = len(sightings.results)
    looks = sightings.looks
    outcome.figures |= {"results": results, "kills": killed, "seconds": seconds, "looks": looks}
    audit(fleet, storm, [ids.get(job) for job in names], sightings, outcome)
    total = storm.jobs * storm.images
    outcome.say(
        f"chaos: {results} of {total} results after {killed} kills in {seconds:.1f} s; begun "
        f"{outcome.figures['attempts']} times, {looks} looks, "
        f"{outcome.figures['waiting to be swept']} files to be swept; "
        f"{'nothing wrong' if not outcome.wrong else f'{len(outcome.wrong)} WRONG'}"
    )
    return outcome


def _kill(
    fleet: Fleet,
    storm: Storm,
    luck: random.Random,
    over: Callable[[], bool],
    outcome: Outcome,
) -> int:
    """Kill as the work goes on; returns how many kills that were.

    One is for the last member, which stays away; one at least for a server, one for another
    worker; the others for anybody.
    """

    def done() -> int:
        query = select(func.count()).where(job_items.c.state == "done")
        with fleet.database.connect() as connection:
            return connection.execute(query).scalar_one()

    *rest, lost = fleet.members
    servers = [m for m in rest if m.command == "serve"]
    workers = [m for m in rest if m.command == "worker"] or servers
    victims = [lost, luck.choice(servers), luck.choice(workers)][: storm.kills]
    victims += [luck.choice(rest) for _ in range(storm.kills - len(victims))]
    luck.shuffle(victims)
    total = storm.jobs * storm.images
    # Before the first picture is done, and then spread over two thirds of the work.
    moments = sorted([0.0, *(luck.uniform(0, 0.66) for _ in range(storm.kills - 1))])
    comings: list[threading.Timer] = []
    killed = 0
    for moment, victim in zip(moments, victims, strict=True):
        while not over() and (done() < moment * total or not victim.alive):
            time.sleep(0.05)
        time.sleep(luck.uniform(0, 0.5))
        if over():
            break
        whole = luck.random() < 0.7
        victim.kill(whole=whole)
        killed += 1
        how = "with its children" if whole else "alone"
        outcome.say(f"chaos: at {done()} of {total}: kill -9 {victim.folder.name} {how}")
        if victim is lost:
            victim.gone = True
            continue
        timer = threading.Timer(luck.uniform(0.1, 1.5), victim.begin)
        timer.start()
        comings.append(timer)
    for timer in comings:
        timer.join()
    return killed


# --- the audit ----------------------------------------------------------------------------


def audit(
    fleet: Fleet,
    storm: Storm,
    ids: Sequence[str | None],
    sightings: Sightings,
    outcome: Outcome,
) -> None:
    """Compare what clients saw with the tables and the store, and note all that is wrong."""
    wrong = outcome.wrong
    cap = fleet.seen_from_outside.jobs.attempts
    with fleet.database.connect() as connection:
        in_table = connection.execute(select(jobs)).mappings().all()
        items = connection.execute(select(job_items)).mappings().all()
    if sorted(j["id"] for j in in_table) != sorted(i for i in ids if i):
        wrong.append(f"{len(in_table)} jobs in the table, {len(ids)} were handed in")
    wrong += [f"job {j['id']} is {j['state']}" for j in in_table if j["state"] != "done"]
    if len(items) != storm.jobs * storm.images:
        wrong.append(f"{len(items)} pictures in the table")
    for item in items:
        name = (item["job_id"], item["position"])
        if item["state"] != "done":
            wrong.append(f"{name} is {item['state']}: {item['error_code']}")
        seen = sightings.results.get(name)
        if seen is None:
            wrong.append(f"nobody was shown {name}")
        elif item["blob_id"] not in seen[0]:
            wrong.append(f"{name} was {seen[0]} and is {item['blob_id']} in the table")
        if not 1 <= item["attempt"] <= cap:
            wrong.append(f"{name} was begun {item['attempt']} times; {cap} are allowed")
    distinct = Counter(item["blob_id"] for item in items)
    wrong += [f"{blob} is the result of {n} pictures" for blob, n in distinct.items() if n > 1]
    outcome.figures["attempts"] = sum(item["attempt"] for item in items)
    wrong += nothing_left_over(fleet, outcome, {item["blob_id"] for item in items})


def nothing_left_over(fleet: Fleet, outcome: Outcome, results: set[str | None]) -> list[str]:
    """What is wrong with files, and with processes that are still taken to live.

    A file without a row would stay for ever; a row that is no result (of an attempt that was
    cut short) goes when its time is over, and so does its file: both are tried.
    """
    wrong: list[str] = []
    settings = fleet.seen_from_outside
    alive = {m.process.pid for m in fleet.members if m.alive and m.process is not None}
    end = time.monotonic() + 4 * settings.jobs.slot_timeout
    database, store = fleet.database, fleet.store
    while True:  # the sweeper needs its moment
        with database.connect() as connection:
            known = set(connection.execute(select(blobs.c.id)).scalars())
            pids = set(connection.execute(select(slots.c.pid)).scalars())
        files = stored(store)
        if files <= known and results <= known and pids == alive:
            break
        if time.monotonic() > end:
            wrong += [f"the file {f} is known to nobody" for f in sorted(files - known)]
            wrong += [f"process {pid} is dead and has its slot" for pid in pids - alive]
            wrong += [f"process {pid} lives and has no slot" for pid in alive - pids]
            wrong += [f"the result {blob} is gone" for blob in results - known]
            break
        time.sleep(0.2)
    outcome.figures["waiting to be swept"] = len(known - results)
    # Later: everything goes, also what is no result.
    later = time.time() + settings.server.result_lifetime + settings.jobs.max_wait + 10**6
    Blobs(database, store, settings.server.max_results_bytes, clock=lambda _: later).expire()
    if left := stored(store):
        wrong.append(f"{len(left)} files stay for ever")
    with database.connect() as connection:
        if left := set(connection.execute(select(blobs.c.id)).scalars()):
            wrong.append(f"{len(left)} rows of files stay for ever")
    return wrong


def stored(store: object) -> set[str]:
    """The ids of all blobs that are in the store."""
    backend, path = store._layout.place(BUCKET, "blobs/x")
    folder = path.removesuffix("x")
    return {
        meta["path"].rpartition("/")[2] for page in obstore.list(backend, folder) for meta in page
    }
