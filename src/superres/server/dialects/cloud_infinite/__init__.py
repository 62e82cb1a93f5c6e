"""Tencent Cloud COS with Cloud Infinite: a bucket that super-resolves.

Follows ``shared/contracts/cloud_infinite.md``.
"""

from superres.server.dialects.cloud_infinite.routes import DOOR, BucketRoute

__all__ = ["DOOR", "BucketRoute"]
