"""What is read from the store, compared with what was kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from superres.errors import StorageError


class Damaged(StorageError):
    """What is in the store is not what was kept; asking again does not help."""


class Digest(Protocol):
    """One of hashlib's."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Of all bytes so far, in hexadecimal."""


Wrong = Callable[[str], Damaged]
"""Makes the error, of what is wrong."""


def counted(chunks: Iterator[bytes], length: int, wrong: Wrong) -> Iterator[bytes]:
    """Yield the chunks.

    Raises:
        Damaged: they have fewer than ``length`` bytes.
    """
    for chunk in chunks:
        length -= len(chunk)
        yield chunk
    if length > 0:
        raise wrong("it ends too early")


def verified(
    chunks: Iterator[bytes], digest: Digest, expected: str, wrong: Wrong
) -> Iterator[bytes]:
    """Yield the chunks, each one late, so that the last comes after the comparison.

    Args:
        chunks: of all of a file.
        digest: new, without bytes.
        expected: what it must come to, in hexadecimal.
        wrong: makes the error.

    Raises:
        Damaged: it came to something else.
    """
    held = b""
    for chunk in chunks:
        if held:
            yield held
        digest.update(chunk)
        held = chunk
    if digest.hexdigest() != expected:
        raise wrong("its content has changed")
    if held:
        yield held
