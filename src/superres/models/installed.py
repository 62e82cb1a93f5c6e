"""Weights that people added: a folder of files, and a list that says what they are.

Two kinds: weights of networks that restore faces, and models that enlarge
(``superres.models.added``). A name is of one of them.

The list names each file's SHA-256, and nothing is loaded that has another. Files and list are
each there whole or not at all; changes wait for each other (a lock), readers wait for nobody.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import io
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from superres.errors import BadParameter, OutputError, WeightsMissing
from superres.locks import try_lock
from superres.models import added
from superres.models.added import AddedModel

LIST = "installed.json"
_LOCK = ".lock"
_VERSION = 2
"""1 knew weights that restore faces only; such a list is read as it is."""
_PATIENCE_S = 30.0
_PIECE = 1 << 20
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
_FILE = re.compile(r"superres-[0-9a-f]{64}")
"""The folder may hold files of other people's; these are ours to remove."""
_NEW = ".new-"
_FORGOTTEN_S = 86_400.0
PART = ".part-"
"""Beginnings of files that were not fetched to their end: somebody may go on with them."""
FETCH_LOCK = ".fetch.lock"
_PART_FORGOTTEN_S = 7 * 86_400.0


@dataclass(frozen=True)
class InstalledWeights:
    """One set of weights.

    Attributes:
        name: what people type.
        architecture: of the network, see ``superres.models.checkpoint``.
        licence: in a word.
        accepted: whether somebody accepted it by name (``--accept-licence``).
        sha256, size: of the file.
        source: the address, or the name of the file, that it came from.
        added: when, by this machine's clock: 2026-11-21T17:00:00+00:00.
    """

    name: str
    architecture: str
    licence: str
    accepted: bool
    sha256: str
    size: int
    source: str
    added: str

    @property
    def file(self) -> str:
        """Its name in the folder: the same weights under two names are one file."""
        return f"superres-{self.sha256}"


@dataclass(frozen=True)
class Staged:
    """A file in the folder that is not in the list yet, and what it is."""

    path: Path
    sha256: str
    size: int


