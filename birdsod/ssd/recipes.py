"""What is known to work for a base network, measured on real birds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RECIPES"]

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "efficientnet-lite0": {
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "base_rate_factor": 0.3,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "warmup": 10,
        "batch_size": 16,
        "freeze": r"base\.(_conv_stem|_bn0|_blocks\.([0-9]|10))\.",
        "average": 0.98,
        "gradient_clip": 10.0,
    }
}
"""What is known to work for a base network, measured on real birds."""
