"""Handing a job in: once, even if the request comes twice."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from starlette.requests import Request

from superres.access import Caller
from superres.app import App
from superres.errors import BadParameter, JobExpired
from superres.jobs import Callback, FromFile, FromUrl, Job, NewItem, NewJob, Recipe
from superres.server.identity import is_foreign
from superres.server.jobs import base_url, owner_of
from superres.server.v1.errors import DOOR
from superres.server.v1.jobs.answers import BASE, WEBHOOK
from superres.server.v1.jobs.asked import Asked
from superres.sources import object_address

KEY = "Idempotency-Key"
"""Header of draft-ietf-httpapi-idempotency-key-header, whose value is taken as it stands."""

KEY_PATTERN = r"[\x20-\x7e]{1,255}"
_HANDED_IN = "handed_in"


def key_of(request: Request) -> str | None:
    """The idempotency key of a request; None if it has none.

    Raises:
        BadParameter: it is not 1 to 255 printable ASCII characters, or there are two.
    """
    given = request.headers.getlist(KEY)
    if not given:
        return None
    if len(given) > 1 or not re.fullmatch(KEY_PATTERN, given[0]):
        raise BadParameter(f"{KEY} must be one text of 1 to 255 printable ASCII characters.")
    return given[0]


class HandIn:
    """One job to be handed in.

    Args:
        app: that takes it.
        request: that brought it.
        caller: who made the request.
        key: its idempotency key.
    """

    def __init__(self, app: App, request: Request, caller: Caller, key: str | None) -> None:
        self._app, self._caller, self._key = app, caller, key
        self._base = base_url(request)
        # Without a credential any page of the web may ask, from the browser of somebody inside.
        self._trusted = caller.id is not None or not is_foreign(request)

    def submit(self, asked: Asked) -> tuple[Job, bool]:
        """Hand it in; whether it was there already comes second. Blocks: for a thread.

        What it costs of the caller's quota is given back if it is not taken, or was already.

        Raises:
            PermissionDenied: an object that the caller may not read.
            BadParameter: the same key with another request.
            JobExpired: the job that was handed in with this key is over.
            QuotaExceeded: the caller's plan has not as many pictures left.
            Overloaded: too many pictures wait.
            StorageError, OutputError: it could not be kept.
        """
        new = self._job(asked)
        job = self._app.jobs.handed_in(new)
        if job is None:
            spent = self._app.access.spend(self._caller, len(new.items))
            try:
                job = self._app.jobs.submit(new)
            except BaseException:
                self._app.access.give_back(spent)
                raise
            if job.details.get(_HANDED_IN) == new.details[_HANDED_IN]:
                return job, False
            # Somebody was quicker with the same key.
            self._app.access.give_back(spent)
        if job.expires_at is not None and job.expires_at <= job.now:
            raise JobExpired(
                f"The job that was handed in with this {KEY} is over, and its results are gone; "
                "choose a new key."
            )
        return job, True

    def _job(self, asked: Asked) -> NewJob:
        fields = asked.fields
        recipe = Recipe(options=fields.options(self._app.settings))
        callback = None
        if fields.webhook is not None:
            callback = Callback(fields.webhook, signed_by=self._caller.id)
        return NewJob(
            door=DOOR,
            owner=owner_of(self._caller),
            items=[NewItem(self._source(p.source), recipe, p.stem) for p in asked.pictures],
            priority=fields.priority,
            idempotency_key=self._key,
            fingerprint=None if self._key is None else asked.fingerprint(),
            callback=callback,
            details={
                BASE: self._base,
                WEBHOOK: callback is not None,
                _HANDED_IN: uuid.uuid4().hex,
            },
        )

    def _source(self, source: str | Path) -> FromUrl | FromFile:
        if not isinstance(source, str):
            return FromFile(source)
        place = object_address(source)
        if place is None or self._caller.id is None:
            return FromUrl(source, trusted=self._trusted)
        self._app.access.authorise(self._caller, "s3:GetObject", "/".join(place))
        return FromUrl(source, may_read=True, trusted=self._trusted)
