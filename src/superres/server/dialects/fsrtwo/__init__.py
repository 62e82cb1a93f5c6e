"""The door of the 8X AI Image Upscaler: ``/v3/pic/fsrtwo``.

``POST …/batch`` takes up to 20 links in, ``GET …/result/{task_id}`` tells how far they are.
Follows ``shared/contracts/fsrtwo.md``.
"""

from superres.server.dialects.fsrtwo.routes import DOOR, router

__all__ = ["DOOR", "router"]
