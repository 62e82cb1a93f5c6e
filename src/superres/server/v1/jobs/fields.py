"""What can be asked of jobs, beside what can be asked of each picture."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from superres.access import Caller
from superres.errors import BadParameter
from superres.server.v1.fields import Fields, UpscaleFields

JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What a job's id looks like."""

MAX_ADDRESS = 2048
_HTTP = re.compile(r"https?://", re.IGNORECASE)


class JobFields(UpscaleFields):
    """How the pictures of a job are to be enlarged and stored, and what is said of it beside."""

    priority: Annotated[
        int, Field(ge=0, le=9, description="9 is the most urgent; done before what is less.")
    ] = 5
    webhook: Annotated[
        str | None,
        Field(
            max_length=MAX_ADDRESS,
            description="An https (or http) address that is told when the job has ended; needs "
            "a credential, whose secret signs what is sent. See docs/api.md.",
            examples=["https://example.com/told"],
        ),
    ] = None

    def check_webhook(self, caller: Caller) -> None:
        """Refuse a webhook that cannot be one.

        Raises:
            BadParameter: the caller has no credential, or it is no address.
        """
        if self.webhook is None:
            return
        if caller.id is None:
            raise BadParameter(
                "webhook needs a credential, whose secret signs what is sent; send the header "
                "Authorization: Bearer <token>, or follow the job's events instead."
            )
        if not _HTTP.match(self.webhook) or not self.webhook.isprintable():
            raise BadParameter("webhook must be an address that begins with https://.")


class ListFields(Fields):
    """Which jobs are to be listed."""

    state: Annotated[
        Literal["waiting", "running", "done", "failed", "closed", "timed_out"] | None,
        Field(description="Only those in this state."),
    ] = None
    limit: Annotated[int, Field(ge=1, le=100, description="At most so many.")] = 20
    before: Annotated[
        str | None,
        Field(
            pattern=f"^{JOB_ID.pattern}$",
            description="Only jobs older than this one: `next` of the answer before.",
        ),
    ] = None
