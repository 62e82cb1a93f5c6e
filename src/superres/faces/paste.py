"""Lay faces upright, have them restored, and lay back what changed.

A face goes into the square of 512 pixels that the networks of tier 2 were trained with, is restored
there, and what the network changed is laid back and added through the face's mask. What is added is
the difference and not the result: a canvas finer than the square keeps its own detail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.errors import BadOutput
from superres.faces.align import (
    TEMPLATE,
    TEMPLATE_SIDE,
    Matrix,
    apply,
    inverse,
    sample,
    similarity,
    zoom,
)
from superres.faces.face import Face, Tier
from superres.faces.region import Oval, mask, oval, regions
from superres.imageio import Canvas, release_pages

Check = Callable[[], None]
Restore = Callable[[NDArray[np.float32], Check], NDArray[np.float32]]
"""``(512, 512, 3)`` RGB in 0…1, a face that lies on the template, to the same, restored; calls the
second argument now and then, and what that raises stops the work."""

LEAST_EYES = 5.0
"""Distance of the eyes, in pixels of the source, below which there is nothing to go by (as in
GFPGAN's own program)."""

FINEST, TOO_FINE = 1.5, 3.0
"""Canvas pixels per pixel of the square: up to the first a face is restored in full, from there on
less and less, and from the second on not at all. There the square would be stretched so far that
what it adds is soft, and the picture shows more of the face than the network ever sees."""

_RIM = 32.0
"""Pixels of the square over which the result fades out towards its border, where masks reach it."""

_OUTSIDE = np.array([132, 133, 135], np.float32) / np.float32(255)
"""What the networks were trained to see beyond a picture's edge: RGB grey (facexlib)."""

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_AREA = 1 << 19
"""Pixels of the canvas in work at a time, counted once for each face that shares them."""


def restore_faces(
    canvas: Canvas,
    scale: int,
    faces: Sequence[Face],
    restorer: Restore,
    strength: float,
    check: Check | None = None,
    on_face: Callable[[], None] | None = None,
) -> tuple[Tier, ...]:
    """Restore faces on a canvas, in place.

    Outside the masks no byte changes, and nowhere alpha. The mean of each colour over a face stays:
    these networks have a skin tone of their own. Faces whose masks overlap are all seen before one
    is changed, and share the overlap. Needs memory for a face of 512² and what lies under it.

    Args:
        canvas: of the picture ``scale`` times as large; uint8, uint16 or float32.
        scale: of the canvas.
        faces: in pixels of the source; those with eyes closer than ``LEAST_EYES`` are left alone,
            and those larger than ``FINEST`` on the canvas less and less changed.
        restorer: see :data:`Restore`.
        strength: 0…1, how much of what the network changed is added; with 0 nothing is read.
        check: called between faces and blocks, and by the network; what it raises stops the work.
        on_face: called when the network is done with a face, see :func:`restorable`.

    Returns:
        For each face "restored" or "unchanged".

    Raises:
        BadOutput: the network returned something that is not a picture. The canvas may hold faces
            that were restored before.
        EngineError: the network failed; likewise.
    """
    tiers: list[Tier] = ["unchanged"] * len(faces)
    amounts = [strength * _share(face, scale) for face in faces]
    chosen = [number for number, amount in enumerate(amounts) if amount > 0]
    ovals = [oval(faces[number]) for number in chosen]
    size = canvas.height // scale, canvas.width // scale
    for region in regions(ovals, *size):
        changes = []
        for place in region.faces:
            if check is not None:
                check()
            face, amount = faces[chosen[place]], amounts[chosen[place]]
            to_square = similarity(np.array(face.points) * scale, TEMPLATE)
            inside = _moved(ovals[place], scale, to_square)
            change = _change(canvas, to_square, inside, restorer, check or _unasked)
            changes.append(_Change(change, to_square, ovals[place], amount))
            if on_face is not None:
                on_face()
        bounds = [edge * scale for edge in (region.top, region.left, region.bottom, region.right)]
        for place, shown in zip(
            region.faces, _add(canvas, changes, bounds, scale, check), strict=True
        ):
            if shown:
                tiers[chosen[place]] = "restored"
    return tuple(tiers)


def restorable(faces: Sequence[Face], scale: int) -> int:
    """How many of ``faces`` :func:`restore_faces` has restored at most: neither too small nor too
    large on a canvas of ``scale``.
    """
    return sum(_share(face, scale) > 0 for face in faces)


@dataclass(frozen=True)
class _Change:
    """What the network changed of one face.

    Attributes:
        values: ``(512, 512, 3)``, to be added.
        to_square: from canvas to square.
        oval: of the face, in pixels of the source.
        amount: how much is added, 0…1.
    """

    values: NDArray[np.float32]
    to_square: Matrix
    oval: Oval
    amount: float


def _share(face: Face, scale: int) -> float:
    """How much of a face's restoration is shown, by its size."""
    (x0, y0), (x1, y1) = face.points[:2]
    if math.hypot(x1 - x0, y1 - y0) < LEAST_EYES:
        return 0.0
    closeness = zoom(similarity(np.array(face.points) * scale, TEMPLATE))
    if closeness <= 1 / TOO_FINE:
        return 0.0
    return min(1.0, (TOO_FINE - 1 / closeness) / (TOO_FINE - FINEST))


def _change(
    canvas: Canvas, to_square: Matrix, inside: Oval, restorer: Restore, check: Check
) -> NDArray[np.float32]:
    pixels = canvas.array()
    seen = sample(
        pixels,
        inverse(to_square),
        (TEMPLATE_SIDE, TEMPLATE_SIDE),
        outside=tuple(map(float, _OUTSIDE)),
        convert=_as_rgb,
    )
    release_pages(pixels)
    np.clip(seen, 0, 1, out=seen)
    restored = restorer(seen.copy(), check)
    if restored.shape != seen.shape or not np.isfinite(restored).all():
        raise BadOutput(
            "The network that restores faces returned something that is no picture, so nothing was "
            "written; try another one, or leave restore out."
        )
    change = np.asarray(restored - seen, np.float32)
    weights = mask([inside], 0, 0, TEMPLATE_SIDE, TEMPLATE_SIDE, 1).astype(np.float64)
    total = float(weights.sum())
    if total:
        change -= (np.einsum("yx,yxc->c", weights, change) / total).astype(np.float32)
    return change


def _unasked() -> None:
    pass


def _as_rgb(block: NDArray[Any]) -> NDArray[np.float32]:
    """Pixels of a canvas as the networks take them: what is transparent is grey."""
    values = block.astype(np.float32) / np.float32(_top(block.dtype))
    colours = np.broadcast_to(values[..., :1], (*values.shape[:2], 3))
    if values.shape[2] > 2:
        colours = values[..., :3]
    if values.shape[2] in (2, 4):
        alpha = values[..., -1:]
        return np.asarray(colours * alpha + _OUTSIDE * (1 - alpha), np.float32)
    return colours


def _add(
    canvas: Canvas,
    changes: Sequence[_Change],
    bounds: Sequence[int],
    scale: int,
    check: Check | None,
) -> list[bool]:
    """Add changes to the canvas within ``bounds``; which of them were seen at all."""
    top, left, bottom, right = bounds
    colours = canvas.channels - 1 if canvas.channels in (2, 4) else canvas.channels
    most = _top(canvas.dtype)
    seen = [False] * len(changes)
    step, there = max(1, _AREA // ((right - left) * len(changes))), canvas.array()
    for y in range(top, bottom, step):
        if check is not None:
            check()
        shape = min(step, bottom - y), right - left
        weights = np.stack([_shown(each, y, left, shape, scale) for each in changes])
        block = there[y : y + shape[0], left:right].copy()
        if colours < canvas.channels:
            weights *= block[..., -1].astype(np.float32) / np.float32(most)
        inside = weights.max(0) > 0
        if not inside.any():
            continue
        seen = [old or bool(each.any()) for old, each in zip(seen, weights, strict=True)]
        added = np.zeros((*shape, 3), np.float32)
        for each, weight in zip(changes, weights, strict=True):
            if weight.any():
                to_square = _shifted(each.to_square, left, y)
                values = sample(each.values, to_square, shape, outside=0.0)
                added += values * (weight * np.float32(each.amount))[..., None]
        # Where masks overlap the faces share the larger one.
        part = added[inside] * (weights.max(0) / np.maximum(weights.sum(0), 1e-9))[inside][:, None]
        if colours == 1:
            part = part @ _GREY[:, None]
        changed = block[inside]
        old = changed[:, :colours].astype(np.float32)
        new = np.clip(old + part * np.float32(most), 0, most)
        changed[:, :colours] = new if canvas.dtype.kind == "f" else np.rint(new)
        block[inside] = changed
        canvas.write(y, left, block)
        release_pages(there)
    return seen


def _shown(
    change: _Change, top: int, left: int, shape: tuple[int, int], scale: int
) -> NDArray[np.float32]:
    """How much of a change a window of the canvas sees: the face's mask, inside the square."""
    found = mask([change.oval], top, left, *shape, scale)
    y, x = np.mgrid[top : top + shape[0], left : left + shape[1]].astype(np.float32) + 0.5
    m = change.to_square.astype(np.float32)
    u = m[0, 0] * x + m[0, 1] * y + m[0, 2]
    v = m[1, 0] * x + m[1, 1] * y + m[1, 2]
    rim = np.minimum(np.minimum(u, TEMPLATE_SIDE - u), np.minimum(v, TEMPLATE_SIDE - v)) / _RIM
    rim = np.clip(rim, 0, 1)
    found *= rim * rim * (3 - 2 * rim)
    return found


def _moved(there: Oval, scale: int, to_square: Matrix) -> Oval:
    """An oval of the source as it lies in the square."""
    ((x, y),) = apply(to_square, [(there.x * scale, there.y * scale)])
    ratio = zoom(to_square)
    up_x, up_y = to_square[:, :2] @ np.array(there.up) / ratio
    longer = ratio * scale
    return Oval(
        float(x), float(y), (float(up_x), float(up_y)), there.across * longer, there.along * longer
    )


def _shifted(matrix: Matrix, x: int, y: int) -> Matrix:
    """``matrix`` for a window whose corner is at x, y."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.array([x, y])
    return moved


def _top(dtype: np.dtype[Any]) -> float:
    return {"uint8": 255.0, "uint16": 65535.0}.get(dtype.name, 1.0)
