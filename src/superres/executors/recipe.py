"""What is to be done with a picture that nobody has seen yet, and what it must be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from superres.errors import ImageTooLarge, ImageTooSmall, SourceTooLarge, UnsupportedFormat
from superres.imageio import Header
from superres.pipeline import UpscaleOptions


@dataclass(frozen=True)
class Rules:
    """What a picture must be, beyond being one; sides in pixels, both ends included.

    Attributes:
        formats: names as :mod:`superres.imageio` gives them ("jpeg", "png", "bmp", …); empty
            takes all.
        max_bytes: of the file.
        min_side: that both sides have at least.
        max_side: that the longer side has at most.
        max_aspect: that the longer side may be, as a multiple of the shorter.
        animations: whether a file may have several frames or pages.
    """

    formats: tuple[str, ...] = ()
    max_bytes: int | None = None
    min_side: int | None = None
    max_side: int | None = None
    max_aspect: float | None = None
    animations: bool = True

    def check_file(self, file: Path) -> None:
        """Refuse a file that is too large, before it is looked into.

        Raises:
            SourceTooLarge: it has more than ``max_bytes``.
        """
        if self.max_bytes is not None and (size := file.stat().st_size) > self.max_bytes:
            raise SourceTooLarge(
                f"The file has {size:,} bytes; it may have at most {self.max_bytes:,} here."
            )

    def check(self, header: Header) -> None:
        """Refuse a picture that breaks a rule.

        Raises:
            UnsupportedFormat, ImageTooSmall, ImageTooLarge: it does; the sentence says which.
        """
        if self.formats and header.format not in self.formats:
            raise UnsupportedFormat(
                f"The picture is {header.format.upper()}; here it must be one of "
                f"{', '.join(name.upper() for name in self.formats)}."
            )
        if header.frames > 1 and not self.animations:
            raise UnsupportedFormat(
                f"The file has {header.frames:,} frames or pages; send a picture with one."
            )
        width, height = header.width, header.height
        short, long = sorted((width, height))
        size = f"The picture is {width:,} x {height:,} pixels"
        if self.min_side is not None and short < self.min_side:
            raise ImageTooSmall(f"{size}; both sides must have at least {self.min_side:,} here.")
        if self.max_side is not None and long > self.max_side:
            raise ImageTooLarge(
                f"{size}; a side may have at most {self.max_side:,} here, so make it smaller first."
            )
        if self.max_aspect is not None and long > self.max_aspect * short:
            raise UnsupportedFormat(
                f"{size}; the longer side may be at most {self.max_aspect:g} times the shorter "
                "here."
            )


@dataclass(frozen=True)
class Recipe:
    """What is to be done with a picture, as far as it can be said before it is seen.

    Attributes:
        options: of the upscale.
        rules: what it must be.
        ladder: pairs (longest side in pixels, scale), rising; the first whose side is not
            exceeded sets the scale instead of ``options``. Empty: the options say it.
        keep_formats: formats kept as they come in when ``options`` name none; others become
            "png". Empty: the pipeline chooses.
    """

    options: UpscaleOptions = field(default_factory=UpscaleOptions)
    rules: Rules = field(default_factory=Rules)
    ladder: tuple[tuple[int, float], ...] = ()
    keep_formats: tuple[str, ...] = ()

    def settle(self, header: Header) -> UpscaleOptions:
        """The options for the picture of that header.

        Raises:
            UnsupportedFormat, ImageTooSmall, ImageTooLarge: it breaks a rule.
        """
        self.rules.check(header)
        options = self.options
        if self.ladder:
            options = replace(options, scale=self._rung(max(header.width, header.height)))
        if self.keep_formats and options.output.format is None:
            chosen = header.format if header.format in self.keep_formats else "png"
            options = replace(options, output=replace(options.output, format=chosen))
        return options

    def _rung(self, side: int) -> float:
        for longest, scale in self.ladder:
            if side <= longest:
                return scale
        raise ImageTooLarge(
            f"The picture's longer side has {side:,} pixels; it may have at most "
            f"{self.ladder[-1][0]:,} here, so make it smaller first."
        )
