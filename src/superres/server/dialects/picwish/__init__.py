"""PicWish's "scale": ``/tasks/visual/scale`` of the Aliyun market, and PicWish's own door.

``POST /tasks/visual/scale`` answers with the result; ``POST /api/tasks/visual/scale`` does, or
takes a task in that ``GET /api/tasks/visual/scale/{task_id}`` tells of. Follows
``shared/contracts/picwish.md``.
"""

from superres.server.dialects.picwish.answers import told
from superres.server.dialects.picwish.routes import DOOR, router

__all__ = ["DOOR", "router", "told"]
