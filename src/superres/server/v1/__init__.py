"""Our own REST API: ``/v1``, its reference at ``/docs``.

Every answer that refuses is ``{"error": {"code", "message", "request_id"}}``, see
:mod:`superres.server.v1.errors`.
"""

from superres.server.v1.errors import DOOR
from superres.server.v1.jobs import told
from superres.server.v1.routes import router

__all__ = ["DOOR", "router", "told"]
