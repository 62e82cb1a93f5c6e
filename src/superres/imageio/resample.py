"""Resizing to an exact size with a classic filter (Lanczos, a = 3)."""

from __future__ import annotations

from superres.errors import ImageTooSmall
from superres.imageio.vips import Image


def resize(image: Image, width: int, height: int) -> Image:
    """``image`` at exactly ``width`` x ``height``, lazily; samples keep their type.

    Colour is weighted by alpha while it is averaged, so transparent pixels do not bleed;
    ringing beyond the sample range is clipped. An image of that size is returned as it is.

    Raises:
        ImageTooSmall: a target side below 1.
    """
    if width < 1 or height < 1:
        raise ImageTooSmall(f"A picture of {width} x {height} has no pixels.")
    if (image.width, image.height) == (width, height):
        return image
    form = image.format
    has_alpha = image.bands in (2, 4)
    top = {"uchar": 255.0, "ushort": 65535.0}.get(form, 1.0)
    if has_alpha:
        image = image.premultiply(max_alpha=top)
    elif form == "ushort":
        # libvips' fixed-point kernels do not quite add up to one: white would lose 16 levels.
        image = image.cast("float")
    image = image.resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
    if (image.width, image.height) != (width, height):
        # libvips rounds width * scale; floating point may land one pixel off.
        image = image.gravity("centre", width, height, extend="copy")
    if has_alpha:
        # Ringing makes alpha leave its range; dividing by such an alpha would tint colour.
        alpha = image.extract_band(image.bands - 1)
        alpha = (alpha < 0).ifthenelse(0, (alpha > top).ifthenelse(top, alpha))
        image = image.extract_band(0, n=image.bands - 1).bandjoin(alpha)
        image = image.unpremultiply(max_alpha=top)
    if form in ("uchar", "ushort"):
        # A cast clips; without rint it would also truncate.
        return image if image.format == form else image.rint().cast(form)
    # Float samples have a range too, and nothing later cuts the ringing off.
    return (image < 0).ifthenelse(0, (image > 1).ifthenelse(1, image)).cast(form)
