"""Faces: find them, keep them recognisable, and restore them when somebody asks for it."""

from superres.faces.face import Face, FaceReport, Tier

__all__ = ["Face", "FaceReport", "Tier"]
