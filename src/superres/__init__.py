"""superres: image super resolution that people run themselves."""

__version__ = "0.1.0"
