"""Words that the shell offers after Tab."""

from __future__ import annotations

from collections.abc import Iterator


def model_names(incomplete: str) -> Iterator[tuple[str, str]]:
    """Models of the catalogue, each with what it is for."""
    from superres.models.catalog import list_models

    for model in list_models():
        if model.name.startswith(incomplete):
            yield model.name, model.purpose


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
    yield from _matching(incomplete, {"auto": "the best there is", "cpu": "the processor"})


def precisions(incomplete: str) -> Iterator[tuple[str, str]]:
    """Arithmetic."""
    words = {"auto": "the fastest that is exact enough", "f16": "half", "bf16": "brain float"}
    yield from _matching(incomplete, words | {"f32": "single: slowest, exact"})


def _matching(incomplete: str, words: dict[str, str]) -> Iterator[tuple[str, str]]:
    return ((word, told) for word, told in words.items() if word.startswith(incomplete))
