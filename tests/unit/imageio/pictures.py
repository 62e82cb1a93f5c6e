"""Pictures made on the fly; Pillow writes them, so the code under test reads foreign files."""

import io

import numpy as np
from PIL import Image


def photo(height: int = 61, width: int = 83, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth uint8 colour, different in every corner."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 7, channels), dtype=np.uint8)
    planes = [
        np.asarray(
            Image.fromarray(small[:, :, c]).resize((width, height), Image.Resampling.BICUBIC)
        )
        for c in range(channels)
    ]
    return np.stack(planes, axis=-1)


def saved(array: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    """The bytes Pillow writes."""
    if isinstance(array, np.ndarray):
        array = Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array)
    buffer = io.BytesIO()
    array.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def pixels_of(data: bytes) -> np.ndarray:
    array = np.asarray(opened(data))
    return array if array.ndim == 3 else array[:, :, None]
