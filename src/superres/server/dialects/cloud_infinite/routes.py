"""The door's one route, and the order in which a request is served."""

from __future__ import annotations

import re
from dataclasses import replace

from fastapi import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from superres.app import App
from superres.errors import BucketNotFound
from superres.server.dialects.cloud_infinite import answers, auth
from superres.server.dialects.cloud_infinite.addressing import Addresses, is_bucket_name
from superres.server.dialects.cloud_infinite.call import Address, Call, Query
from superres.server.dialects.cloud_infinite.operations import choose
from superres.server.errors import guard
from superres.server.work import in_thread

DOOR = "cloud_infinite"
_SIGNING = re.compile("(?:q-signature|security-token)=", re.IGNORECASE)


class BucketRoute(BaseRoute):
    """Every method and every path of the hosts of buckets; paths are keys, taken as they came.

    To stand before all other routes, which would take some keys for paths of their own.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        settings = app.settings.cloud_infinite
        self._addresses = Addresses(settings.suffixes, settings.default_bucket)
        self._handle = guard(self._serve, answers.refusal, DOOR)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is this door's."""
        ours = scope["type"] == "http" and self._addresses.ours(scope)
        return (Match.FULL if ours else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        request = Request(scope, receive)
        response = await self._handle(request)
        await response(scope, receive, send)

    async def _serve(self, request: Request) -> Response:
        app = self._app
        address = request.state.address = self._addresses.read(request.scope)
        _note(request, address)
        query = Query(request.scope["query_string"])
        caller = await auth.caller_of(app, request, address)
        call = Call(app, request, address, query.unfolded(), caller)
        operation = choose(call)
        if operation.needs_bucket:
            if address.bucket is None:
                raise BucketNotFound("The host names no bucket; use <bucket>.<suffix>.")
            call = replace(call, bucket=await in_thread(app.buckets.get, address.bucket))
        request.state.processed = operation.processed
        if operation.action is not None:
            await auth.authorise(call, operation.action, operation.resource(call))
        return await operation.serve(call)


def _note(request: Request, address: Address) -> None:
    """Say in the log what bucket it is about; and nothing that signs, wherever it was put."""
    if address.bucket is not None and is_bucket_name(address.bucket):
        request.state.bucket = address.bucket
    if _SIGNING.search(address.key):
        request.state.shown_path = "/… (an address that was escaped too often)"
