"""One frozen ``Settings``, a section per room.

A value comes from, each beating the one before: its default, the file ``superres.toml``
(the one named, else the one in the current folder, else the one in the user's
configuration folder), the environment (``SUPERRES_ENGINE__STREAMS=2``), and what the
caller hands in (the command line). Unknown names are refused wherever they come from, so
that a slip of the pen is never silently ignored; only ``SUPERRES_TEST_…`` is left alone.

This is the only module that reads the environment.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from superres.errors import BadParameter

FILE_NAME = "superres.toml"
PREFIX = "SUPERRES_"
TEST_PREFIX = "SUPERRES_TEST_"
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_WORDS = dict.fromkeys(("true", "yes", "on", "1"), True)
_WORDS |= dict.fromkeys(("false", "no", "off", "0"), False)
T = TypeVar("T")


class Kind(NamedTuple):
    """What a setting's value may look like.

    Attributes:
        expects: the expected form in words, for error messages.
        parse: from text (environment, command line) or a TOML value; ValueError if wrong.
        show: from a value to text that ``parse`` reads again.
    """

    expects: str
    parse: Callable[[Any], Any]
    show: Callable[[Any], str] = str


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def _number(value: object, to: type[T], least: float) -> T:
    if isinstance(value, bool) or not isinstance(value, int | str | to):
        raise ValueError
    result: Any = to(value)  # type: ignore[call-arg]
    if not least <= result < math.inf:
        raise ValueError
    return result  # type: ignore[no-any-return]


def _size(value: object) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", str(value).strip().lower())
    if match is not None and match[2] in _UNITS:
        value = round(float(match[1]) * _UNITS[match[2]])
    return _number(value, int, least=1)


def _show_size(value: int) -> str:
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        halves, rest = divmod(2 * value, _UNITS[unit.lower()])
        if halves > 1 and not rest:
            return f"{halves // 2}{'.5' if halves % 2 else ''}{unit}"
    return str(value)


def _word(value: object, words: Mapping[str, T]) -> T:
    word = str(value).strip().lower()
    if word not in words:
        raise ValueError
    return words[word]


def _path(value: object) -> Path:
    try:
        return (value if isinstance(value, Path) else Path(_text(value))).expanduser()
    except RuntimeError as exc:  # no home folder
        raise ValueError from exc


def integer(least: int) -> Kind:
    """Return the kind of a whole number, ``least`` or more."""
    return Kind(f"a whole number, {least} or more", lambda v: _number(v, int, least))


def number(least: float) -> Kind:
    """Return the kind of a finite number, ``least`` or more."""
    return Kind(f"a number, {least:g} or more", lambda v: _number(v, float, least))


def choice(*words: str) -> Kind:
    """Return the kind of one word out of ``words``; capitals do not matter."""
    known = {word: word for word in words}
    return Kind(f"one of {', '.join(words)}", lambda v: _word(v, known))


TEXT = Kind("a text that is not empty", _text)
FLAG = Kind("true or false", lambda v: _word(v, _WORDS), lambda v: str(v).lower())
SIZE = Kind("a size like 1.5GiB, 256MB or a number of bytes", _size, _show_size)
PATH = Kind("a path", _path)


def setting(default: object, kind: Kind, doc: str, *, secret: bool = False) -> Any:
    """Declare one setting; ``default`` may be a function, ``doc`` is one sentence."""
    metadata = {"doc": doc, "kind": kind, "secret": secret}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


def _user_dir(kind: str) -> Path:
    import platformdirs

    find = platformdirs.user_cache_path if kind == "cache" else platformdirs.user_config_path
    return find("superres", appauthor=False)


def _scratch_dir() -> Path:
    return Path(tempfile.gettempdir())


_PRECISION = choice("auto", "f16", "bf16", "f32")


@dataclass(frozen=True)
class EngineSettings:
    """What computes, and with how much of the machine. Sizes are in bytes."""

    device: str = setting("auto", TEXT, "Where networks run: auto, or a device's name such as cpu.")
    precision: str = setting("auto", _PRECISION, "Arithmetic; auto is the fastest exact enough.")
    streams: int = setting(0, integer(0), "Tiles computed at the same time; 0 chooses itself.")
    threads: int = setting(0, integer(0), "Processor threads in all; 0 takes every core.")
    memory_ceiling: int = setting(3 << 29, SIZE, "Memory that one upscale may take in all.")
    cache_dir: Path = setting(
        lambda: _user_dir("cache"), PATH, "Folder of compiled networks, for a quick next start."
    )
    cache_size: int = setting(1 << 30, SIZE, "What cache_dir may hold before the oldest files go.")
    scratch_dir: Path = setting(_scratch_dir, PATH, "Folder for results too large for memory.")


@dataclass(frozen=True)
class LimitsSettings:
    """What is refused rather than tried."""

    max_input_bytes: int = setting(256 << 20, SIZE, "Largest file that is read.")
    max_input_pixels: int = setting(1 << 28, integer(1), "Most pixels a picture read may have.")
    max_output_pixels: int = setting(1 << 32, integer(1), "Most pixels a result may have.")
    max_side: int = setting(65_535, integer(1), "Longest side of a picture or result, in pixels.")
    max_metadata_bytes: int = setting(
        16 << 20, SIZE, "Most bytes of colour profile, EXIF and XMP together."
    )


@dataclass(frozen=True)
class ModelsSettings:
    """Which network does the work."""

    default: str = setting("general", TEXT, "Model used when none is named.")


@dataclass(frozen=True)
class Settings:
    """All settings; ``sources`` tells where each one that is not a default came from."""

    engine: EngineSettings = field(default_factory=EngineSettings)
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    models: ModelsSettings = field(default_factory=ModelsSettings)
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


S = TypeVar("S", bound=Settings)


class Described(NamedTuple):
    """One setting, in words; a secret shows as ``****``."""

    name: str
    value: str
    default: str
    doc: str
    source: str


class _Given(NamedTuple):
    """A value as found: ``written`` is its name there, ``base`` what a path is relative to."""

    name: str
    value: object
    written: str
    source: str
    base: Path = Path()


def load(
    config: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Gather the settings from file, environment and ``overrides``.

    Args:
        config: the settings file; None looks in the current folder, then in the user's.
        overrides: ``"section.name"`` to value; None as a value means "not given".
        environ: the environment to read.

    Raises:
        BadParameter: an unknown name or a wrong value, saying where it came from and what
            is expected there, or a ``config`` that cannot be read.
    """
    return _load(Settings, config, overrides or {}, environ)


