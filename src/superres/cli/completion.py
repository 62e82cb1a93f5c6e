"""Words that the shell offers after Tab."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


def model_names(incomplete: str) -> Iterator[tuple[str, str]]:
    """Models, those that were added too, each with what it is for."""
    from superres.errors import SuperresError
    from superres.models.catalog import attach, list_models
    from superres.settings import load

    with contextlib.suppress(SuperresError):  # a setting is wrong; the command itself says so
        attach(load().models.weights_dir)
    for model in list_models():
        if model.name.startswith(incomplete):
            yield model.name, model.purpose


def restorers(incomplete: str) -> Iterator[tuple[str, str]]:
    """Networks that restore faces and are installed, each with what it is for."""
    from superres.errors import SuperresError
    from superres.faces.restore import installed
    from superres.settings import load

    try:
        found = installed(load())
    except SuperresError:  # a setting is wrong; the command itself says so
        return
    yield from _matching(incomplete, {each.name: each.purpose for each in found})


def published(incomplete: str) -> Iterator[tuple[str, str]]:
    """Networks that restore faces and can be fetched, each with what it is for."""
    from superres.models.restorers import list_restorers

    yield from _matching(incomplete, {each.name: each.purpose for each in list_restorers()})


def added(incomplete: str) -> Iterator[tuple[str, str]]:
    """Weights and models that were added, each with what they are."""
    from superres.errors import SuperresError
    from superres.models.installed import WeightsFolder
    from superres.settings import load

    try:
        folder = WeightsFolder(load().models.weights_dir)
        found = {each.name: each.architecture for each in folder.list()}
        found |= {each.name: each.architecture for each in folder.models()}
    except SuperresError:
        return
    yield from _matching(incomplete, found)


def any_names(incomplete: str) -> Iterator[tuple[str, str]]:
    """Whatever ``superres models info`` can tell of."""
    told = dict(added(incomplete)) | dict(published(incomplete)) | dict(model_names(incomplete))
    yield from told.items()


def formats(incomplete: str) -> Iterator[tuple[str, str]]:
    """Formats that are written."""
    yield from _matching(
        incomplete,
        {
            "png": "exact",
            "jpeg": "small",
            "webp": "small, or exact with --lossless",
            "tiff": "exact",
        },
    )


def devices(incomplete: str) -> Iterator[tuple[str, str]]:
    """Where networks run."""
    yield from _matching(
        incomplete,
        {
            "auto": "a GPU if it is faster, else the processor",
            "cpu": "the processor",
            "cuda": "the first GPU of NVIDIA or AMD",
            "cuda:0": "that GPU; cuda:0,cuda:1 takes both",
            "mps": "Apple's GPU",
            "torch": "the processor, by PyTorch",
        },
    )


def precisions(incomplete: str) -> Iterator[tuple[str, str]]:
    """Arithmetic."""
    words = {"auto": "the fastest that is exact enough", "f16": "half", "bf16": "brain float"}
    yield from _matching(incomplete, words | {"f32": "single: slowest, exact"})


def _matching(incomplete: str, words: dict[str, str]) -> Iterator[tuple[str, str]]:
    return ((word, told) for word, told in words.items() if word.startswith(incomplete))
