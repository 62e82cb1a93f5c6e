"""What is known of a model: the vocabulary of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightsFile:
    """One set of weights.

    Attributes:
        scale: how many times the network enlarges.
        sha256: hex digest of the weights as stored here.
        size: bytes of the weights as stored here.
        source: where the weights came from and what was done to them.
        file: name of an ONNX file beside the catalogue, or None.
        package, path: an installed Python package and the ``.bin`` file inside it, ncnn's
            ``.param`` beside it; None for an ONNX file.
        param_sha256: hex digest of that ``.param``.
        installed: absolute path of a file that somebody added; None for what comes along.
        runtime: None for ONNX, which any engine runs; "torch" for a checkpoint that only
            PyTorch can.
    """

    scale: int
    sha256: str
    size: int
    source: str
    file: str | None = None
    package: str | None = None
    path: str | None = None
    param_sha256: str | None = None
    installed: str | None = None
    runtime: str | None = None


@dataclass(frozen=True)
class ModelDescriptor:
    """One entry of the catalogue.

    Attributes:
        name: what people type.
        title: the name its authors gave it.
        architecture: of the network.
        purpose: what it is for, one sentence.
        licence: SPDX identifier of the weights' licence.
        provenance: authors and publication.
        context: input pixels a tile must see around its own.
        ramp: width of the soft seam between tiles, input pixels; 0 where tiles are exact.
        tile_area: window size in pixels up to which the network runs at full speed.
        mmac_per_pixel: million multiply-accumulates per input pixel.
        bytes_per_pixel: working memory per window pixel in half precision, measured.
        fidelity: default share of the faithful model for clean pictures, 0…1.
        guard: error at which plain resampling begins to replace the output, and from which
            it is all that is left (see ``superres.models.graph``).
        weights: one set per native scale.
        multiple: that both sides of a window must be of, in pixels.
        minimum: least side of a window, in pixels.
        whole: the network has to see the picture whole: no tiles.
        half: whether it may run in half precision.
        added: somebody added it (``superres models add``); it did not come along.
    """

    name: str
    title: str
    architecture: str
    purpose: str
    licence: str
    provenance: str
    context: int
    ramp: int
    tile_area: int
    mmac_per_pixel: float
    bytes_per_pixel: int
    fidelity: float
    guard: tuple[float, float]
    weights: tuple[WeightsFile, ...]
    multiple: int = 1
    minimum: int = 1
    whole: bool = False
    half: bool = True
    added: bool = False

    @property
    def native_scales(self) -> tuple[int, ...]:
        """Scales there are weights for."""
        return tuple(sorted(w.scale for w in self.weights))

    @property
    def scales(self) -> tuple[int, ...]:
        """Native scales, and what exact area reduction by a whole number makes of them."""
        found = {n // k for n in self.native_scales for k in range(1, n + 1) if n % k == 0}
        return tuple(sorted(found))

    def weights_for(self, scale: int) -> WeightsFile:
        """The cheapest weights that give ``scale`` directly or by exact area reduction."""
        return min((w for w in self.weights if w.scale % scale == 0), key=lambda w: w.scale)
