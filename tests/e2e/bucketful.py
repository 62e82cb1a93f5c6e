"""Buckets in use while processes are being killed, and the proof that nothing is lost or half.

What may be seen at any moment is known from :mod:`tests.e2e.ledger`.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import urllib3

from tests.dialects.cloud_infinite.client import Answer, Client
from tests.e2e.chaos import numbered
from tests.e2e.fleet import Fleet
from tests.e2e.ledger import SLACK, Ledger, magnify_of, mark_of, md5

NAME = "storm-1250000000"
_AGAIN = (500, 502, 503, 504)


def client_of(address: str, credential: Mapping[str, str], bucket: str = NAME) -> Client:
    """A client that talks to a bucket."""
    return Client(address, credential["id"], credential["secret"]).on(bucket)


def operations(*rules: tuple[str, int]) -> dict[str, str]:
    """The header that asks for pictures: their keys, and how much larger they are."""
    record = [
        {"fileid": f"/{key}", "rule": f"ci-process=AISuperResolution&magnify={magnify}"}
        for key, magnify in rules
    ]
    return {"Pic-Operations": json.dumps({"rules": record})}


# --- clients ---------------------------------------------------------------------------------


class User:
    """Does all that can be done in a bucket, over and over, on keys of its own and on others'."""

    numbers = itertools.count(1)

    def __init__(self, place: int, clients: Sequence[Client], ledger: Ledger, seed: int) -> None:
        self.luck = random.Random(f"{seed}-{place}")
        self.clients, self.ledger, self.mine = clients, ledger, f"u{place}"
        self.turn = place
        self.acts = [
            (6, self.put),
            (3, self.get),
            (2, self.delete),
            (1, self.delete_many),
            (4, self.upload),
            (2, self.copy),
            (2, self.list),
        ]
        if place % 2:  # these wait for workers, and others should not
            self.acts += [
                (6, self.picture),
                (4, self.picture_in_parts),
                (6, self.process),
                (6, self.enlarged),
            ]

    def work(self, over: Callable[[], bool]) -> None:
        weights, acts = zip(*self.acts, strict=True)
        while not over():
            (act,) = self.luck.choices(acts, weights)
            try:
                act()
                self.ledger.count(act.__name__)
            except _Unanswered:
                self.ledger.count("not answered")
                time.sleep(self.luck.uniform(0.02, 0.1))
            except Exception as exc:  # noqa: BLE001 -- a thread's end would not be seen
                self.ledger.say(f"{act.__name__}: {exc!r}")
                time.sleep(0.1)

    def ask(self, method: str, key: str = "", *rest: object, **more: object) -> Answer:
        """An answer that says what happened.

        Raises:
            _Unanswered: who knows.
        """
        self.turn += 1
        client = self.clients[self.turn % len(self.clients)]
        try:
            answer = client(method, key, *rest, **more)
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise _Unanswered from exc
        if answer.status in _AGAIN:
            self.ledger.count(f"{answer.status} {answer.code}")
            raise _Unanswered
        return answer

    def change(
        self, marks: Mapping[str, object], method: str, key: str, *rest: object, **more: object
    ) -> Answer:
        """Write to keys."""
        with self.ledger.writing(marks) as answered:
            answer = self.ask(method, key, *rest, **more)
            if answer.status < 300:
                answered()
            else:
                self.ledger.forget(marks)
        return answer

    def key(self, *, own: bool = False) -> str:
        """One of its own or, more rarely, everybody's."""
        everybodys = not own and self.luck.random() < 0.3
        return f"{'all' if everybodys else self.mine}/{self.luck.randrange(4)}"

    def content(self) -> bytes:
        size = self.luck.choice([0, 10, 1000, 70_000, 70_000, 1_500_000])
        return self.luck.randbytes(8) + b"." * size

    def put(self) -> None:
        key, content = self.key(), self.content()
        answer = self.change({key: md5(content)}, "PUT", key, body=content)
        self.expect(answer.status == 200, "put", answer)

    def get(self) -> None:
        self.look(self.key())

    def look(self, key: str) -> object:
        begun = time.monotonic()
        answer = self.ask("GET", key)
        seen = mark_of(key, answer)
        self.ledger.check(key, seen, begun, time.monotonic())
        return seen

    def delete(self) -> None:
        key = self.key()
        answer = self.change({key: None}, "DELETE", key)
        self.expect(answer.status == 204, "delete", answer)

    def delete_many(self) -> None:
        keys = sorted({self.key(), self.key(), self.key(own=True)})
        named = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        body = f"<Delete>{named}</Delete>".encode()
        answer = self.change(dict.fromkeys(keys), "POST", "", {"delete": ""}, body)
        self.expect(sorted(answer.texts("Deleted/Key")) == keys, "delete many", answer)

    def upload(self) -> None:
        key = self.key()
        number = self.luck.randrange(1, 4)
        parts = [self.content() for _ in range(number)]
        sent = self.send(key, parts)
        if self.luck.random() < 0.2:
            answer = self.ask("DELETE", key, {"uploadId": sent.id})
            self.expect(answer.status == 204, "abort", answer)
            return
        if self.luck.random() < 0.1:
            return  # somebody who forgot
        digests = b"".join(bytes.fromhex(md5(each)) for each in parts)
        etag = f"{md5(digests)}-{number}"
        self.ledger.contents[etag] = md5(b"".join(parts))
        query = {"uploadId": sent.id}
        answer = self.change({key: etag}, "POST", key, query, sent.completion)
        self.expect(answer.xml.findtext("ETag") == f'"{etag}"', "complete", answer)

    def send(self, key: str, parts: Iterable[bytes]) -> Sent:
        begun = self.ask("POST", key, {"uploads": ""})
        upload_id = begun.xml.findtext("UploadId")
        assert upload_id
        sent = Sent(upload_id)
        for number, content in enumerate(parts, 1):
            query = {"partNumber": str(number), "uploadId": upload_id}
            answer = self.ask("PUT", key, query, content)
            self.expect(answer.headers.get("etag") == f'"{md5(content)}"', "part", answer)
            sent.etags.append(md5(content))
        return sent

    def copy(self) -> None:
        source, target = self.key(own=True), f"{self.mine}/copy"
        seen = self.look(source)  # nobody else writes there
        if seen is None:
            return
        etag = self.ledger.contents.get(seen, seen)  # a copy is of one piece
        header = {"x-cos-copy-source": f"{self.clients[0].host}/{source}"}
        answer = self.change({target: etag}, "PUT", target, **header)
        self.expect(answer.xml.findtext("ETag") == f'"{etag}"', "copy", answer)

    def list(self) -> None:
        marker, names = "", []
        while marker is not None:
            begun = time.monotonic()
            answer = self.ask("GET", "", {"max-keys": "7", "marker": marker})
            ended = time.monotonic()
            for each in answer.xml.findall("Contents"):
                key = each.findtext("Key", "")
                names.append(key)
                if magnify_of(key) is None:
                    self.ledger.check(key, each.findtext("ETag", "").strip('"'), begun, ended)
            marker = answer.xml.findtext("NextMarker")
        if names != sorted(set(names)):
            self.ledger.say(f"a list of {names}")

    # Pictures: an original and what is made of it have the same number, all or none.

    def family(self) -> tuple[str, list[tuple[str, int]]]:
        place = self.luck.randrange(2)
        made = [(f"{self.mine}/p{place}/b-x2.png", 2), (f"{self.mine}/p{place}/c-x4.png", 4)]
        return f"{self.mine}/p{place}/a-x1.png", made

    def picture(self) -> None:
        original, made = self.family()
        number = next(self.numbers)
        self.together(number, original, made, "PUT", None, numbered(number))

    def picture_in_parts(self) -> None:
        original, made = self.family()
        number = next(self.numbers)
        content = numbered(number)
        sent = self.send(original, [content[:100], content[100:]])
        self.together(number, original, made, "POST", {"uploadId": sent.id}, sent.completion)

    def process(self) -> None:
        original, _ = self.family()
        number = self.look(original)
        if number is None:
            return
        folder = original.rpartition("/")[0]
        made = [(f"{folder}/later/b-x2.png", 2), (f"{folder}/later/c-x4.png", 4)]
        self.together(number, original, made, "POST", {"image_process": ""})

    def together(
        self, number: object, original: str, made: Sequence[tuple[str, int]], method: str, *rest
    ) -> None:
        """Have an original, unless it is there already, and pictures written, all or none."""
        there = "image_process" in (rest[0] or {})
        marks = dict.fromkeys([original] * (not there) + [key for key, _ in made], number)
        try:
            answer = self.change(marks, method, original, *rest, **operations(*made))
        except _Unanswered:
            self.alike(marks)
            raise
        self.expect(len(answer.texts("ProcessResults/Object")) == 2, "pictures", answer)

    def enlarged(self) -> None:
        original, _ = self.family()
        begun = time.monotonic()
        magnify = self.luck.choice([2, 4])
        query = {"ci-process": "AISuperResolution", "magnify": str(magnify)}
        answer = self.ask("GET", original, query)
        seen = mark_of(f"a-x{magnify}.png", answer)
        self.ledger.check(original, seen, begun, time.monotonic())

    def alike(self, marks: Iterable[str]) -> None:
        """Pictures that are written together, and by nobody else now, have one number."""
        end = time.monotonic() + 60
        seen: dict[str, object] = {}
        time.sleep(SLACK)
        for key in marks:
            while key not in seen:
                try:
                    seen[key] = self.look(key)
                except _Unanswered:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.1)
        if len(set(seen.values())) > 1:
            self.ledger.say(f"half was done: {seen}")
        self.ledger.count("all or none")

    def expect(self, held: object, act: str, answer: Answer) -> None:
        if not held:
            self.ledger.say(f"{act}: {answer.status} {answer.body[:400]!r}")


