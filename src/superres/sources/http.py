"""Fetching from the web, without being made to fetch from within (SSRF).

What is promised, and why it is done on plain sockets: docs/decisions/0008-fetching.md.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from superres.errors import SourceUnreachable
from superres.settings import SourcesSettings
from superres.sources.addresses import networks
from superres.sources.connect import connect
from superres.sources.exchange import Exchange
from superres.sources.limit import Limit
from superres.sources.resolve import Resolver, addresses_of
from superres.sources.urls import Url, join, parse
from superres.sources.watch import Watch
from superres.storage import whole_file


class HttpSource:
    """Fetches files from http and https addresses; safe to use from several threads.

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

    def fetch(self, address: str, target: Path, limit: Limit, watch: Watch) -> int:
        """Write what is at the address to ``target``; return how many bytes that is.

        Nothing is left at ``target`` when it fails.

        Raises:
            SourceRefused: the address, or one that it redirects to, is not understood, or
                leads into a network that is not allowed.
            SourceUnreachable: nothing usable came, or not in time.
            SourceTooLarge: more was announced, or came, than ``limit`` allows.
        """
        url = parse(address)
        for _ in range(self._max_redirects + 1):
            found = self._follow(url, target, limit, watch)
            if isinstance(found, int):
                return found
            url = found
        raise SourceUnreachable(
            f"{url.host} is one redirect too many; [sources] max_redirects is "
            f"{self._max_redirects}."
        )

    def _follow(self, url: Url, target: Path, limit: Limit, watch: Watch) -> int | Url:
        """Return the size of what was written to ``target``, or where else it is."""
        addresses = addresses_of(url, self._resolver, self._allowed, watch)
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
