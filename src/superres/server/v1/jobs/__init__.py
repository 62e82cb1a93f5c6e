"""``/v1/jobs``: many pictures at once, handed in now and done later."""

from superres.server.v1.jobs.answers import told
from superres.server.v1.jobs.routes import add_routes

__all__ = ["add_routes", "told"]