def describe(settings: Settings) -> list[Described]:
    """Return every setting with its value, default, meaning and source, secrets hidden."""
    rows = []
    for name, item in _declared(type(settings)).items():
        section, _, key = name.partition(".")
        default = item.default if item.default_factory is MISSING else item.default_factory()
        value = getattr(getattr(settings, section), key)
        show = _hide if item.metadata["secret"] else item.metadata["kind"].show
        source = settings.sources.get(name, "default")
        rows.append(Described(name, show(value), show(default), item.metadata["doc"], source))
    return rows


def _hide(value: object) -> str:
    return "****" if value else ""


def _sections(cls: type) -> dict[str, Any]:
    return {f.name: f.default_factory for f in fields(cls) if f.name != "sources"}


def _declared(cls: type) -> dict[str, Field[Any]]:
    """Return ``"section.name"`` to field, of every section of ``cls``."""
    sections = _sections(cls).items()
    return {f"{name}.{f.name}": f for name, section in sections for f in fields(section)}


def _load(
    cls: type[S], config: Path | None, overrides: Mapping[str, object], environ: Mapping[str, str]
) -> S:
    declared = _declared(cls)
    sections = _sections(cls)
    values: dict[str, dict[str, object]] = {name: {} for name in sections}
    sources: dict[str, str] = {}
    for found in (
        _from_file(config, sections),
        _from_environment(environ),
        _from_caller(overrides),
    ):
        for given in found:
            if given.name not in declared:
                raise _unknown(given, list(declared))
            section, _, key = given.name.partition(".")
            values[section][key] = _parsed(given, declared[given.name])
            sources[given.name] = given.source
    built: Any = {name: make(**values[name]) for name, make in sections.items()}
    return cls(**built, sources=sources)


def _from_file(config: Path | None, known: Mapping[str, object]) -> Iterator[_Given]:
    usual = (Path(FILE_NAME), _user_dir("config") / FILE_NAME)
    path = config or next((path for path in usual if path.is_file()), None)
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise BadParameter(f"The settings file {path} cannot be read: {exc.strerror}.") from exc
    except ValueError as exc:  # not TOML, or not UTF-8
        raise BadParameter(f"The settings file {path} is not valid TOML: {exc}.") from exc
    for section, entries in content.items():
        table = isinstance(entries, dict) and (entries or section in known)
        for key, value in entries.items() if table else [("", entries)]:
            name = f"{section}.{key}" if key else section
            yield _Given(name, value, name, str(path), path.absolute().parent)


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Given]:
    for written, value in environ.items():
        if written.startswith(PREFIX) and not written.startswith(TEST_PREFIX):
            name = written.removeprefix(PREFIX).replace("__", ".", 1).lower()
            yield _Given(name, value, written, "environment")


def _from_caller(overrides: Mapping[str, object]) -> Iterator[_Given]:
    for name, value in overrides.items():
        if value is not None:
            yield _Given(name, value, name, "command line")


def _unknown(given: _Given, declared: list[str]) -> BadParameter:
    known = {name: name for name in declared}
    if given.source == "environment":
        known = {PREFIX + name.upper().replace(".", "__"): name for name in declared}
    close = difflib.get_close_matches(given.written, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}."
    return BadParameter(f"{given.written} ({given.source}) is not a setting; {hint}")


def _parsed(given: _Given, item: Field[Any]) -> object:
    kind: Kind = item.metadata["kind"]
    try:
        value = kind.parse(given.value)
    except (ValueError, OverflowError):
        got = "" if item.metadata["secret"] else f", not {given.value!r}"
        message = f"{given.written} ({given.source}) expects {kind.expects}{got}."
        raise BadParameter(message) from None
    return (given.base / value).absolute() if isinstance(value, Path) else value
