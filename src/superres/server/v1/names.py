"""What a result is called; see :mod:`superres.server.names`, which every door uses."""

from superres.server.names import DEFAULT_STEM, disposition, stem_of, stem_of_address

__all__ = ["DEFAULT_STEM", "disposition", "stem_of", "stem_of_address"]
