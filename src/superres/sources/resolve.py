"""From a name to the addresses that may be connected to."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

from superres.errors import SourceRefused, SourceUnreachable
from superres.sources.addresses import Address, Network, may_connect
from superres.sources.urls import Url
from superres.sources.watch import Watch

# The system's resolver cannot be interrupted. Those that nobody waits for any more are
# bounded, so that names which never answer cannot fill the process with threads.
_LOOKUPS = threading.BoundedSemaphore(64)


class Resolver(Protocol):
    """Where names are looked up."""

    def resolve(self, host: str) -> Sequence[str]:
        """Return the addresses of a name, the best first; OSError if there are none."""


class SystemResolver:
    """The operating system's resolver, with everything that is configured there."""

    def resolve(self, host: str) -> Sequence[str]:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [str(entry[4][0]) for entry in found]


def addresses_of(
    url: Url, resolver: Resolver, allowed: Sequence[Network], watch: Watch
) -> list[Address]:
    """Return the addresses of the host, each of which may be connected to, the best first.

    A name is looked up once, and what is returned is what must be connected to: asking again
    may give another answer (DNS rebinding).

    Raises:
        SourceRefused: one of the addresses is not public, nor in ``allowed``. One is enough,
            for an attacker's name gives a public one beside it.
        SourceUnreachable: there is no such name, or no answer in time.
    """
    found = [url.address] if url.address is not None else _look_up(url.host, resolver, watch)
    if not all(may_connect(address, allowed) for address in found):
        raise SourceRefused(
            f"{url.host} is in a private or reserved network, which is not connected to; if that "
            "is meant, add the network to [sources] allow_networks."
        )
    return found


def _look_up(host: str, resolver: Resolver, watch: Watch) -> list[Address]:
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolver.resolve(host))
        except Exception as exc:  # noqa: BLE001 - given to whoever waits
            answers.put(exc)
        finally:
            _LOOKUPS.release()

    while not _LOOKUPS.acquire(timeout=watch.glance()):
        pass
    try:
        threading.Thread(target=ask, name="superres-resolve", daemon=True).start()
    except RuntimeError as exc:  # the system gives no more threads
        _LOOKUPS.release()
        raise SourceUnreachable("Too many fetches at once; try again in a moment.") from exc
    answer: Sequence[str] | Exception | None = None
    while answer is None:
        with contextlib.suppress(queue.Empty):
            answer = answers.get(timeout=watch.glance())
    if isinstance(answer, OSError | UnicodeError):
        raise SourceUnreachable(f"There is no host {host}; check the address.") from answer
    if isinstance(answer, Exception):
        raise answer
    try:
        found = list(dict.fromkeys(ip_address(text) for text in answer))
    except ValueError as exc:
        raise SourceUnreachable(f"The host {host} has no address that is one.") from exc
    if not found:
        raise SourceUnreachable(f"There is no host {host}; check the address.")
    return found
