"""Reports: a predictor run over a data set, and its figures of merit."""

from birdsod.evaluation._report import Report
from birdsod.evaluation._run import evaluate

__all__ = ["Report", "evaluate"]
