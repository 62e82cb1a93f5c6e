"""Networks that restore faces: what is known of those that superres can run.

Their weights do not come along (see ``restorers.toml``); which are there is told by
``superres.models.installed``.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from superres.errors import ModelNotFound


@dataclass(frozen=True)
class RestorerDescriptor:
    """One entry of ``restorers.toml``.

    Attributes:
        name: what people type.
        title: the name its authors gave it.
        architecture: "GFPGAN", "RestoreFormer" or "CodeFormer".
        purpose: what it is for, one sentence.
        licence: of the weights, in a word.
        commercial: whether the licence allows commercial use; if not, it has to be accepted.
        terms: what is shown before the weights are added.
        provenance: authors and publication.
        url: where the authors publish the weights.
        size, sha256: of that file.
        source: where address and digest stand in public.
    """

    name: str
    title: str
    architecture: str
    purpose: str
    licence: str
    commercial: bool
    terms: str
    provenance: str
    url: str
    size: int
    sha256: str
    source: str


@cache
def list_restorers() -> tuple[RestorerDescriptor, ...]:
    """Every network of ``restorers.toml``, in its order."""
    text = resources.files("superres.models").joinpath("restorers.toml").read_text("utf-8")
    return tuple(RestorerDescriptor(**entry) for entry in tomllib.loads(text)["restorer"])


def get_restorer(name: str) -> RestorerDescriptor:
    """The network called ``name``.

    Raises:
        ModelNotFound: there is none; the message names the nearest.
    """
    for each in list_restorers():
        if each.name == name:
            return each
    raise unknown_restorer(name, [each.name for each in list_restorers()])


def restorer_of(architecture: str) -> RestorerDescriptor:
    """The network of that architecture.

    Raises:
        LookupError: superres runs none.
    """
    for each in list_restorers():
        if each.architecture == architecture:
            return each
    raise LookupError(architecture)


def unknown_restorer(name: str, known: Iterable[str]) -> ModelNotFound:
    """The error for a name that is none of ``known``; it names the nearest."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name[:64], names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
    return ModelNotFound(f"There is no network {name[:64]!a} that restores faces; {hint}")
