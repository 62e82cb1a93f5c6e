"""Where a picture comes from when a request does not simply send its bytes."""

from superres.sources.inline import save_base64
from superres.sources.resolve import Resolver
from superres.sources.sources import Sources

__all__ = ["Resolver", "Sources", "save_base64"]
