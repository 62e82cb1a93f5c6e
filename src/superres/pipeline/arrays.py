"""What arrays are taken as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.errors import BadParameter

_DTYPES = ("uint8", "uint16", "float32")


def as_picture(pixels: object) -> NDArray[Any]:
    """``pixels`` as ``(h, w, c)`` in the machine's byte order.

    Raises:
        BadParameter: not an array of 1 to 4 channels of uint8, uint16 or finite float32.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype.name not in _DTYPES:
        kind = getattr(pixels, "dtype", type(pixels).__name__)
        raise BadParameter(f"An array must be uint8, uint16 or float32, not {kind}.")
    picture = pixels[..., None] if pixels.ndim == 2 else pixels
    if picture.ndim != 3 or picture.shape[2] not in (1, 2, 3, 4):
        raise BadParameter(
            f"An array must have the shape (h, w) or (h, w, 1…4), not {pixels.shape}."
        )
    if picture.dtype == np.float32 and not np.isfinite(picture).all():
        raise BadParameter("The array holds values that are not numbers.")
    return picture.astype(picture.dtype.newbyteorder("="), copy=False)
