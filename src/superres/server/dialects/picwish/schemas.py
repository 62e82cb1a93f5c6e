"""What is asked of these doors: the parameters, checked, and the recipe that follows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from superres.errors import BadParameter
from superres.executors.recipe import Recipe, Rules
from superres.imageio import OutputOptions
from superres.models import FAITHFUL
from superres.pipeline import UpscaleOptions
from superres.server.flatjson import Scalar
from superres.settings import Settings

NAMES = (
    "image_url",
    "type",
    "scale_factor",
    "sync",
    "return_type",
    "format",
    "fix_face_only",
    "callback_url",
)
"""Parameters that are no picture."""

LINK, IN_BASE64, BYTES = 1, 2, 3
"""Values of ``return_type``."""

_MAX_URL = 512
_MAX_CALLBACK = 2048
_TYPES = ("clean", "face")
_FORMATS = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png"}
_TAKEN = ("jpeg", "bmp", "png", "webp", "tiff")
_KEPT = ("jpeg", "png")
_MIN_SIDE, _MAX_SIDE = 10, 4096
_OWN_SIZE = (_MAX_SIDE, 1.0)
# (longest side in pixels, scale): an explicit factor, too, holds only within its range.
_LADDERS: dict[int | None, tuple[tuple[int, float], ...]] = {
    None: ((500, 4.0), (1000, 2.0), _OWN_SIZE),
    1: (_OWN_SIZE,),
    2: ((1000, 2.0), _OWN_SIZE),
    4: ((500, 4.0), _OWN_SIZE),
}


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        url: where the picture is; None if it came along.
        type: "clean" or "face".
        scale_factor: 1, 2 or 4; None: by the picture's size.
        sync: whether the answer waits for the result.
        return_type: 1, 2 or 3.
        format: "jpeg" or "png"; None: the picture's own where it is one of these, else png.
        callback_url: who is told at the end; None: nobody.
        fix_face_only: with "face", what is no face is left as it is.
    """

    url: str | None
    type: str
    scale_factor: int | None
    sync: bool
    return_type: int
    format: str | None
    callback_url: str | None
    fix_face_only: bool = False


def read(values: Mapping[str, Scalar], *, market: bool, along: bool) -> Asked:
    """Check the parameters.

    Args:
        values: by name, empty ones left out.
        market: at the Aliyun market's door, which always waits for the result.
        along: the picture came along; an ``image_url`` beside it is passed over.

    Raises:
        BadParameter: one is missing or wrong.
    """
    url = None if along else _address("image_url", values.get("image_url"), _MAX_URL)
    if not along and url is None:
        raise BadParameter("There is no picture: send image_url, image_file or image_base64.")
    kind = _one_of("type", values.get("type"), _TYPES)
    if kind is None and market:
        raise BadParameter("type is missing; it must be clean or face.")
    sync = market or _number("sync", values.get("sync"), (0, 1)) == 1
    return_type = _number("return_type", values.get("return_type"), (LINK, IN_BASE64, BYTES))
    if return_type == BYTES and not sync:
        raise BadParameter("return_type 3 is for sync=1 only; choose 1 or 2, or send sync=1.")
    file_format = _one_of("format", values.get("format"), _FORMATS, said="jpg or png")
    callback = None if market else values.get("callback_url")
    return Asked(
        url=url,
        type=kind or _TYPES[0],
        scale_factor=_number("scale_factor", values.get("scale_factor"), (1, 2, 4)),
        sync=sync,
        return_type=return_type or LINK,
        format=None if file_format is None else _FORMATS[file_format],
        callback_url=_address("callback_url", callback, _MAX_CALLBACK),
        fix_face_only=not market and _is_on(values.get("fix_face_only")),
    )


def recipe(settings: Settings, asked: Asked) -> Recipe:
    """What is done for a request.

    The answer is without EXIF, XMP and IPTC, which may say where a photo was taken; the colour
    profile stays.
    """
    door = settings.picwish
    face = asked.type == "face"
    model, fidelity = door.model or settings.models.default, door.fidelity
    if face and asked.fix_face_only:
        # "Only faces are processed": the rest is enlarged by what comes nearest to nothing.
        model, fidelity = FAITHFUL, None
    return Recipe(
        UpscaleOptions(
            scale=1.0,  # the ladder says
            model=model,
            fidelity=fidelity,
            face=face,
            # Who asks for jpg has somewhere to put it that knows no transparency.
            output=OutputOptions(format=asked.format, strip=True, background=(255, 255, 255)),
        ),
        Rules(
            formats=_TAKEN,
            max_bytes=door.max_bytes,
            min_side=_MIN_SIDE,
            max_side=_MAX_SIDE,
            animations=False,
        ),
        ladder=_LADDERS[asked.scale_factor],
        keep_formats=_KEPT,
    )


def _address(name: str, value: Scalar, longest: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.lower().startswith(("http://", "https://")):
        raise BadParameter(f"{name} must be an address that begins with http:// or https://.")
    if len(value) > longest:
        raise BadParameter(f"{name} is longer than {longest} characters.")
    return value


def _is_on(value: Scalar) -> bool:
    """A flag that no value is wrong for."""
    return value in (True, 1) or (isinstance(value, str) and value.lower() in ("1", "true"))


def _number(name: str, value: Scalar, known: tuple[int, ...]) -> int | None:
    """A number, written as one or as a text."""
    if value is None:
        return None
    if isinstance(value, str):
        found = next((n for n in known if value in (str(n), f"{n}.0")), None)
    else:
        # True is 1 in Python only; 2.0 is the same number in JSON.
        found = None if isinstance(value, bool) else next((n for n in known if n == value), None)
    if found is None:
        raise BadParameter(f"{name} is {_shown(value)}; it must be {_either(known)}.")
    return found


def _one_of(
    name: str, value: Scalar, known: Mapping[str, object] | tuple[str, ...], said: str = ""
) -> str | None:
    if value is None:
        return None
    word = value.lower() if isinstance(value, str) else ""
    if word not in known:
        raise BadParameter(f"{name} is {_shown(value)}; it must be {said or _either(known)}.")
    return word


def _either(known: Mapping[str, object] | tuple[object, ...]) -> str:
    *first, last = (str(one) for one in known)
    return f"{', '.join(first)} or {last}"


def _shown(value: Scalar) -> str:
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of very many digits"
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:39] + "…"
