"""The ordered steps of one upscale: header, plan, decode, passes over tiles, resize, encode."""

from superres.pipeline.options import (
    Estimate,
    FileReport,
    Progress,
    UpscaleOptions,
    target_size,
)
from superres.pipeline.upscaler import Upscaler

__all__ = ["Estimate", "FileReport", "Progress", "UpscaleOptions", "Upscaler", "target_size"]
