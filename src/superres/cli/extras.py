"""A clear word when an optional part is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from superres.errors import EngineUnavailable


@contextmanager
def server_extra() -> Iterator[None]:
    """Turn a missing library of the server into a sentence that says how to install it.

    Raises:
        EngineUnavailable: something of the extra "server" is missing.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is not None and exc.name.startswith("superres"):
            raise
        raise EngineUnavailable(
            f"This needs the server's libraries ({exc.name} is missing): "
            'pip install "superres[server]"'
        ) from exc