class _Unanswered(Exception):
    pass


@dataclass
class Sent:
    id: str
    etags: list[str] = field(default_factory=list)

    @property
    def completion(self) -> bytes:
        parts = "".join(
            f'<Part><PartNumber>{number}</PartNumber><ETag>"{etag}"</ETag></Part>'
            for number, etag in enumerate(self.etags, 1)
        )
        return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


# --- the storm -------------------------------------------------------------------------------


def rage(fleet: Fleet, seed: int, *, users: int = 6, kills: int = 4, pause: float = 2.0) -> Ledger:
    """Start the servers of ``fleet``, use a bucket, kill, and look at what is left.

    Returns:
        What was done, and what was wrong.
    """
    luck, ledger = random.Random(seed), Ledger()
    fleet.start()
    credential = fleet.members[0].new_credential()
    clients = [client_of(urlsplit(m.url).netloc, credential) for m in fleet.members]
    assert clients[0]("PUT").status == 200
    stop = threading.Event()
    everybody = [User(place, clients, ledger, seed) for place in range(users)]
    began = time.monotonic()
    with ThreadPoolExecutor(users) as pool:
        working = [pool.submit(user.work, stop.is_set) for user in everybody]
        try:
            for _ in range(kills):
                time.sleep(luck.uniform(0.1, pause))
                victim = luck.choice(fleet.members)
                victim.kill(whole=luck.random() < 0.7)
                time.sleep(luck.uniform(0, 0.5))
                victim.start(ready=luck.random() < 0.7)
            time.sleep(1)
        finally:
            stop.set()
        for each in working:
            each.result()
    for member in fleet.members:
        member.wait_for()
    print(f"seed {seed}: {time.monotonic() - began:.1f} s, {dict(ledger.counts)}", flush=True)
    look_at_all(ledger, clients, everybody)
    return ledger


