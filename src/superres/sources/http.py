"""Fetching from the web and posting to it, without being made to do so within (SSRF).

What is promised, and why it is done on plain sockets: docs/decisions/0008-fetching.md.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

from superres.errors import SourceUnreachable
from superres.settings import SourcesSettings
from superres.sources.addresses import Network, networks
from superres.sources.connect import connect
from superres.sources.exchange import Exchange
from superres.sources.limit import Limit
from superres.sources.resolve import Resolver, addresses_of
from superres.sources.urls import Url, join, parse
from superres.sources.watch import Watch
from superres.storage import whole_file


class HttpSource:
    """Fetches files from http and https addresses, and posts to such; safe to use from several
    threads.

    Args:
        settings: limits, and the private networks that are allowed.
        resolver: where names are looked up.
        tls: whom to trust; the system's authorities by default.
    """

    def __init__(
        self, settings: SourcesSettings, resolver: Resolver, tls: ssl.SSLContext | None = None
    ) -> None:
        self._allowed = networks(settings.allow_networks)
        self._max_redirects = settings.max_redirects
        self._resolver = resolver
        self._tls = tls or ssl.create_default_context()

    def fetch(
        self, address: str, target: Path, limit: Limit, watch: Watch, *, trusted: bool = True
    ) -> int:
        """Write what is at the address to ``target``; return how many bytes that is.

        Nothing is left at ``target`` when it fails.

        Args:
            trusted: False: public addresses only, whatever the settings allow.

        Raises:
            SourceRefused: the address, or one that it redirects to, is not understood, or
                leads into a network that is not allowed.
            SourceUnreachable: nothing usable came, or not in time.
            SourceTooLarge: more was announced, or came, than ``limit`` allows.
        """
        url, allowed = parse(address), self._allowed if trusted else ()
        for _ in range(self._max_redirects + 1):
            found = self._follow(url, target, limit, watch, allowed)
            if isinstance(found, int):
                return found
            url = found
        raise SourceUnreachable(
            f"{url.host} is one redirect too many; [sources] max_redirects is "
            f"{self._max_redirects}."
        )

    def post(
        self,
        address: str,
        body: bytes,
        headers: Mapping[str, str],
        watch: Watch,
        *,
        trusted: bool = True,
    ) -> int:
        """Post ``body`` to the address; return the status of the answer.

        Redirects are not followed: what was meant for one is not handed to another.

        Args:
            trusted: False: public addresses only, whatever the settings allow.

        Raises:
            SourceRefused: the address is not understood, or leads into a network that is not
                allowed. Nothing was sent.
            SourceUnreachable: no proper answer came, or not in time.
        """
        url = parse(address)
        addresses = addresses_of(url, self._resolver, self._allowed if trusted else (), watch)
        with connect(url, addresses, self._tls, watch) as connection:
            exchange = Exchange(connection, url)
            response = exchange.hand_in(body, headers)
            exchange.discard()
        return response.status_code

    def _follow(
        self, url: Url, target: Path, limit: Limit, watch: Watch, allowed: Sequence[Network]
    ) -> int | Url:
        """Return the size of what was written to ``target``, or where else it is."""
        addresses = addresses_of(url, self._resolver, allowed, watch)
        with connect(url, addresses, self._tls, watch) as connection:
            exchange = Exchange(connection, url)
            response = exchange.ask()
            location = exchange.redirect(response)
            if location is not None:
                return join(url, location)
            limit.check(exchange.announced(response))
            size = 0
            with whole_file(target) as write:
                for chunk in exchange.content():
                    size += len(chunk)
                    limit.check(size)
                    write(chunk)
                if not size:
                    raise SourceUnreachable(f"{url.host} sent an empty file.")
            return size
