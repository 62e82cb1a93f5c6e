"""How large an input may be, checked on the header, before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from superres.errors import ImageTooLarge, ImageTooSmall


@dataclass(frozen=True)
class Limits:
    """Ceilings for one picture. The settings section ``[limits]`` has the same names.

    Attributes:
        max_input_bytes: size of the file.
        max_input_pixels: width x height of the input. 100 million covers medium-format
            cameras; a progressive JPEG of that size needs about 0.6 GB to decode.
        max_side: width or height of the input.
        max_metadata_bytes: ICC profile, EXIF, XMP and IPTC together.
        max_output_pixels: width x height of the result (RGB 8 bit: 3 bytes of scratch each).
    """

    max_input_bytes: int = 256 * 1024 * 1024
    max_input_pixels: int = 100_000_000
    max_side: int = 65_535
    max_metadata_bytes: int = 16 * 1024 * 1024
    max_output_pixels: int = 2_000_000_000

    def check_bytes(self, size: int) -> None:
        """Raise ImageTooLarge if a file of ``size`` bytes is over the limit."""
        if size > self.max_input_bytes:
            raise ImageTooLarge(
                f"The file has more than {self.max_input_bytes:,} bytes; "
                + _raise_with("max_input_bytes")
            )

    def check_size(self, width: int, height: int) -> None:
        """Raise ImageTooLarge or ImageTooSmall if an input of this size is not accepted."""
        if width < 1 or height < 1:
            raise ImageTooSmall(f"The picture has no pixels ({width} x {height}).")
        if max(width, height) > self.max_side:
            raise ImageTooLarge(
                f"The picture is {width:,} x {height:,} pixels; a side may have at most "
                f"{self.max_side:,}; " + _raise_with("max_side")
            )
        if width * height > self.max_input_pixels:
            raise ImageTooLarge(
                f"The picture is {width:,} x {height:,} = {width * height:,} pixels; at most "
                f"{self.max_input_pixels:,} are accepted; " + _raise_with("max_input_pixels")
            )

    def check_metadata(self, size: int) -> None:
        """Raise ImageTooLarge if the metadata has more than ``max_metadata_bytes`` bytes."""
        if size > self.max_metadata_bytes:
            raise ImageTooLarge(
                f"The file carries {size:,} bytes of profile and metadata; at most "
                f"{self.max_metadata_bytes:,} are accepted; " + _raise_with("max_metadata_bytes")
            )

    def check_output(self, width: int, height: int) -> None:
        """Raise ImageTooLarge or ImageTooSmall if a result of this size is not made."""
        if width < 1 or height < 1:
            raise ImageTooSmall(f"The result would have no pixels ({width} x {height}).")
        if width * height > self.max_output_pixels:
            raise ImageTooLarge(
                f"The result would be {width:,} x {height:,} = {width * height:,} pixels; at "
                f"most {self.max_output_pixels:,} are made; " + _raise_with("max_output_pixels")
            )


def _raise_with(name: str) -> str:
    return (
        f"to allow more, raise {name} under [limits] in superres.toml "
        f"or set SUPERRES_LIMITS__{name.upper()}."
    )
