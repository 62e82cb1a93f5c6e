"""What kind of colours an ICC profile describes (ICC.1:2022, 7.2 profile header)."""

from __future__ import annotations

_SPACES = {b"RGB ": "rgb", b"GRAY": "grey", b"CMYK": "cmyk", b"Lab ": "lab"}


def profile_space(profile: bytes) -> str | None:
    """The profile's kind: rgb, grey, cmyk, lab or other; None if it is no ICC profile."""
    if len(profile) < 128 or profile[36:40] != b"acsp":
        return None
    return _SPACES.get(profile[16:20], "other")


def fits(profile: bytes, channels: int) -> bool:
    """Whether the profile describes a picture of that many channels (2 and 4 with alpha)."""
    return profile_space(profile) == ("grey" if channels < 3 else "rgb")