class WeightsFolder:
    """The weights in one folder. Safe for several processes and threads at a time.

    Args:
        folder: ``[models] weights_dir``; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> tuple[InstalledWeights, ...]:
        """What is installed to restore faces, by name.

        Raises:
            WeightsMissing: the list is damaged, or of a newer superres.
        """
        return self._read()[0]

    def models(self) -> tuple[AddedModel, ...]:
        """The models that were added, by name.

        Raises:
            WeightsMissing: the list is damaged, or of a newer superres.
        """
        return self._read()[1]

    def _read(self) -> tuple[tuple[InstalledWeights, ...], tuple[AddedModel, ...]]:
        try:
            content = json.loads((self.folder / LIST).read_bytes())
            version = content.get("version", 1)
            if isinstance(version, int) and version > _VERSION:
                raise WeightsMissing(
                    f"The list of the weights that were added ({LIST} in [models] weights_dir) was "
                    "written by a newer superres; install that here too, or set [models] "
                    "weights_dir to another folder."
                )
            weights = sorted(map(_from_record, content["weights"]), key=lambda each: each.name)
            models = sorted(
                map(added.from_record, content.get("models", ())), key=lambda each: each.name
            )
            return tuple(weights), tuple(models)
        except FileNotFoundError:
            return (), ()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise WeightsMissing(
                f"The list of the weights that were added ({LIST} in [models] weights_dir) cannot "
                "be read; remove it and add them again."
            ) from exc

    def get(self, name: str) -> InstalledWeights:
        """What is installed as ``name``.

        Raises:
            WeightsMissing: nothing is, or the list is damaged.
        """
        for each in self.list():
            if each.name == name:
                return each
        raise WeightsMissing(
            f"{name} is not installed here. Install it with: superres models pull {name} (or "
            f"superres models add {name} FILE)."
        )

    def open(self, weights: InstalledWeights) -> BinaryIO:
        """Open the file of ``weights``, after reading it once to see that it is the one.

        Raises:
            WeightsMissing: it is gone, or has another SHA-256.
        """
        again = f"superres models add {weights.name} FILE"
        try:
            file = (self.folder / weights.file).open("rb")
        except OSError as exc:
            raise WeightsMissing(f"The weights of {weights.name} are gone; run: {again}") from exc
        with contextlib.ExitStack() as undo:
            undo.callback(file.close)
            if digest(file)[0] != weights.sha256:
                raise WeightsMissing(
                    f"The weights of {weights.name} are not the ones that were added (their "
                    f"SHA-256 is another), so they are not loaded; run: {again}"
                )
            file.seek(0)
            undo.pop_all()
        return file

    @contextlib.contextmanager
    def stage(self, source: Path) -> Iterator[Staged]:
        """Copy ``source`` into the folder; unless it is added within, it goes again.

        Raises:
            BadParameter: it cannot be read.
            OutputError: the folder cannot be written, or has no room.
        """
        try:
            file = source.open("rb")
        except OSError as exc:
            raise BadParameter(f"The file {source} cannot be read: {exc.strerror}.") from exc
        with file, self._staged(file) as staged:
            yield staged

    @contextlib.contextmanager
    def _staged(self, file: BinaryIO) -> Iterator[Staged]:
        with self.room() as path:
            sha256 = hashlib.sha256()
            size = 0
            with writing(), path.open("wb") as copy:
                while piece := file.read(_PIECE):
                    sha256.update(piece)
                    size += copy.write(piece)
                copy.flush()
                os.fsync(copy.fileno())
            yield Staged(path, sha256.hexdigest(), size)

    @contextlib.contextmanager
    def room(self) -> Iterator[Path]:
        """Make a new, empty file in the folder; unless it is added within, it goes again.

        Raises:
            OutputError: the folder cannot be written.
        """
        with writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=_NEW, dir=self.folder)
            os.close(descriptor)
        path = Path(name)
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def keep(self, content: bytes) -> contextlib.AbstractContextManager[Staged]:
        """Write ``content`` into the folder; unless it is added within, it goes again.

        Raises:
            OutputError: the folder cannot be written, or has no room.
        """
        return self._staged(io.BytesIO(content))

    def add(self, staged: Staged, weights: InstalledWeights | AddedModel) -> None:
        """Put a staged file into the list; what had its name before is removed.

        Raises:
            BadParameter: a name that weights cannot have.
            WeightsMissing: the list is damaged.
            OutputError: the folder cannot be written.
        """
        check_name(weights.name)
        with self.locked():
            kept = [each for each in self._all() if each.name != weights.name]
            with writing():
                # mkstemp makes files that nobody else may read; a service may run as somebody else.
                staged.path.chmod(0o644)
                staged.path.replace(self.folder / weights.file)
            kept.append(weights)
            self._write(kept)
            self._sweep(kept)

    def remove(self, name: str) -> InstalledWeights | AddedModel:
        """Take weights of either kind out of the list, and their file away.

        Raises:
            WeightsMissing: there are none of that name, or the list is damaged.
            OutputError: the folder cannot be written.
        """
        with self.locked():
            every = self._all()
            gone = next((each for each in every if each.name == name), None) or self.get(name)
            kept = [each for each in every if each.name != name]
            self._write(kept)
            self._sweep(kept)
        return gone

    def _all(self) -> builtins.list[InstalledWeights | AddedModel]:
        weights, models = self._read()
        return [*weights, *models]

    def _write(self, every: Sequence[InstalledWeights | AddedModel]) -> None:
        content: dict[str, Any] = {"version": _VERSION, "weights": [], "models": []}
        for each in sorted(every, key=lambda each: each.name):
            content["models" if isinstance(each, AddedModel) else "weights"].append(asdict(each))
        text = json.dumps(content, indent=2) + "\n"
        with self.room() as path, writing():
            with path.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            path.chmod(0o644)
            path.replace(self.folder / LIST)

    def _sweep(self, kept: Sequence[InstalledWeights | AddedModel]) -> None:
        """Remove weights that the list no longer names, and what somebody killed left half-made."""
        named = {each.file for each in kept}
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):  # in use, on some systems: the next time
                if path.name.startswith(_NEW):
                    unwanted = time.time() - path.stat().st_mtime > _FORGOTTEN_S
                else:
                    unwanted = path.name not in named and bool(_FILE.fullmatch(path.name))
                if unwanted:
                    path.unlink()
        # Whoever fetches has the lock, and forgets them itself.
        if any(self.folder.glob(f"{PART}*")):
            with contextlib.suppress(OutputError), self.locked(FETCH_LOCK, patience=0):
                self.forget_parts()

    def forget_parts(self, kept: str = "") -> None:
        """Remove what was begun to be fetched and not gone on with for a week, all but ``kept``.

        For who holds :data:`FETCH_LOCK`.
        """
        for path in self.folder.glob(f"{PART}*"):
            with contextlib.suppress(OSError):
                old = time.time() - path.stat().st_mtime > _PART_FORGOTTEN_S
                if old and path.name != kept:
                    path.unlink()

    @contextlib.contextmanager
    def locked(self, name: str = _LOCK, patience: float = _PATIENCE_S) -> Iterator[None]:
        """Wait for others to be done with changing the folder; they wait for this one.

        Raises:
            OutputError: they take longer than ``patience`` seconds, or it cannot be written.
        """
        with writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            until = time.monotonic() + patience
            while not try_lock(descriptor):
                if time.monotonic() >= until:
                    raise OutputError(
                        "Another superres is adding or fetching weights; try again when it is done."
                    )
                time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)  # and with it the lock


def check_name(name: str) -> None:
    """Refuse a name that weights cannot have.

    Raises:
        BadParameter: it is not one.
    """
    if not _NAME.fullmatch(name):
        raise BadParameter(
            f"{name[:64]!a} cannot be a name of weights: small letters, digits and . _ - in "
            "between, at most 40."
        )


def digest(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 and length of what is left in ``file``."""
    sha256, size = hashlib.sha256(), 0
    while piece := file.read(_PIECE):
        sha256.update(piece)
        size += len(piece)
    return sha256.hexdigest(), size


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Translate what the system says of the folder.

    Raises:
        OutputError: an OSError within.
    """
    try:
        yield
    except OSError as exc:
        raise OutputError(
            f"The folder of weights cannot be written ({exc.strerror}); make room, or set [models] "
            "weights_dir to another."
        ) from exc


def _from_record(record: dict[str, Any]) -> InstalledWeights:
    found = {field.name: record[field.name] for field in fields(InstalledWeights)}
    kinds = {"size": int, "accepted": bool}
    if not all(isinstance(value, kinds.get(name, str)) for name, value in found.items()):
        raise TypeError
    weights = InstalledWeights(**found)
    # Somebody may have written it by hand: it names a file of the folder, and no other.
    if not _FILE.fullmatch(weights.file):
        raise ValueError
    return weights
