"""Models: the catalogue, their weights, and the graphs they become."""

from superres.models.catalog import FAITHFUL, get_model, list_models
from superres.models.descriptor import ModelDescriptor, WeightsFile

__all__ = ["FAITHFUL", "ModelDescriptor", "WeightsFile", "get_model", "list_models"]
