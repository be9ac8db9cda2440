"""What runs inside a container of SageMaker: the programs ``train`` and ``serve`` below ``/opt/ml``.

``python -m birdsod.container train`` reads hyperparameters, channels and checkpoints where SageMaker puts them, and
leaves the model, or the reason of a failure, where SageMaker looks for it; ``python -m birdsod.container serve``
answers with that model. Both need nothing but a folder that is laid out so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.container.hosts import Hosts
    from birdsod.container.serving import serve
    from birdsod.container.training import train
    from birdsod.container.tree import Tree

__all__ = ["Hosts", "Tree", "serve", "train"]

_HOME = {"Hosts": "hosts", "Tree": "tree", "serve": "serving", "train": "training"}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
