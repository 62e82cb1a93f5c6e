"""Where a picture comes from when a request does not simply send its bytes, and where somebody
is told what became of it.
"""

from superres.sources.inline import save_base64
from superres.sources.resolve import Resolver
from superres.sources.sources import Sources, object_address

__all__ = ["Resolver", "Sources", "object_address", "save_base64"]
