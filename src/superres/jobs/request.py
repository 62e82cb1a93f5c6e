"""What is handed in, and how it is written down until somebody does it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from superres.errors import BadParameter
from superres.executors.recipe import Recipe, Rules
from superres.imageio import OutputOptions
from superres.pipeline import UpscaleOptions


@dataclass(frozen=True)
class FromUrl:
    """A picture to be fetched when its turn comes.

    Attributes:
        url: ``http(s)://…`` or ``s3://bucket/key``.
        may_read: the caller was allowed to read that object; False for callers without a
            credential, who may read public buckets only.
        trusted: see :meth:`superres.sources.Sources.fetch`.
        timeout: seconds for the fetch, if less than ``[sources] timeout``.
    """

    url: str
    may_read: bool = False
    trusted: bool = True
    timeout: float | None = None


@dataclass(frozen=True)
class FromFile:
    """A picture that came along; the file is moved into the store when it is handed in.

    Attributes:
        path: the file.
    """

    path: Path


@dataclass(frozen=True)
class NewItem:
    """A picture that is handed in; ``name`` is the stem of its result's name."""

    source: FromUrl | FromFile
    recipe: Recipe
    name: str = "image"


@dataclass(frozen=True)
class Callback:
    """Somebody to be told when a job has ended.

    Attributes:
        url: an http(s) address; a POST goes there, tried again with growing pauses.
        trusted: see :meth:`superres.sources.Sources.fetch`.
        signed_by: a credential's id, whose secret signs; None sends it unsigned.
    """

    url: str
    trusted: bool = True
    signed_by: str | None = None


@dataclass(frozen=True)
class NewJob:
    """A job that is handed in.

    Attributes:
        door: of whom, such as "v1".
        owner: a credential's id; empty for callers without one.
        items: 1 to ``[jobs] max_items`` pictures.
        priority: 0…9; 9 is the most urgent.
        idempotency_key: handed in again with the same key, the first job is given back; None
            makes a new one each time.
        fingerprint: of the request; the same key with another one is refused.
        callback: whom to tell at the end.
        details: the door's own, JSON; found again in :attr:`superres.jobs.job.Job.details`.
        max_wait, max_run, lifetime: seconds; None takes the settings'. ``max_run`` is for one
            picture, ``lifetime`` that of the results.
    """

    door: str
    owner: str
    items: Sequence[NewItem]
    priority: int = 5
    idempotency_key: str | None = None
    fingerprint: str | None = None
    callback: Callback | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    max_wait: float | None = None
    max_run: float | None = None
    lifetime: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.priority <= 9:
            raise BadParameter(f"priority is {self.priority}; it must be 0 to 9.")


@dataclass(frozen=True)
class FromBlob:
    """A picture in the store, as :class:`FromFile` is written down."""

    blob_id: str


Stored = FromUrl | FromBlob


def source_to_json(source: Stored) -> str:
    """Write down where a picture is."""
    kind = "url" if isinstance(source, FromUrl) else "blob"
    return json.dumps({"kind": kind, **asdict(source)})


def source_from_json(text: str) -> Stored:
    """Read what :func:`source_to_json` wrote."""
    record: dict[str, Any] = json.loads(text)
    return FromUrl(**record) if record.pop("kind") == "url" else FromBlob(**record)


def recipe_to_json(recipe: Recipe) -> str:
    """Write down what is to be done.

    Options that are as usual are left out, so that an older version, which does not know all of
    them, can read a picture's that does not need the new ones.
    """
    record, usual = asdict(recipe), asdict(UpscaleOptions())
    options = record["options"]
    output = _unusual(options.pop("output"), usual.pop("output"))
    record["options"] = {**_unusual(options, usual), "output": output}
    return json.dumps(record)


def _unusual(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != usual[name]}


def recipe_from_json(text: str) -> Recipe:
    """Read what :func:`recipe_to_json` wrote.

    Raises:
        BadParameter: it has what this version does not know.
        ModelNotFound: its model is not on this machine.
    """
    record: dict[str, Any] = json.loads(text)
    try:
        options: dict[str, Any] = record["options"]
        rules: dict[str, Any] = record["rules"]
        return Recipe(
            UpscaleOptions(**{**options, "output": OutputOptions(**options["output"])}),
            Rules(**{**rules, "formats": tuple(rules["formats"])}),
            tuple((int(side), float(scale)) for side, scale in record["ladder"]),
            tuple(record["keep_formats"]),
        )
    except (TypeError, KeyError) as exc:
        raise BadParameter(
            "This picture was handed in to another version of superres than the one that was to "
            "do it, with options that this one does not know; hand it in again when all machines "
            "have the same."
        ) from exc


def callback_to_json(callback: Callback) -> str:
    """Write down whom to tell."""
    return json.dumps(asdict(callback))


def callback_from_json(text: str) -> Callback:
    """Read what :func:`callback_to_json` wrote."""
    return Callback(**json.loads(text))
