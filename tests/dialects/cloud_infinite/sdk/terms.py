"""What tests with either SDK speak of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

REGION = "ap-test"
SUPER_RESOLUTION = "AISuperResolution"


class Refusal(Exception):
    """An error as an SDK reports it.

    Attributes:
        code, message, status, request_id: ``code`` of a HEAD is the SDK's own invention.
        sent: how many requests were sent.
        fields: what the SDK says besides.
    """

    def __init__(
        self, code: str, message: str, status: int, request_id: str, sent: int, fields: Any
    ) -> None:
        super().__init__(f"{status} {code}: {message} ({sent} requests)")
        self.code, self.message, self.status = code, message, status
        self.request_id, self.sent, self.fields = request_id, sent, fields


class Page(NamedTuple):
    """A page of a listing."""

    keys: list[str]
    prefixes: list[str]
    next_marker: str | None
    content: dict[str, Any]


@dataclass(frozen=True)
class Identity:
    """Who signs; ``clock`` is by how many seconds his clock is wrong."""

    id: str
    secret: str
    token: str | None = None
    clock: float = 0.0
    anonymous: bool = False


def rule(fileid: str, magnify: int | None = None, **more: str) -> dict[str, str]:
    """A rule of Pic-Operations."""
    how = f"ci-process={SUPER_RESOLUTION}" + (f"&magnify={magnify}" if magnify else "")
    return {"fileid": fileid, "rule": how, **more}


def operations(*rules: dict[str, str], info: int | None = None) -> str:
    """The header Pic-Operations."""
    content: dict[str, object] = {"rules": [*rules]}
    return json.dumps(content if info is None else {"is_pic_info": info, **content})
