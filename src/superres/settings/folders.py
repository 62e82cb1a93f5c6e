"""The user's own folders, as the platform has them."""

from __future__ import annotations

from pathlib import Path


def user_dir(kind: str) -> Path:
    """Return the folder for superres' "cache", "config" or "data"."""
    import platformdirs

    dirs = platformdirs.PlatformDirs("superres", appauthor=False)
    return {
        "cache": dirs.user_cache_path,
        "config": dirs.user_config_path,
        "data": dirs.user_data_path,
    }[kind]