def look_at_all(ledger: Ledger, clients: Sequence[Client], everybody: Sequence[User]) -> None:
    """What every client sees at the end is what was answered, or what may have been done."""
    moment = time.monotonic() + 2 * SLACK
    time.sleep(2 * SLACK)
    for client in clients:
        shown = listed(client)
        for key in sorted({*ledger.writes, *shown}):
            answer = client("GET", key)
            try:
                seen = mark_of(key, answer)
            except (ValueError, OSError) as exc:
                ledger.say(f"{key} in the end: {exc}")
                continue
            ledger.check(key, seen, moment, time.monotonic())
            if (seen is None) != (key not in shown):
                ledger.say(f"{key} is {seen} and in the list as {shown.get(key)}")
            if seen is None:
                continue
            if answer.headers["etag"].strip('"') != shown.get(key):
                ledger.say(f"{key} is {answer.headers['etag']} and listed as {shown.get(key)}")
            whole = ledger.contents.get(seen)
            if whole is not None and md5(answer.body) != whole:
                ledger.say(f"{key} of parts is not its parts")
    for user in everybody:
        for place in range(2):
            for folder in ("", "later/"):
                names = [f"{folder}b-x2.png", f"{folder}c-x4.png"] + ["a-x1.png"] * (not folder)
                keys = [f"{user.mine}/p{place}/{name}" for name in names]
                seen = {key: mark_of(key, clients[0]("GET", key)) for key in keys}
                if len(set(seen.values())) > 1:
                    ledger.say(f"half was done: {seen}")


def listed(client: Client, limit: int = 1000) -> dict[str, str]:
    """All keys of a bucket with their ETags."""
    found: dict[str, str] = {}
    marker: str | None = ""
    while marker is not None:
        query = {"marker": marker, "max-keys": str(limit), "encoding-type": "url"}
        answer = client("GET", "", query)
        assert answer.status == 200, answer.body
        page = answer.xml
        for each in page.findall("Contents"):
            found[unquote(each.findtext("Key", ""))] = each.findtext("ETag", "").strip('"')
        marker = page.findtext("NextMarker")
        marker = None if marker is None else unquote(marker)
    return found
