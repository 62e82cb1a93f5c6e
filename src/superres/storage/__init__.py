"""Objects in buckets."""

from superres.settings import Settings
from superres.storage.layouts import layout
from superres.storage.store import Head, ObjectStore
from superres.storage.whole import whole_file

__all__ = ["Head", "ObjectStore", "open_store", "whole_file"]


def open_store(settings: Settings) -> ObjectStore:
    """Return the store that ``[storage] url`` names; by default a folder in the data folder.

    Raises:
        BadParameter: the URL has a form that is not known.
        StorageError: the folder cannot be made, or S3 not be used as configured.
    """
    return ObjectStore(layout(settings.storage.url, settings.server.data_dir / "objects"))
