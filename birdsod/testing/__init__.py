"""Hypothesis strategies and fakes, published so that users can test their own converters.

Needs the extra ``testing``.
"""

from __future__ import annotations

from importlib import import_module

# name -> module of this package that holds it
_HOME: dict[str, str] = {
    "class_tables": "detections",
    "detections": "detections",
    "ground_truth_and_predictions": "detections",
}

__all__ = ["class_tables", "detections", "ground_truth_and_predictions"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'birdsod.testing' has no attribute {name!r}")
    found: object = getattr(import_module(f"birdsod.testing.{_HOME[name]}"), name)
    globals()[name] = found
    return found
