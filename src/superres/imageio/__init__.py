"""Reading and writing pictures: formats, limits, scratch disk, canvas, metadata.

The way through: :func:`read_header` or :func:`decode`, a :class:`Canvas` that the result is
written into, :func:`choose_format` and :func:`check_target` early, :func:`encode` at the end.
libvips stays inside this room.
"""

from superres.imageio.canvas import IN_MEMORY_BYTES, Canvas, image_of, release_pages
from superres.imageio.decode import check_frames, decode, read_header
from superres.imageio.encode import (
    MEDIA_TYPES,
    WRITABLE,
    OutputOptions,
    check_target,
    choose_format,
    complete_options,
    encode,
    format_name,
    quality_of,
)
from superres.imageio.facts import SourceFacts, source_facts
from superres.imageio.growing import Growing
from superres.imageio.limits import Limits
from superres.imageio.picture import Header, Metadata, Picture, Pixels
from superres.imageio.resample import resize
from superres.imageio.scratch import Scratch, ScratchFile
from superres.imageio.sniff import READABLE
from superres.imageio.turn import turned
from superres.imageio.vips import set_threads

__all__ = [
    "IN_MEMORY_BYTES",
    "MEDIA_TYPES",
    "READABLE",
    "WRITABLE",
    "Canvas",
    "Growing",
    "Header",
    "Limits",
    "Metadata",
    "OutputOptions",
    "Picture",
    "Pixels",
    "Scratch",
    "ScratchFile",
    "SourceFacts",
    "check_frames",
    "check_target",
    "choose_format",
    "complete_options",
    "decode",
    "encode",
    "format_name",
    "image_of",
    "quality_of",
    "read_header",
    "release_pages",
    "resize",
    "set_threads",
    "source_facts",
    "turned",
]
