"""The scorecard: how good, how fast and how big, against baselines and named peers."""

from superres.scorecard.degrade import DEGRADATIONS
from superres.scorecard.measure import SCALES, Plan, Row, measure, run
from superres.scorecard.methods import FIDELITIES, Method, baselines, of_models
from superres.scorecard.truths import Source, Truth, read_truth, sources

__all__ = [
    "DEGRADATIONS",
    "FIDELITIES",
    "SCALES",
    "Method",
    "Plan",
    "Row",
    "Source",
    "Truth",
    "baselines",
    "measure",
    "of_models",
    "read_truth",
    "run",
    "sources",
]
