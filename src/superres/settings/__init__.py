"""One frozen ``Settings``, a section per room.

A value comes from, each beating the one before: its default, the file ``superres.toml``
(the one named, else the one in the current folder, else the one in the user's
configuration folder), the environment (``SUPERRES_ENGINE__STREAMS=2``), and what the
caller hands in (the command line). Unknown names are refused wherever they come from, so
that a slip of the pen is never silently ignored; only ``SUPERRES_TEST_…`` is left alone.

This is the only room that reads the environment.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from superres.errors import BadParameter
from superres.settings import folders
from superres.settings.kinds import Kind
from superres.settings.sections import (
    AccessSettings,
    AiSolutionKitSettings,
    BucketsSettings,
    CloudInfiniteSettings,
    DatabaseSettings,
    EngineSettings,
    FacesSettings,
    FsrtwoSettings,
    JobsSettings,
    LimitsSettings,
    ModelsSettings,
    PicwishSettings,
    ServerSettings,
    Settings,
    SourcesSettings,
    StorageSettings,
    WorkersSettings,
)

__all__ = [
    "FILE_NAME",
    "PREFIX",
    "AccessSettings",
    "AiSolutionKitSettings",
    "BucketsSettings",
    "CloudInfiniteSettings",
    "DatabaseSettings",
    "Described",
    "EngineSettings",
    "FacesSettings",
    "FsrtwoSettings",
    "JobsSettings",
    "LimitsSettings",
    "ModelsSettings",
    "PicwishSettings",
    "ServerSettings",
    "Settings",
    "SourcesSettings",
    "StorageSettings",
    "WorkersSettings",
    "describe",
    "load",
]

FILE_NAME = "superres.toml"
PREFIX = "SUPERRES_"
TEST_PREFIX = "SUPERRES_TEST_"
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
        source = settings.origins.get(name, "default")
        rows.append(Described(name, show(value), show(default), item.metadata["doc"], source))
    return rows


def _hide(value: object) -> str:
    return "****" if value else ""


def _sections(cls: type) -> dict[str, Any]:
    return {f.name: f.default_factory for f in fields(cls) if f.name != "origins"}


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
    origins: dict[str, str] = {}
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
            origins[given.name] = given.source
    built: Any = {name: make(**values[name]) for name, make in sections.items()}
    return cls(**built, origins=origins)


def _from_file(config: Path | None, known: Mapping[str, object]) -> Iterator[_Given]:
    usual = (Path(FILE_NAME), folders.user_dir("config") / FILE_NAME)
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
        private = item.metadata["secret"] or kind.guarded
        got = "" if private else f", not {given.value!r}"
        message = f"{given.written} ({given.source}) expects {kind.expects}{got}."
        raise BadParameter(message) from None
    return (given.base / value).absolute() if isinstance(value, Path) else value
