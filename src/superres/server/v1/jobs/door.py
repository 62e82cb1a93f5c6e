"""What the routes of ``/v1/jobs`` do."""

from __future__ import annotations

import re

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from superres.access import Caller
from superres.app import App
from superres.errors import JobNotFound
from superres.jobs import Job, State
from superres.server.jobs import owner_of
from superres.server.v1 import events
from superres.server.v1.auth import authorise
from superres.server.v1.errors import DOOR
from superres.server.v1.fields import once
from superres.server.v1.jobs import schemas
from superres.server.v1.jobs.answers import described
from superres.server.v1.jobs.fields import JOB_ID, ListFields
from superres.server.v1.jobs.handing import HandIn, key_of
from superres.server.v1.jobs.intake import Intake
from superres.server.v1.jobs.watch import Followed, Watches, event
from superres.server.work import in_thread, scratch_folder

RESOURCE = "v1/jobs"
LAST_EVENT = "Last-Event-ID"
_VERSION = re.compile(r"[0-9]{1,18}")
_NO_STORE = {"Cache-Control": "no-store"}


class JobsDoor:
    """The handlers of one application's routes."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._intake = Intake(app)
        self.watches = Watches(app)

    async def create(self, request: Request) -> Response:
        """Send pictures, or say where they are. The answer comes when they are taken in for
        good; what becomes of them is told by the job.
        """
        app = self._app
        caller = await authorise(request, app, "superres:CreateJob", RESOURCE)
        key = key_of(request)
        await in_thread(app.access.pace, caller)
        async with scratch_folder(app) as folder:
            asked = await self._intake.take(request, folder, caller)
            hand_in = HandIn(app, request, caller, key)
            job, again = await in_thread(hand_in.submit, asked)
        public = app.settings.server.public_url.rstrip("/")
        headers = {"Location": f"{public}/v1/jobs/{job.id}"}
        if again:
            headers["Idempotent-Replayed"] = "true"
        return await self._answer(job, 202, headers)

    async def list(self, request: Request) -> Response:
        """The caller's jobs, the newest first."""
        app = self._app
        caller = await authorise(request, app, "superres:ListJobs", RESOURCE)
        fields = ListFields.of_text(once(request.query_params.multi_items()))

        def load() -> schemas.Jobs:
            found = app.jobs.list(
                owner=owner_of(caller),
                door=DOOR,
                state=None if fields.state is None else State(fields.state),
                limit=fields.limit + 1,
                before=fields.before,
            )
            shown = found[: fields.limit]
            return schemas.Jobs(
                jobs=[described(app, job) for job in shown],
                next=shown[-1].id if len(found) > len(shown) else None,
            )

        listed = await in_thread(lambda: load().model_dump(mode="json"))
        return JSONResponse(listed, headers=_NO_STORE)

    async def get(self, request: Request) -> Response:
        """A job as it stands, with a link to each picture that is done."""
        return await self._answer(await self._find(request))

    async def cancel(self, request: Request) -> Response:
        """What waits is not begun, and what runs is stopped; what is done stays, until the
        job's time is over. A job that is finished stays as it is.
        """
        caller, job_id = await self._named(request, "superres:CancelJob")
        job = await in_thread(self._app.jobs.cancel, job_id, owner=owner_of(caller), door=DOOR)
        return await self._answer(job)

    async def delete(self, request: Request) -> Response:
        """Stop what runs, and forget the job and all its pictures at once."""
        caller, job_id = await self._named(request, "superres:DeleteJob")
        await in_thread(self._app.jobs.delete, job_id, owner=owner_of(caller), door=DOOR)
        return Response(status_code=204, headers=_NO_STORE)

    async def events(self, request: Request) -> Response:
        """The job now and at every change, at most twice a second, until it is finished."""
        job = await self._find(request)
        latest = await in_thread(event, self._app, job)
        given = request.headers.get(LAST_EVENT, "")
        known = int(given) if _VERSION.fullmatch(given) else None
        if not job.state.final:
            return Followed(self.watches, request, job, latest, known)
        if known == job.version:
            # Browsers ask again after the end, until they are told so.
            return Response(status_code=204, headers=_NO_STORE)
        return Response(latest, headers=events.HEADERS, media_type=events.MEDIA_TYPE)

    async def _find(self, request: Request) -> Job:
        caller, job_id = await self._named(request, "superres:GetJob")
        return await in_thread(self._app.jobs.get, job_id, owner=owner_of(caller), door=DOOR)

    async def _named(self, request: Request, action: str) -> tuple[Caller, str]:
        """Who asks, and of which job."""
        caller = await authorise(request, self._app, action, RESOURCE)
        job_id: str = request.path_params["job_id"]
        if not JOB_ID.fullmatch(job_id):
            raise JobNotFound("There is no such job.")
        return caller, job_id

    async def _answer(
        self, job: Job, status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        answered = await in_thread(lambda: described(self._app, job).model_dump(mode="json"))
        return JSONResponse(answered, status, {**_NO_STORE, **(headers or {})})
