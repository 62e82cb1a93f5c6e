"""From the words on the command line to picture files."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from superres.errors import InputError, SuperresError

STDIN = "-"

# What cameras, phones and the web call the formats that are read. Camera raw files look like
# TIFF from inside, so in a folder the name decides, and the content where there is no name.
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_OTHERS = (".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif")
SUFFIXES = frozenset((*_JPEG, *_OTHERS, ".avif", ".heic", ".heif"))


@dataclass(frozen=True)
class Source:
    """One picture to enlarge.

    Attributes:
        path: the file; None is standard input.
        below: where it lies below the folder that was named.
        found: whether it was found in a folder rather than named itself.
    """

    path: Path | None
    below: Path = Path()
    found: bool = False

    @property
    def word(self) -> str:
        """The input as a word of the command line."""
        return STDIN if self.path is None else str(self.path)

    @property
    def stem(self) -> str:
        """The file's name without its extension."""
        return "stdin" if self.path is None else self.path.stem


@dataclass
class Found:
    """What the inputs come to: pictures, names that lead nowhere, files that are no pictures."""

    sources: list[Source] = field(default_factory=list)
    problems: list[tuple[str, SuperresError]] = field(default_factory=list)
    ignored: int = 0


def find(
    words: Sequence[str],
    *,
    recursive: bool = False,
    avoid: Path | None = None,
    is_picture: Callable[[Path], bool] = lambda _: False,
) -> Found:
    """Find the files that ``words`` name: files, folders, patterns, ``-``.

    Args:
        words: as typed. A pattern counts only where no file has that very name.
        recursive: also look into folders inside folders.
        avoid: a folder inside a named one that is passed over, where results go.
        is_picture: asked about files without an extension in folders.
    """
    found = Found()
    for word in words:
        if word == STDIN:
            found.sources.append(Source(None))
            continue
        paths = [Path(word)]
        if not os.path.lexists(word) and glob.has_magic(word):
            matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 -- absolute ones too
            paths = [Path(match) for match in matches]
            if not paths:
                found.problems.append((word, InputError("No file matches this pattern.")))
        for path in paths:
            if path.is_dir():
                _folder(path, found, recursive, avoid, is_picture)
            elif path.exists():
                found.sources.append(Source(path))
            else:
                reason = "is a link to nothing" if path.is_symlink() else "does not exist"
                found.problems.append((word, InputError(f"The file {reason}.")))
    found.sources = _once(found.sources)
    return found


def _once(sources: list[Source]) -> list[Source]:
    """Every file once; one that was named itself counts as named."""
    kept: dict[str, Source] = {}
    for source in sources:
        # Links keep their own names: not resolved.
        key = os.path.normcase(os.path.abspath(source.path or STDIN))  # noqa: PTH100
        if key not in kept or (kept[key].found and not source.found):
            kept[key] = source
    return list(kept.values())


def _folder(
    folder: Path,
    found: Found,
    recursive: bool,
    avoid: Path | None,
    is_picture: Callable[[Path], bool],
) -> None:
    before = len(found.sources)
    deeper = False
    for path, folders, names, error in _walk(folder):
        if error is not None:
            found.problems.append((str(path), error))
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        deeper |= bool(folders)
        if avoid is not None:
            folders[:] = [name for name in folders if not _same(path / name, avoid)]
        for name in sorted(names):
            file = path / name
            if name.startswith("."):
                continue
            suffix = file.suffix.lower()
            if suffix in SUFFIXES or (not suffix and is_picture(file)):
                found.sources.append(Source(file, path.relative_to(folder), found=True))
            else:
                found.ignored += 1
        if not recursive:
            break
    if len(found.sources) == before and not any(Path(n) == folder for n, _ in found.problems):
        hint = "; --recursive looks into its subfolders" if deeper and not recursive else ""
        error = InputError(f"There is no picture in this folder{hint}.")
        found.problems.append((str(folder), error))


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str], SuperresError | None]]:
    problems: list[OSError] = []
    for path, folders, names in os.walk(folder, onerror=problems.append):
        yield Path(path), folders, names, None
    for problem in problems:
        error = InputError(f"The folder cannot be read: {problem.strerror}.")
        yield Path(problem.filename), [], [], error


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
